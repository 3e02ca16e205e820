"""Many deletes in one request: counted before any work, then done a few per transaction, each judged by itself."""

from collections.abc import Sequence
from urllib.parse import quote, unquote

import msgspec

from pileus.kernel.context import Context
from pileus.kernel.db import Tx
from pileus.kernel.errors import ApiError, Conflict, Invalid, NotFound, TooLarge
from pileus.kernel.rest import Request, Response
from pileus.kernel.runtime import Runtime
from pileus.services.object_store import store
from pileus.services.object_store.api.answers import answer
from pileus.services.object_store.api.listings import format_of
from pileus.services.object_store.app import access, metadata, objects
from pileus.services.object_store.app.blobs import blobs_of
from pileus.services.object_store.app.objects import Path
from pileus.services.object_store.model import (
    LIMITS,
    MAX_BULK_DELETES,
    MAX_FAILED_DELETES,
    MAX_SEGMENT_DELETES,
    ObjectRow,
)

LONGEST_LINE = 3 * (LIMITS["max_object_name_length"] + LIMITS["max_container_name_length"]) + 2
"""A name of which every byte is written as %XX."""
MAX_BODY_BYTES = MAX_BULK_DELETES * (LIMITS["max_object_name_length"] + LIMITS["max_container_name_length"] + 2)
PIECE = 50
"""Deletes in one transaction: other writes wait for so many at most."""
MAX_EXPIRED = 1000
"""Objects whose time has passed that the deletion of their container takes along."""


class Tally:
    """What became of each name."""

    def __init__(self) -> None:
        self.deleted = 0
        self.missing = 0
        self.errors: list[list[str]] = []
        self.stopped = ""

    def add(self, outcomes: Sequence[tuple[str, ApiError | None]]) -> None:
        """Note what a transaction did."""
        for name, error in outcomes:
            if error is None:
                self.deleted += 1
            elif isinstance(error, NotFound):
                self.missing += 1
            else:
                self.errors.append([name, f"{error.status} {error.title}"])

    def answer(self, ctx: Context, request: Request) -> Response:
        """Report."""
        status = "200 OK"
        if self.errors:
            status = "400 Bad Request"
        elif not self.deleted and self.missing:
            status = "404 Not Found"
        report = {
            "Number Deleted": self.deleted,
            "Number Not Found": self.missing,
            "Response Body": self.stopped,
            "Response Status": status,
            "Errors": self.errors,
        }
        if format_of(request) == "json":
            return answer(ctx, 200, [], msgspec.json.encode(report), "application/json; charset=utf-8")
        lines = [f"{key}: {value}" for key, value in report.items() if key != "Errors"]
        lines += ["Errors:", *(", ".join(error) for error in self.errors)]
        return answer(ctx, 200, [], "\n".join(lines).encode())


def _delete(tx: Tx, ctx: Context, account: str, name: str) -> None:
    """Delete an object or an empty container."""
    decoded = unquote(name)
    metadata.check_text(decoded)
    container, _, rest = decoded.lstrip("/").partition("/")
    if not rest:
        return delete_container(tx, ctx, account, container)
    access.require_write(ctx, account, store.find(tx, account, container))
    if not objects.delete_object(tx, Path(account, container, rest)):
        raise NotFound(f"Object {rest} does not exist in container {container}.")
    return None


def _delete_piece(tx: Tx, ctx: Context, account: str, names: Sequence[str]) -> list[tuple[str, ApiError | None]]:
    outcomes: list[tuple[str, ApiError | None]] = []
    for name in names:
        try:
            _delete(tx, ctx, account, name)
            outcomes.append((name, None))
        except ApiError as error:
            outcomes.append((name, error))
    return outcomes


def delete_container(tx: Tx, ctx: Context, account: str, container: str) -> None:
    """Delete an empty container.  Raises Conflict when it is not empty."""
    access.require(ctx, access.WRITE, account)
    _, row = objects.container_at(tx, account, container)
    store.delete_expired(tx, row, objects.now_s(), MAX_EXPIRED)
    if store.has_objects(tx, row):
        raise Conflict(
            "There was a conflict when trying to complete your request. "
            f"Container {container} is not empty; delete its objects first."
        )
    store.delete_container(tx, row)


async def _delete_names(ctx: Context, runtime: Runtime, account: str, names: Sequence[str]) -> Tally:
    tally = Tally()
    for start in range(0, len(names), PIECE):
        if len(tally.errors) >= MAX_FAILED_DELETES:
            tally.stopped = f"Max delete failures exceeded: {MAX_FAILED_DELETES} names failed, the rest was not tried."
            break
        tally.add(await runtime.db.write(_delete_piece, ctx, account, names[start : start + PIECE]))
    blobs_of(runtime).nudge()
    return tally


async def bulk_delete(ctx: Context, request: Request, runtime: Runtime, account: str) -> Response:
    """Delete the names in the body, one a line."""
    body = (await request.read(MAX_BODY_BYTES)).decode("utf-8", "replace")
    if body.count("\n") > 2 * MAX_BULK_DELETES:
        raise TooLarge(f"Maximum Bulk Deletes: {MAX_BULK_DELETES} per request.")
    names = [name for line in body.split("\n") if (name := line.strip())]
    if len(names) > MAX_BULK_DELETES:
        raise TooLarge(f"Maximum Bulk Deletes: {MAX_BULK_DELETES} per request; this one has {len(names)}.")
    if any(len(name) > LONGEST_LINE for name in names):
        raise Invalid("Invalid File Name: a line is longer than any name; the body has one name a line.")
    tally = await _delete_names(ctx, runtime, account, names)
    return tally.answer(ctx, request)


async def delete_manifest(ctx: Context, request: Request, runtime: Runtime, path: Path, row: ObjectRow) -> Response:
    """Delete a static large object with its segments, those of the manifests among them too."""
    paths = {f"/{path.container}/{path.name}": None}
    waiting: list[str] = []
    manifest: ObjectRow | None = row
    while manifest is not None or waiting:
        if manifest is None:
            container, _, name = waiting.pop().lstrip("/").partition("/")
            manifest = (await runtime.db.read(store.find, path.account, container, name)).object
        for segment in (manifest.segments or ()) if manifest is not None else ():
            where = str(segment["path"])
            if where not in paths:
                paths[where] = None
                if segment.get("sub_slo"):
                    waiting.append(where)
        manifest = None
        if len(paths) > MAX_SEGMENT_DELETES:
            raise Invalid(
                f"Too many buffered slo segments to delete: the manifests name more than {MAX_SEGMENT_DELETES};"
                " delete those inside first."
            )
    # What names others goes after them.
    tally = await _delete_names(ctx, runtime, path.account, [quote(where) for where in reversed(paths)])
    return tally.answer(ctx, request)
