"""Every SQL statement of object storage."""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from typing import Any, NamedTuple

from sqlalchemy import Select, bindparam, delete, func, select
from sqlalchemy.orm import InstrumentedAttribute

from pileus.kernel.db import Tx
from pileus.services.object_store.model import AccountRow, ContainerRow, DiscardRow, ObjectRow

LARGEST_BATCH = 1000
"""Rows read at once while names are rolled up."""


class Usage(NamedTuple):
    """How much there is."""

    objects: int
    bytes: int
    containers: int = 0


class Found(NamedTuple):
    """What a path led to, as far as it exists."""

    account: AccountRow | None
    container: ContainerRow | None
    object: ObjectRow | None


@dataclass(frozen=True, slots=True)
class Listing:
    """Which part of the names to list, in byte order."""

    limit: int
    prefix: str = ""
    marker: str = ""
    end_marker: str = ""
    delimiter: str = ""
    path: str | None = None
    reverse: bool = False


class ObjectEntry(NamedTuple):
    """What a listing tells of an object."""

    id: int
    name: str
    size: int
    etag: str
    content_type: str
    updated_at: datetime
    blob: str | None
    delete_at: int | None
    is_static: bool


class SegmentEntry(NamedTuple):
    """What a manifest has to know of an object that it names."""

    name: str
    size: int
    etag: str
    content_type: str
    updated_at: datetime
    delete_at: int | None
    headers: dict[str, str]
    leaves: int | None
    depth: int | None


class ContainerEntry(NamedTuple):
    """What a listing tells of a container."""

    id: int
    name: str
    updated_at: datetime


class Subdir(NamedTuple):
    """Names rolled up at the delimiter."""

    name: str


# Built once: every request follows a path, and building the statement costs more than running it.
_FIND = (
    select(AccountRow, ContainerRow, ObjectRow)
    .select_from(AccountRow)
    .outerjoin(ContainerRow, (ContainerRow.account_id == AccountRow.id) & (ContainerRow.name == bindparam("container")))
    .outerjoin(ObjectRow, (ObjectRow.container_id == ContainerRow.id) & (ObjectRow.name == bindparam("object")))
    .where(AccountRow.name == bindparam("account"))
)


def find(tx: Tx, account: str, container: str = "", name: str = "") -> Found:
    """Follow a path in one statement."""
    row = tx.execute(_FIND, {"account": account, "container": container, "object": name}).one_or_none()
    return Found(*row) if row else Found(None, None, None)


def ensure_account(tx: Tx, name: str, now: datetime, project_domain_id: str | None = None) -> AccountRow:
    """Return the account, made when it is not there; the domain is kept when it was not known."""
    account = tx.scalar(select(AccountRow).where(AccountRow.name == name))
    if account is None:
        account = AccountRow(name=name, created_at=now, headers={})
        tx.add(account)
    if account.project_domain_id is None and project_domain_id is not None:
        account.project_domain_id = project_domain_id
    tx.flush()
    return account


def delete_some_of_account(tx: Tx, account: AccountRow, most: int) -> bool:
    """Remove up to ``most`` of an account's objects, or containers, or at last itself; tell whether it is gone."""
    containers = select(ContainerRow.id).where(ContainerRow.account_id == account.id)
    found = select(ObjectRow.id, ObjectRow.blob).where(ObjectRow.container_id.in_(containers)).limit(most)
    if objects := tx.execute(found).all():
        _delete_objects(tx, [(row.id, row.blob) for row in objects])
        return False
    if ids := list(tx.scalars(containers.limit(most))):
        for part in _parts(ids):
            tx.execute(delete(ContainerRow).where(ContainerRow.id.in_(part)))
        return False
    tx.execute(delete(AccountRow).where(AccountRow.id == account.id))
    return True


def _delete_objects(tx: Tx, found: list[tuple[int, str | None]]) -> None:
    insert_discards(tx, [blob for _, blob in found if blob])
    for part in _parts([id for id, _ in found]):
        tx.execute(delete(ObjectRow).where(ObjectRow.id.in_(part)))


_OWN_BYTES = func.coalesce(func.sum(ObjectRow.own_bytes), 0)


def account_usage(tx: Tx, account: AccountRow) -> Usage:
    """Count containers, objects and bytes of an account."""
    containers = tx.scalar(select(func.count()).where(ContainerRow.account_id == account.id)) or 0
    query = select(func.count(), _OWN_BYTES).join(ContainerRow, ContainerRow.id == ObjectRow.container_id)
    objects, size = tx.execute(query.where(ContainerRow.account_id == account.id)).one()
    return Usage(objects, int(size), containers)


