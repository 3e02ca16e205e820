"""Many deletes in one request; every name is judged by itself."""

from collections.abc import Iterable
from urllib.parse import unquote

import msgspec

from pileus.kernel.context import Context
from pileus.kernel.db import Tx
from pileus.kernel.errors import ApiError, Conflict, NotFound, TooLarge
from pileus.kernel.rest import Request, Response
from pileus.kernel.runtime import Runtime
from pileus.services.object_store import store
from pileus.services.object_store.api.answers import answer
from pileus.services.object_store.api.listings import format_of
from pileus.services.object_store.app import access, objects
from pileus.services.object_store.app.blobs import blobs_of
from pileus.services.object_store.model import LIMITS, MAX_BULK_DELETES

MAX_BODY_BYTES = MAX_BULK_DELETES * (LIMITS["max_object_name_length"] + LIMITS["max_container_name_length"] + 2)


class Tally:
    """What became of each name."""

    def __init__(self) -> None:
        self.deleted = 0
        self.missing = 0
        self.errors: list[list[str]] = []

    def delete(self, tx: Tx, ctx: Context, account: str, name: str) -> None:
        """Delete an object or an empty container; note what happened."""
        container, slash, rest = unquote(name).lstrip("/").partition("/")
        try:
            if slash and rest:
                _delete_object(tx, ctx, objects.Path(account, container, rest))
            else:
                delete_container(tx, ctx, account, container)
            self.deleted += 1
        except NotFound:
            self.missing += 1
        except ApiError as error:
            self.errors.append([name, f"{error.status} {error.title}"])

    def answer(self, ctx: Context, request: Request) -> Response:
        """Report."""
        status = (
            "400 Bad Request" if self.errors else "404 Not Found" if not self.deleted and self.missing else "200 OK"
        )
        report = {
            "Number Deleted": self.deleted,
            "Number Not Found": self.missing,
            "Response Body": "",
            "Response Status": status,
            "Errors": self.errors,
        }
        if format_of(request) == "json":
            return answer(ctx, 200, [], msgspec.json.encode(report), "application/json; charset=utf-8")
        lines = [f"{key}: {value}" for key, value in report.items() if key != "Errors"]
        lines += ["Errors:", *(", ".join(error) for error in self.errors)]
        return answer(ctx, 200, [], "\n".join(lines).encode())


def _delete_object(tx: Tx, ctx: Context, path: objects.Path) -> None:
    access.require_write(ctx, path.account, store.find(tx, path.account, path.container).container)
    objects.delete_object(tx, path)


def delete_container(tx: Tx, ctx: Context, account: str, container: str) -> None:
    """Delete an empty container.  Raises Conflict when it is not empty."""
    access.require(ctx, access.WRITE, account)
    _, row = objects.container_at(tx, account, container)
    for expired in store.list_expired(tx, objects.now_s(), MAX_BULK_DELETES, row):
        store.delete_object(tx, expired)
    if store.has_objects(tx, row):
        raise Conflict(
            "There was a conflict when trying to complete your request. "
            f"Container {container} is not empty; delete its objects first."
        )
    store.delete_container(tx, row)


def delete_names(tx: Tx, ctx: Context, account: str, names: Iterable[str]) -> Tally:
    """Delete all names in one transaction."""
    tally = Tally()
    for name in names:
        tally.delete(tx, ctx, account, name)
    return tally


async def bulk_delete(ctx: Context, request: Request, runtime: Runtime, account: str) -> Response:
    """Delete the names in the body, one a line."""
    names = [line.strip() for line in (await request.read(MAX_BODY_BYTES)).decode("utf-8", "replace").splitlines()]
    names = [name for name in names if name]
    if len(names) > MAX_BULK_DELETES:
        raise TooLarge(f"Maximum Bulk Deletes: {MAX_BULK_DELETES} per request; this one has {len(names)}.")
    tally = await runtime.db.write(delete_names, ctx, account, names)
    blobs_of(runtime).nudge()
    return tally.answer(ctx, request)
