"""Archives unpacked on arrival: each file in a tar becomes an object, streamed, judged by itself.

The one rule: ``tarfile`` runs on a thread and pulls the request's bytes from the loop when it wants them, so
neither the archive nor a file of it is ever whole in memory.
"""

import asyncio
import mimetypes
import tarfile
from collections.abc import AsyncIterator, Callable
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import Any, TypeVar

import msgspec

from pileus.kernel import clock
from pileus.kernel.context import Context
from pileus.kernel.db import Tx
from pileus.kernel.errors import ApiError, Invalid, TooLarge
from pileus.kernel.rest import Request, Response
from pileus.kernel.runtime import Runtime
from pileus.services.object_store import store
from pileus.services.object_store.api.answers import answer
from pileus.services.object_store.api.listings import format_of
from pileus.services.object_store.app import access, metadata, objects
from pileus.services.object_store.app.blobs import Arrived, blobs_of
from pileus.services.object_store.app.objects import Details, Path
from pileus.services.object_store.model import LIMITS

T = TypeVar("T")
KINDS = {"tar": "r|", "tar.gz": "r|gz", "tar.bz2": "r|bz2"}
BLOCK_BYTES = 1 << 20
MAX_ERRORS = 1000


class Feed:
    """The request's body as the file that ``tarfile`` reads, on its thread."""

    def __init__(self, chunks: AsyncIterator[bytes]) -> None:
        self._chunks = chunks
        self._loop = asyncio.get_running_loop()
        self._rest = b""

    def read(self, count: int) -> bytes:
        """Return up to ``count`` bytes, fewer only at the end."""
        found = [self._rest]
        size = len(self._rest)
        while size < count:
            chunk = asyncio.run_coroutine_threadsafe(self._next(), self._loop).result()
            if not chunk:
                break
            found.append(chunk)
            size += len(chunk)
        whole = b"".join(found)
        self._rest = whole[count:]
        return whole[:count]

    async def _next(self) -> bytes:
        return await anext(self._chunks, b"")


class Tape:
    """An archive that is read once from start to end, on a thread of its own: a slow client holds up nobody else."""

    def __init__(self, chunks: AsyncIterator[bytes], kind: str, thread: ThreadPoolExecutor) -> None:
        self._kind = kind
        self._thread = thread
        self._feed = Feed(chunks)
        self._archive: tarfile.TarFile | None = None

    async def _run(self, work: Callable[..., T], *args: Any) -> T:
        try:
            return await asyncio.get_running_loop().run_in_executor(self._thread, work, *args)
        except tarfile.TarError as error:
            raise Invalid(f"The body is no {self._kind} archive: {error}.") from error

    async def files(self) -> AsyncIterator[tarfile.TarInfo]:
        """Yield the regular files in order.  Raises Invalid for what is no archive."""
        opened = partial(tarfile.open, fileobj=self._feed, mode=KINDS[self._kind])  # type: ignore[call-overload]
        self._archive = await self._run(opened)
        while (member := await self._run(self._archive.next)) is not None:
            if member.isfile():
                yield member

    async def content(self, member: tarfile.TarInfo) -> AsyncIterator[bytes]:
        """Yield the bytes of the file that ``files`` yielded last."""
        assert self._archive is not None
        file = await self._run(self._archive.extractfile, member)
        while file is not None and (chunk := await self._run(file.read, BLOCK_BYTES)):
            yield chunk


async def extract_archive(ctx: Context, request: Request, runtime: Runtime, account: str, prefix: str) -> Response:
    """Unpack the body below ``prefix`` (a container and the start of a name, or nothing)."""
    kind = dict(request.query_items()).get("extract-archive", "")
    if kind not in KINDS:
        raise Invalid(f"Unsupported archive format '{kind}'; possible: {', '.join(KINDS)}.")
    thread = ThreadPoolExecutor(1, thread_name_prefix="archive")
    try:
        created, errors = await _extract(ctx, runtime, account, prefix, Tape(request.stream(), kind, thread))
    finally:
        thread.shutdown(wait=False)  # it may be waiting for the loop, so the loop must not wait for it
    return _report(ctx, request, created, errors)


async def _extract(
    ctx: Context, runtime: Runtime, account: str, prefix: str, tape: Tape
) -> tuple[int, list[list[str]]]:
    created, errors = 0, list[list[str]]()
    async for member in tape.files():
        name = "/".join(part for part in f"{prefix}/{member.name}".split("/") if part not in ("", "."))
        try:
            await _store(ctx, runtime, account, name, tape, member)
            created += 1
        except ApiError as error:
            errors.append([name, f"{error.status} {error.title}"])
            if len(errors) >= MAX_ERRORS:
                raise TooLarge(f"{MAX_ERRORS} files of the archive failed; the rest was not tried.") from error
    return created, errors


async def _store(ctx: Context, runtime: Runtime, account: str, name: str, tape: Tape, member: tarfile.TarInfo) -> None:
    container, _, rest = name.partition("/")
    path = Path(account, container, rest)
    if member.size > LIMITS["max_file_size"]:
        raise TooLarge(f"An object has at most {LIMITS['max_file_size']} bytes.")
    metadata.check_object_name(rest)
    await runtime.db.write(_ensure_container, ctx, path)
    details = Details(mimetypes.guess_type(rest)[0] or "application/octet-stream")

    def commit(tx: Tx, arrived: Arrived) -> None:
        objects.put_object(tx, path, details, arrived)

    await blobs_of(runtime).upload((account, container, rest), tape.content(member), commit, expected_bytes=member.size)


def _ensure_container(tx: Tx, ctx: Context, path: Path) -> None:
    found = store.find(tx, path.account, path.container).container
    access.require_write(ctx, path.account, found)
    if found is None:
        metadata.check_container_name(path.container)
        now = clock.now()
        store.insert_container(tx, store.ensure_account(tx, path.account, now), path.container, now)


def _report(ctx: Context, request: Request, created: int, errors: list[list[str]]) -> Response:
    status = "400 Bad Request" if errors else "201 Created" if created else "400 Bad Request"
    body = "" if created or errors else "Invalid Tar File: No Valid Files"
    report = {
        "Number Files Created": created,
        "Response Status": status,
        "Response Body": body,
        "Errors": errors,
    }
    if format_of(request) == "json":
        return answer(ctx, 200, [], msgspec.json.encode(report), "application/json; charset=utf-8")
    lines = [f"{key}: {value}" for key, value in report.items() if key != "Errors"]
    lines += ["Errors:", *(", ".join(error) for error in errors)]
    return answer(ctx, 200, [], "\n".join(lines).encode())