def container_usage(tx: Tx, container: ContainerRow) -> Usage:
    """Count objects and bytes of a container."""
    objects, size = tx.execute(select(func.count(), _OWN_BYTES).where(ObjectRow.container_id == container.id)).one()
    return Usage(objects, int(size))


def insert_container(tx: Tx, account: AccountRow, name: str, now: datetime) -> ContainerRow:
    """Add a container."""
    container = ContainerRow(account_id=account.id, name=name, created_at=now, updated_at=now, headers={})
    tx.add(container)
    tx.flush()
    return container


def delete_container(tx: Tx, container: ContainerRow) -> None:
    """Remove an empty container."""
    tx.delete(container)
    tx.flush()


def has_objects(tx: Tx, container: ContainerRow) -> bool:
    """Tell whether anything is in the container."""
    return tx.scalar(select(ObjectRow.id).where(ObjectRow.container_id == container.id).limit(1)) is not None


def list_containers(tx: Tx, account: AccountRow, listing: Listing) -> list[tuple[ContainerEntry, Usage] | Subdir]:
    """List containers with their usage."""
    statement = select(ContainerRow.id, ContainerRow.name, ContainerRow.updated_at)
    found = _list(tx, statement.where(ContainerRow.account_id == account.id), ContainerRow.name, listing)
    ids = [row.id for row in found if not isinstance(row, Subdir)]
    query = select(ObjectRow.container_id, func.count(), _OWN_BYTES).group_by(ObjectRow.container_id)
    usage = {
        container_id: Usage(objects, int(size))
        for part in _parts(ids)
        for container_id, objects, size in tx.execute(query.where(ObjectRow.container_id.in_(part)))
    }
    return [row if isinstance(row, Subdir) else (ContainerEntry(*row), usage.get(row.id, Usage(0, 0))) for row in found]


_ENTRY = select(
    ObjectRow.id,
    ObjectRow.name,
    ObjectRow.size,
    ObjectRow.etag,
    ObjectRow.content_type,
    ObjectRow.updated_at,
    ObjectRow.blob,
    ObjectRow.delete_at,
    ObjectRow.segments.is_not(None).label("is_static"),
)


def list_objects(tx: Tx, container: ContainerRow, listing: Listing) -> list[ObjectEntry | Subdir]:
    """List objects, rolled up at the delimiter."""
    found = _list(tx, _ENTRY.where(ObjectRow.container_id == container.id), ObjectRow.name, listing)
    return [row if isinstance(row, Subdir) else ObjectEntry(*row) for row in found]


def get_object(tx: Tx, id: int) -> ObjectRow:
    """Return an object that a listing named."""
    return tx.get_one(ObjectRow, id)


def find_in(tx: Tx, container: ContainerRow, name: str) -> ObjectRow | None:
    """Return the container's object of that name."""
    return tx.scalar(select(ObjectRow).where(ObjectRow.container_id == container.id, ObjectRow.name == name))


def find_object(tx: Tx, id: int) -> ObjectRow | None:
    """Return an object that a listing named some time ago."""
    return tx.get(ObjectRow, id)


_SEGMENT = select(
    ObjectRow.name,
    ObjectRow.size,
    ObjectRow.etag,
    ObjectRow.content_type,
    ObjectRow.updated_at,
    ObjectRow.delete_at,
    ObjectRow.headers,
    ObjectRow.leaves,
    ObjectRow.depth,
)


def find_segments(tx: Tx, container: ContainerRow, names: list[str]) -> list[SegmentEntry]:
    """Return what there is of a container's objects of these names, without their own manifests."""
    rows = tx.execute(_SEGMENT.where(ObjectRow.container_id == container.id, ObjectRow.name.in_(names)))
    return [SegmentEntry(*row) for row in rows]


def insert_object(tx: Tx, row: ObjectRow) -> None:
    """Add an object."""
    tx.add(row)
    tx.flush()


def move_object(tx: Tx, row: ObjectRow, container: ContainerRow, name: str) -> None:
    """Give an object another place; its bytes stay where they are."""
    row.container_id, row.name = container.id, name
    tx.flush()


def delete_object(tx: Tx, row: ObjectRow) -> None:
    """Remove an object; its bytes are discarded."""
    if row.blob:
        insert_discards(tx, [row.blob])
    tx.delete(row)
    tx.flush()


def list_expired(tx: Tx, now_s: int, limit: int, container: ContainerRow | None = None) -> list[ObjectRow]:
    """List objects whose time has passed, anywhere or in one container."""
    query = select(ObjectRow).where(ObjectRow.delete_at <= now_s).order_by(ObjectRow.delete_at).limit(limit)
    return list(tx.scalars(query if container is None else query.where(ObjectRow.container_id == container.id)))


