"""Work on a volume that a process has open.  One rule: that process does the work, asked over QMP.

The process is a guest's QEMU or our own qemu-storage-daemon; both speak the same block commands.  The volume's
node is found by its file name, so nobody has to agree on node names.
"""

import asyncio
import contextlib
import os
import socket
from collections.abc import AsyncIterator
from typing import Any

from qemu.qmp import ExecuteError, QMPClient, QMPError

from pileus.kernel.errors import ApiError, Failed, NotFound, OutOfSpace, Unavailable
from pileus.services.block_storage.drivers.qcow2 import qemu_img

CONNECT_TIMEOUT_S = 10.0
ANSWER_TIMEOUT_S = 30.0
POLL_S = 0.05


@contextlib.asynccontextmanager
async def _monitor(path: str) -> AsyncIterator[QMPClient]:
    client = QMPClient("block-storage")
    try:
        async with asyncio.timeout(CONNECT_TIMEOUT_S):
            await client.connect(path)
    except (QMPError, OSError, TimeoutError) as error:
        raise Unavailable(f"The process that has the volume open does not answer on {path}: {error!r}.") from error
    try:
        yield client
    except ExecuteError as error:
        raise _error(str(error)) from error
    finally:
        with contextlib.suppress(QMPError, OSError, EOFError, TimeoutError):  # it had gone before us, or hangs
            await asyncio.wait_for(client.disconnect(), CONNECT_TIMEOUT_S)


async def _ask(client: QMPClient, command: str, arguments: dict[str, Any] | None = None) -> Any:
    """Run a command with a time limit: a process that hangs must not hold up its volumes' other work for ever."""
    try:
        return await asyncio.wait_for(client.execute(command, arguments), ANSWER_TIMEOUT_S)
    except TimeoutError as error:
        raise Unavailable(
            f"The process that has the volume open did not answer {command} within {ANSWER_TIMEOUT_S:.0f} s."
        ) from error


async def holds(monitor: str | None, path: str) -> bool:
    """Tell whether the process behind a monitor is there and has the volume open.

    A server that was stopped leaves its attachments, and their monitor's path, behind: then the file is free, and
    qemu-img's own lock finds out if it is not.
    """
    if monitor is None or not await asyncio.to_thread(_answers, monitor):
        return False
    async with _monitor(monitor) as client:
        try:
            await _node(client, path)
        except NotFound:
            return False
    return True


def _answers(monitor: str) -> bool:
    with contextlib.closing(socket.socket(socket.AF_UNIX)) as probe:
        probe.settimeout(CONNECT_TIMEOUT_S)
        return probe.connect_ex(monitor) == 0


async def copy(monitor: str, path: str, target: str, job: str) -> None:
    """Write to ``target`` (a new qcow2) what the volume at ``path`` holds now, while it goes on being used.

    ``job`` names the copy inside the process; a job of that name left by an earlier try is cancelled first.
    """
    async with _monitor(monitor) as client:
        node, size_bytes = await _node(client, path)
        await _cancel(client, job)
        await qemu_img.run("create", "-q", "-f", "qcow2", target, str(size_bytes), timeout_s=60)
        await asyncio.to_thread(_lend, target, path)
        file = {"driver": "file", "filename": target}
        await _ask(client, "blockdev-add", {"driver": "qcow2", "node-name": job, "file": file})
        try:
            await _ask(
                client,
                "blockdev-backup",
                {"job-id": job, "device": node, "target": job, "sync": "full", "auto-dismiss": False},
            )
            await _finish(client, job)
        except BaseException:
            await _cancel(client, job)
            raise
        await _ask(client, "blockdev-del", {"node-name": job})


def _lend(target: str, path: str) -> None:
    """Let the process write the copy: the volume's file belongs to the user it runs as."""
    owner = os.stat(path)
    if os.geteuid() == 0:
        os.chown(target, owner.st_uid, owner.st_gid)


async def resize(monitor: str, path: str, size_bytes: int) -> None:
    """Grow the volume under its user; the guest sees the new size at once."""
    async with _monitor(monitor) as client:
        node, _ = await _node(client, path)
        await _ask(client, "block_resize", {"node-name": node, "size": size_bytes})


async def _node(client: QMPClient, path: str) -> tuple[str, int]:
    nodes: Any = await _ask(client, "query-named-block-nodes", {"flat": True})
    for node in nodes:
        if node["drv"] == "qcow2" and _same_file(node["file"], path):
            return node["node-name"], node["image"]["virtual-size"]
    raise NotFound(f"The process that should have {path} open does not: the volume is not attached there.")


def _same_file(one: str, other: str) -> bool:
    return os.path.realpath(one) == os.path.realpath(other)


async def _finish(client: QMPClient, job: str) -> None:
    while True:
        found = await _job(client, job)
        if found is None:
            raise Unavailable("The copy of the volume was cancelled by its user's process.")
        if found["status"] == "concluded":
            await _ask(client, "job-dismiss", {"id": job})
            if found.get("error"):
                raise _error(found["error"])
            return
        await asyncio.sleep(POLL_S)


async def _job(client: QMPClient, job: str) -> dict[str, Any] | None:
    jobs: Any = await _ask(client, "query-jobs")
    return next((found for found in jobs if found["id"] == job), None)


async def _cancel(client: QMPClient, job: str) -> None:
    while (found := await _job(client, job)) is not None:
        with contextlib.suppress(ExecuteError):  # the job may conclude between the question and the order
            verb = "job-dismiss" if found["status"] == "concluded" else "job-cancel"
            await _ask(client, verb, {"id": job})
        await asyncio.sleep(POLL_S)
    nodes: Any = await _ask(client, "query-named-block-nodes", {"flat": True})
    if any(node["node-name"] == job for node in nodes):
        await _ask(client, "blockdev-del", {"node-name": job})


def _error(reason: str) -> ApiError:
    if "No space left" in reason:
        return OutOfSpace("The disk that holds the volumes is full: delete volumes or snapshots, or add space.")
    kind = Unavailable if "busy" in reason or "in use" in reason else Failed  # another job ends some time
    return kind(f"The process that has the volume open refused: {reason}.")
