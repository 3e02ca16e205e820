"""Archives unpacked on arrival: each file in a tar becomes an object, streamed, judged by itself.

The one rule: neither the archive nor a file of it is ever whole in memory, and what can go wrong is counted.
"""

import mimetypes
import re
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from urllib.parse import quote

import msgspec

from pileus.kernel import clock
from pileus.kernel.context import Context
from pileus.kernel.db import Tx
from pileus.kernel.errors import ApiError, Invalid, TooLarge, Unauthenticated
from pileus.kernel.rest import Request, Response
from pileus.kernel.runtime import Runtime
from pileus.services.object_store import store
from pileus.services.object_store.api.answers import answer
from pileus.services.object_store.api.listings import format_of
from pileus.services.object_store.app import access, metadata, objects
from pileus.services.object_store.app.archives import KINDS, Archive, BadArchive, Member, unpacked
from pileus.services.object_store.app.blobs import Arrived, blobs_of
from pileus.services.object_store.app.objects import Details, Path
from pileus.services.object_store.model import LIMITS

MAX_ERRORS = 1000
"""Files that may fail before the rest is left."""
MAX_CONTAINERS = 10000
"""Containers that one archive may make."""
LONGEST_SHOWN = LIMITS["max_object_name_length"] + LIMITS["max_container_name_length"]


@dataclass(slots=True)
class Report:
    """What became of the files."""

    created: int = 0
    containers: set[str] = field(default_factory=set)
    """Those that this archive may write to."""
    made: int = 0
    errors: list[list[str]] = field(default_factory=list)
    stopped: tuple[str, str] | None = None
    """Status and sentence when the rest of the archive was not tried."""

    def failed(self, name: str, error: ApiError) -> None:
        """Note a file that was not stored.  Raises TooLarge when too many were not."""
        self.errors.append([quote(name[:LONGEST_SHOWN]), f"{error.status} {error.title}"])
        if len(self.errors) >= MAX_ERRORS:
            raise TooLarge(f"{MAX_ERRORS} files of the archive failed; the rest was not tried.") from error

    def answer(self, ctx: Context, request: Request) -> Response:
        """Report; the status of the whole is in the body, as with everything that is done in bulk."""
        status, body = "201 Created", ""
        if self.stopped is not None:
            status, body = self.stopped
        elif self.errors or not self.created:
            status, body = "400 Bad Request", "" if self.errors else "Invalid Tar File: No Valid Files"
        report = {
            "Number Files Created": self.created,
            "Response Status": status,
            "Response Body": body,
            "Errors": self.errors,
        }
        if format_of(request) == "json":
            return answer(ctx, 200, [], msgspec.json.encode(report), "application/json; charset=utf-8")
        lines = [f"{key}: {value}" for key, value in report.items() if key != "Errors"]
        lines += ["Errors:", *(", ".join(error) for error in self.errors)]
        return answer(ctx, 200, [], "\n".join(lines).encode())


async def extract_archive(ctx: Context, request: Request, runtime: Runtime, account: str, prefix: str) -> Response:
    """Unpack the body below ``prefix`` (a container and the start of a name, or nothing)."""
    kind = dict(request.query_items()).get("extract-archive", "").lower().strip(".")
    if kind not in KINDS:
        raise Invalid(f"Unsupported archive format '{kind[:80]}'; possible: {', '.join(KINDS)}.")
    report = Report()
    archive = Archive(unpacked(request.stream(), kind))
    try:
        async for member in archive.members():
            name = _name(prefix, member)
            try:
                await _store(ctx, runtime, account, name, member, archive.content(), report)
                report.created += 1
            except Unauthenticated:
                raise
            except ApiError as error:
                report.failed(name, error)
    except BadArchive as error:
        report.stopped = ("400 Bad Request", f"Invalid Tar File: {error}.")
    except TooLarge as error:
        report.stopped = (f"{error.status} {error.title}", error.message)
    blobs_of(runtime).nudge()
    return report.answer(ctx, request)


def _name(prefix: str, member: Member) -> str:
    """Return the path below the account that a file goes to."""
    return "/".join(part for part in f"{prefix}/{member.name}".split("/") if part not in ("", "."))


async def _store(
    ctx: Context,
    runtime: Runtime,
    account: str,
    name: str,
    member: Member,
    content: AsyncIterator[bytes],
    report: Report,
) -> None:
    container, _, rest = name.partition("/")
    path = Path(account, container, rest)
    _check(name, path, member)
    details = _details(rest, member)
    if container not in report.containers:
        await _admit(ctx, runtime, path, report)

    def commit(tx: Tx, arrived: Arrived) -> None:
        objects.put_object(tx, path, details, arrived)

    await blobs_of(runtime).upload((account, container, rest), content, commit, expected_bytes=member.size)


def _check(name: str, path: Path, member: Member) -> None:
    if ".." in name.split("/"):
        raise Invalid("A file's name steps out of its folder by '..'; pack it by another name.")
    metadata.check_container_name(path.container)
    metadata.check_object_name(path.name)
    if member.is_sparse:
        raise Invalid("A sparse file is not unpacked; pack it without --sparse.")
    if member.size > LIMITS["max_file_size"]:
        raise TooLarge(f"An object has at most {LIMITS['max_file_size']} bytes.")


def _details(name: str, member: Member) -> Details:
    """Return what an archive says of a file: ``user.mime_type`` is its type, ``user.meta.X`` its metadata."""
    content_type = member.attributes.get("mime_type") or mimetypes.guess_type(name)[0] or "application/octet-stream"
    if not content_type.isprintable() or len(content_type) > metadata.LONGEST_TYPE:
        raise Invalid("The attribute user.mime_type of a file is no content type.")
    meta = {key.removeprefix("meta."): text for key, text in member.attributes.items() if key.startswith("meta.")}
    if not all(re.fullmatch("[A-Za-z0-9_-]+", key) for key in meta):
        raise Invalid("An attribute user.meta.NAME of a file has a NAME that no header can have.")
    given = {f"x-object-meta-{key.lower()}": text.encode().decode("latin-1") for key, text in meta.items()}
    return Details(content_type, metadata.meta_of("object", given))


async def _admit(ctx: Context, runtime: Runtime, path: Path, report: Report) -> None:
    """Let the archive write to a container, which is made when it is not there."""
    if not await runtime.db.read(_may_write, ctx, path):
        if report.made >= MAX_CONTAINERS:
            raise TooLarge(f"More than {MAX_CONTAINERS} containers to create from tar.")
        await runtime.db.write(_make_container, ctx, path)
        report.made += 1
    report.containers.add(path.container)


def _may_write(tx: Tx, ctx: Context, path: Path) -> bool:
    """Raise unless the caller may write to the container; tell whether it is there."""
    found = store.find(tx, path.account, path.container)
    access.require_write(ctx, path.account, found)
    return found.container is not None


def _make_container(tx: Tx, ctx: Context, path: Path) -> None:
    if _may_write(tx, ctx, path):
        return
    now = clock.now()
    owner = store.ensure_account(tx, path.account, now, access.domain_of(ctx, path.account))
    store.insert_container(tx, owner, path.container, now)
