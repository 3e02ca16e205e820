"""What other services may ask of object storage: bytes under accounts of their own, kept within their transactions.

The one rule: ``put`` ends in the caller's own work in the same transaction as the object's row, and ``delete``
is part of the caller's transaction; so a caller's row and its bytes come and go together.
"""

from collections.abc import AsyncIterator, Callable
from pathlib import Path as File
from typing import TYPE_CHECKING, TypeVar

from pileus.kernel import clock, ids
from pileus.kernel.db import Tx, after_commit
from pileus.kernel.errors import NotFound, Unavailable
from pileus.services.object_store import store
from pileus.services.object_store.app import objects, tempurl
from pileus.services.object_store.app.blobs import Arrived, Part, Sending, blobs_of, folder_of
from pileus.services.object_store.app.objects import Details, Path
from pileus.services.object_store.drivers.base import BLOCK_BYTES, Blob, BlobNotFound
from pileus.services.object_store.drivers.sparing import copying

if TYPE_CHECKING:
    from pileus.kernel.runtime import Runtime

T = TypeVar("T")
__all__ = [
    "BLOCK_BYTES",
    "Arrived",
    "Path",
    "Sending",
    "copying",
    "data_path",
    "delete",
    "ensure_container",
    "ensure_signing_key",
    "folder_of",
    "get",
    "move",
    "put",
    "signed_url",
    "size",
]


def ensure_container(tx: Tx, account: str, container: str) -> None:
    """Make the account and the container when they are not there."""
    owner = store.ensure_account(tx, account, clock.now())
    if store.find(tx, account, container).container is None:
        store.insert_container(tx, owner, container, clock.now())


async def put(
    runtime: "Runtime",
    path: Path,
    chunks: AsyncIterator[bytes],
    then: Callable[[Tx, Arrived], T],
    *,
    max_bytes: int | None = None,
) -> T:
    """Store ``chunks`` as an object and run ``then(tx, arrived)`` in the transaction that makes it one.

    ``arrived`` tells size and MD5.  Whatever ``chunks`` or ``then`` raises undoes the upload.
    Raises TooLarge beyond ``max_bytes`` and OutOfSpace when the device is full.
    """

    def commit(tx: Tx, arrived: Arrived) -> T:
        objects.put_object(tx, path, Details("application/octet-stream"), arrived)
        return then(tx, arrived)

    place = (path.account, path.container, path.name)
    return await blobs_of(runtime).upload(place, chunks, commit, max_bytes=max_bytes)


async def get(runtime: "Runtime", path: Path, start: int = 0, length: int | None = None) -> Sending:
    """Open an object for reading: an async iterable of chunks with ``aclose``.  Raises NotFound."""
    for _ in range(3):
        row = await runtime.db.read(objects.object_at, path)
        count = row.size - start if length is None else min(length, row.size - start)
        parts = [Part(row.blob, start, count)] if row.blob and count > 0 else []
        try:
            return await blobs_of(runtime).open(parts)
        except BlobNotFound:
            continue
    raise Unavailable(f"The bytes of object {path} cannot be found; the operator's log on the device says more.")


def delete(tx: Tx, runtime: "Runtime", path: Path) -> None:
    """Remove an object in the caller's transaction, if it is there; its bytes go soon after the commit."""
    row = store.find(tx, path.account, path.container, path.name).object
    if row is not None:
        store.delete_object(tx, row)
        after_commit(tx, blobs_of(runtime).nudge)


def move(tx: Tx, source: Path, target: Path) -> None:
    """Give an object another name, in another container if need be; its bytes stay.  Raises NotFound."""
    row = objects.object_at(tx, source)
    _, container = objects.container_at(tx, target.account, target.container)
    store.move_object(tx, row, container, target.name)


def ensure_signing_key(tx: Tx, account: str) -> None:
    """Give the account a key for ``signed_url``, when it has none."""
    row = store.ensure_account(tx, account, clock.now())
    if tempurl.KEY not in row.headers:
        row.headers = {**row.headers, tempurl.KEY: ids.new_secret()}


def signed_url(tx: Tx, path: Path, valid_s: int) -> str:
    """Return a path and query below the cloud's base URL with which anyone may GET the object for a while."""
    account = store.find(tx, path.account).account
    key = account.headers.get(tempurl.KEY) if account is not None else None
    if key is None:
        raise NotFound(f"Account {path.account} has no signing key; call ensure_signing_key first.")
    return tempurl.sign(path, key, int(clock.now().timestamp()) + valid_s)


def size(tx: Tx, path: Path) -> int:
    """Return an object's size in bytes.  Raises NotFound."""
    return objects.object_at(tx, path).size


async def data_path(runtime: "Runtime", path: Path) -> File | None:
    """Return the local file that holds exactly the object's bytes (never write to it); None when there is none.

    A caller that needs the bytes for longer makes a hard link or a copy at once: a delete unlinks the file.
    """
    try:
        row = await runtime.db.read(objects.object_at, path)
    except NotFound:
        return None
    return await blobs_of(runtime).driver.path(Blob.parse(row.blob)) if row.blob else None
