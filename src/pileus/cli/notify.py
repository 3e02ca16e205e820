"""Tells a service manager that a process is ready: the protocol of sd_notify(3)."""

import os
import socket


def ready() -> None:
    """Say so where somebody asked for it by ``NOTIFY_SOCKET``."""
    address = os.environ.pop("NOTIFY_SOCKET", None)
    if not address:
        return
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as asked:
        asked.connect(f"\0{address[1:]}" if address.startswith("@") else address)
        asked.send(b"READY=1")