def delete_expired(tx: Tx, container: ContainerRow, now_s: int, most: int) -> None:
    """Remove up to ``most`` of a container's objects whose time has passed."""
    found = select(ObjectRow.id, ObjectRow.blob).where(
        ObjectRow.container_id == container.id, ObjectRow.delete_at <= now_s
    )
    _delete_objects(tx, [(row.id, row.blob) for row in tx.execute(found.limit(most))])


def is_blob_named(tx: Tx, blob: str) -> bool:
    """Tell whether an object's row names this blob."""
    return tx.scalar(select(ObjectRow.id).where(ObjectRow.blob == blob)) is not None


def insert_discards(tx: Tx, blobs: Iterable[str]) -> None:
    """Note bytes that are to be removed; ``has_discards`` tells so for the rest of the transaction."""
    discards = [DiscardRow(blob=blob) for blob in blobs]
    if discards:
        tx.add_all(discards)
        tx.info["object_store_discards"] = True
        tx.flush()


def has_discards(tx: Tx) -> bool:
    """Tell whether this transaction let go of bytes."""
    return bool(tx.info.get("object_store_discards"))


def list_discards(tx: Tx, limit: int) -> list[str]:
    """List bytes that are to be removed."""
    return list(tx.scalars(select(DiscardRow.blob).limit(limit)))


def delete_discards(tx: Tx, blobs: list[str]) -> None:
    """Forget bytes that were removed."""
    for part in _parts(blobs):
        tx.execute(delete(DiscardRow).where(DiscardRow.blob.in_(part)))


def _list(tx: Tx, base: Select[*tuple[Any, ...]], name: InstrumentedAttribute[str], listing: Listing) -> list[Any]:
    """List rows by name; a rolled-up subdirectory is skipped over by a new query, not read through."""
    if listing.prefix:
        base = base.where(name >= listing.prefix)
        if (after := successor(listing.prefix)) is not None:
            base = base.where(name < after)
    if listing.end_marker:
        base = base.where(name > listing.end_marker if listing.reverse else name < listing.end_marker)
    base = base.order_by(name.desc() if listing.reverse else name)
    seek = (name < listing.marker if listing.reverse else name > listing.marker) if listing.marker else None
    found: list[Any] = []
    batch = LARGEST_BATCH
    while len(found) < listing.limit:
        want = min(batch, listing.limit - len(found)) if listing.delimiter else listing.limit - len(found)
        rows = tx.execute((base if seek is None else base.where(seek)).limit(want)).all()
        subdir = _take(found, [*rows], listing)
        if len(rows) < want:
            break
        if subdir is None:
            seek = name < rows[-1].name if listing.reverse else name > rows[-1].name
            continue
        jump = subdir if listing.reverse else successor(subdir)
        if jump is None:
            break
        seek = name < jump if listing.reverse else name >= jump
        # A batch that was one subdirectory was read in vain: read less next time, more when it paid.
        batch = max(16, batch // 2) if rows[0].name.startswith(subdir) else min(LARGEST_BATCH, batch * 2)
    return found


def _take(found: list[Any], rows: list[Any], listing: Listing) -> str | None:
    """Add rows to ``found``, rolled up; return the subdirectory that the last row lies in, if any."""
    subdir = None
    for row in rows:
        if len(found) >= listing.limit:
            break
        if subdir is not None and row.name.startswith(subdir):
            continue
        subdir = subdir_of(row.name, listing)
        if subdir is None:
            if row.name != listing.path:
                found.append(row)
        elif subdir != listing.marker and listing.path is None:
            found.append(Subdir(subdir))
    return subdir


def subdir_of(name: str, listing: Listing) -> str | None:
    """Return what ``name`` is rolled up to, or None when it is listed itself."""
    if not listing.delimiter:
        return None
    at = name.find(listing.delimiter, len(listing.prefix))
    if at < 0:
        return None
    subdir = name[: at + len(listing.delimiter)]
    if listing.path is not None and subdir == name:
        return None  # with path=, a pseudo-directory that is an object is listed as one
    return subdir


def successor(prefix: str) -> str | None:
    """Return the first string after all that start with ``prefix``; None when there is none."""
    for i in range(len(prefix) - 1, -1, -1):
        code = ord(prefix[i]) + 1
        if code == 0xD800:  # the surrogates are no characters
            code = 0xE000
        if code <= 0x10FFFF:
            return prefix[:i] + chr(code)
    return None


def _parts(items: list[Any], size: int = 500) -> list[list[Any]]:
    """Cut a list so that a statement stays below the engines' limits of parameters."""
    return [items[i : i + size] for i in range(0, len(items), size)]
