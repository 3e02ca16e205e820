"""The process of a guest: started so that it outlives us, found again, noticed when it ends.

One rule: the lock on the guest's folder is the truth. The process inherits it and so holds it exactly as long as it
lives; who cannot get the lock must not start a second one.
"""

import asyncio
import contextlib
import fcntl
import os
import signal
import subprocess
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path

from pileus.kernel import clock
from pileus.kernel.errors import Failed, Unavailable
from pileus.services.compute.drivers.qemu.host import kvm_groups

PID_FILE, LOCK_FILE, LOG_FILE = "pid", "lock", "qemu.log"


def try_lock(folder: Path) -> int | None:
    """Lock the guest's folder and return the lock's file descriptor, None if a process holds it."""
    fd = os.open(folder / LOCK_FILE, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(fd)
        return None
    return fd


class GuestProcess:
    """A QEMU process, our child or not. `ended` is set as soon as it has ended; `reason` then says how."""

    def __init__(
        self, pid: int, folder: Path, child: subprocess.Popen[bytes] | None, on_end: Callable[[], None]
    ) -> None:
        self.pid = pid
        self.ended = asyncio.Event()
        self._folder = folder
        self._child = child
        self._on_end = on_end
        self._fd = os.pidfd_open(pid)
        asyncio.get_running_loop().add_reader(self._fd, self._end)

    def _end(self) -> None:
        self.forget()
        if self._child:
            self._child.wait()
        self.ended.set()
        self._on_end()

    def serves(self, guest_id: str) -> bool:
        """Say whether this process is that guest's, and not a stranger with the same number."""
        return guest_id.encode() in Path(f"/proc/{self.pid}/cmdline").read_bytes()

    def forget(self) -> None:
        """Watch no longer."""
        if self._fd >= 0:
            asyncio.get_running_loop().remove_reader(self._fd)
            os.close(self._fd)
            self._fd = -1

    async def kill(self, timeout_s: float = 20.0) -> None:
        """End the process at once and wait until it is gone."""
        if self._fd >= 0:
            with contextlib.suppress(ProcessLookupError):
                signal.pidfd_send_signal(self._fd, signal.SIGKILL)
        await self.wait(timeout_s)

    async def wait(self, timeout_s: float) -> None:
        try:
            await asyncio.wait_for(self.ended.wait(), timeout_s)
        except TimeoutError as error:
            raise Unavailable(f"QEMU process {self.pid} did not end within {timeout_s:.0f} seconds.") from error

    @property
    def reason(self) -> str:
        """Say in a clause why the process ended."""
        status = self._child.returncode if self._child else None
        if status is not None and status < 0:
            return f"its QEMU process {self.pid} was killed by {signal.Signals(-status).name}"
        return f"its QEMU process {self.pid} ended: {last_words(self._folder)}"


def last_words(folder: Path) -> str:
    """Return the last line QEMU wrote to its log."""
    try:
        lines = (folder / LOG_FILE).read_text(errors="replace").strip().splitlines()
    except FileNotFoundError:
        lines = []
    return lines[-1].removeprefix("qemu-system-x86_64: ") if lines else "it left no message"


def start(
    arguments: Sequence[str], folder: Path, inherit: Iterable[int], user: int | None, on_end: Callable[[], None]
) -> GuestProcess:
    """Start QEMU in the guest's folder, in a session of its own, as `user` (None: as we are)."""
    log = os.open(folder / LOG_FILE, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600)
    try:
        child = subprocess.Popen(
            arguments,
            cwd=folder,
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            pass_fds=tuple(inherit),
            start_new_session=True,
            umask=0o077,
            user=user,
            group=user,
            extra_groups=None if user is None else kvm_groups(),
            env={"PATH": os.environ.get("PATH", "/usr/bin:/bin"), "LC_ALL": "C"},
        )
    except FileNotFoundError as error:
        raise Failed(
            f"{arguments[0]} is not installed on this host; install the Debian package qemu-system-x86."
        ) from error
    finally:
        os.close(log)
    return GuestProcess(child.pid, folder, child, on_end)


async def find(guest_id: str, folder: Path, on_end: Callable[[], None]) -> GuestProcess | None:
    """Return the process that holds the folder's lock, None if nobody does."""
    until = clock.monotonic() + 5
    while clock.monotonic() < until:
        fd = try_lock(folder)
        if fd is not None:
            os.close(fd)
            return None
        # It may be so young that it has not written its pid yet.
        with contextlib.suppress(FileNotFoundError, ValueError, ProcessLookupError):
            process = GuestProcess(int((folder / PID_FILE).read_text()), folder, None, on_end)
            if process.serves(guest_id):
                return process
            process.forget()
        await clock.sleep(0.05)
    raise Unavailable(f"A process holds the lock of guest {guest_id} and does not say who it is ({folder / PID_FILE}).")
