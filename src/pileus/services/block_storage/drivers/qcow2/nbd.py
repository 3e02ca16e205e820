"""Volumes served over NBD: one qemu-storage-daemon per exported volume.

One rule: the pid file and sockets say who serves what, so a restarted agent finds its daemons again.
"""

import asyncio
import contextlib
import os
import signal
from pathlib import Path

from pileus.kernel.errors import Conflict, Failed, Unavailable

START_TIMEOUT_S = 10.0
STOP_TIMEOUT_S = 10.0
LONGEST_SOCKET_PATH = 107  # sun_path, without its final zero


class NbdExports:
    """The storage daemons of one pool; their files are ``<volume id>.pid``, ``.sock`` and ``.qmp`` in ``folder``."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def socket(self, volume_id: str) -> str:
        """Return the NBD socket of a volume, whether it is served or not."""
        path = str(self.folder / f"{volume_id}.sock")
        if len(path.encode()) > LONGEST_SOCKET_PATH:
            raise Failed(f"The socket path {path} is too long for the kernel: use a shorter state directory.")
        return path

    def monitor(self, volume_id: str) -> str | None:
        """Return the QMP socket of the daemon that serves the volume; None when it is not served."""
        return str(self.folder / f"{volume_id}.qmp") if self._pid(volume_id) else None

    def served(self) -> list[str]:
        """List the ids of the volumes that are served now."""
        return [path.stem for path in sorted(self.folder.glob("*.pid")) if self._pid(path.stem)]

    async def ensure(self, volume_id: str, path: Path, read_only: bool) -> str:
        """Serve the file over NBD and return the socket's path."""
        socket = self.socket(volume_id)
        if self._pid(volume_id):
            return socket
        self._forget(volume_id)
        only = "on" if read_only else "off"
        arguments = (
            "--blockdev", f"driver=file,node-name=file,filename={_escaped(path)},read-only={only}",
            "--blockdev", f"driver=qcow2,node-name=disk,file=file,read-only={only}",
            "--chardev", f"socket,id=qmp,path={_escaped(self.folder / f'{volume_id}.qmp')},server=on,wait=off",
            "--monitor", "chardev=qmp",
            "--nbd-server", f"addr.type=unix,addr.path={_escaped(socket)}",
            "--export", f"type=nbd,id=nbd,node-name=disk,name={volume_id},writable={'off' if read_only else 'on'}",
            "--pidfile", str(self._pid_file(volume_id)),
            "--daemonize",
        )  # fmt: skip
        complaints = self.folder / f"{volume_id}.log"
        with complaints.open("wb") as log:  # a pipe would stay open in the daemon
            try:
                process = await asyncio.create_subprocess_exec(
                    "qemu-storage-daemon", *arguments, stdin=asyncio.subprocess.DEVNULL, stdout=log, stderr=log
                )
            except FileNotFoundError as error:
                raise Unavailable(
                    "qemu-storage-daemon is missing: install the Debian package qemu-system-common."
                ) from error
        async with asyncio.timeout(START_TIMEOUT_S):
            await process.wait()
        if process.returncode:
            reason = complaints.read_text(errors="replace").strip()
            if "lock" in reason:
                raise Conflict(f"Volume {volume_id} is open in another process: detach it first.")
            raise Failed(f"qemu-storage-daemon could not serve volume {volume_id}: {reason}")
        return socket

    async def ensure_gone(self, volume_id: str) -> None:
        """Stop serving the volume; returns when the file is free."""
        pid = self._pid(volume_id)
        if pid:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGTERM)
            async with asyncio.timeout(STOP_TIMEOUT_S):
                while self._pid(volume_id) == pid:  # noqa: ASYNC110  a daemon is not our child: nobody tells us
                    await asyncio.sleep(0.01)
        self._forget(volume_id)

    def _pid_file(self, volume_id: str) -> Path:
        return self.folder / f"{volume_id}.pid"

    def _pid(self, volume_id: str) -> int | None:
        """Return the pid of the living daemon; pids are reused, so its command line must name our pid file."""
        try:
            pid = int(self._pid_file(volume_id).read_text())
            command = Path(f"/proc/{pid}/cmdline").read_bytes().split(b"\0")
        except (FileNotFoundError, ProcessLookupError, ValueError):
            return None
        return pid if os.fsencode(self._pid_file(volume_id)) in command else None

    def _forget(self, volume_id: str) -> None:
        for suffix in ("pid", "sock", "qmp", "log"):
            (self.folder / f"{volume_id}.{suffix}").unlink(missing_ok=True)


def _escaped(path: Path | str) -> str:
    return str(path).replace(",", ",,")
