"""The agent as a process.  Rule: a signal ends it in order; its guests, networks and files outlive it."""

import asyncio
import signal
from collections.abc import Callable, Sequence
from pathlib import Path

from pileus.kernel.agent.host import Host
from pileus.kernel.agent.link import Link
from pileus.kernel.agent.part import AgentPart
from pileus.kernel.bus.keys import ensure_pair


async def serve(
    name: str,
    parts: Sequence[AgentPart],
    *,
    folder: Path | None = None,
    tcp: Sequence[str] = (),
    key_folder: Path | None = None,
    ready: Callable[[], None] = lambda: None,
) -> None:
    """Be the host ``name`` until SIGTERM or SIGINT.

    ``folder`` holds the control plane's unix sockets; ``tcp`` are addresses of control processes elsewhere, for
    which ``key_folder`` holds this host's key pair and ``control.public``.  ``ready()`` is called once a
    control process knows this host and its parts.
    """
    keys = control_key = None
    if key_folder is not None:
        keys = ensure_pair(key_folder, name)
        control_key = (key_folder / "control.public").read_bytes().strip()
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    link = Link(Host(name, parts), folder=folder, tcp=tcp, keys=keys, control_key=control_key)
    await link.start()
    announcing = asyncio.create_task(_announce(link, ready))
    try:
        await stop.wait()
    finally:
        announcing.cancel()
        await link.stop()


async def _announce(link: Link, ready: Callable[[], None]) -> None:
    await link.registered.wait()
    ready()
