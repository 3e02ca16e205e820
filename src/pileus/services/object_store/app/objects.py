"""What happens to an object's row: put, changed, deleted, versioned, within the quotas.

The one rule: whatever replaces or removes a row discards its bytes in the same transaction.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from pileus.kernel import clock
from pileus.kernel.db import Tx
from pileus.kernel.errors import Invalid, NotFound, PreconditionFailed, TooLarge
from pileus.services.object_store import store
from pileus.services.object_store.app.blobs import Arrived
from pileus.services.object_store.model import LIMITS, AccountRow, ContainerRow, ObjectRow
from pileus.services.object_store.store import Listing, ObjectEntry


@dataclass(frozen=True, slots=True)
class Path:
    """Where an object is."""

    account: str
    container: str
    name: str

    def __str__(self) -> str:
        return f"/{self.account}/{self.container}/{self.name}"


@dataclass(frozen=True, slots=True)
class Details:
    """What is kept beside an object's bytes."""

    content_type: str
    headers: Mapping[str, str] = field(default_factory=dict)
    delete_at: int | None = None
    segments: list[dict[str, Any]] | None = None
    size: int | None = None
    """Of a static large object: what its segments sum up to."""
    etag: str | None = None
    """Of a static large object: the digest of its segments' etags."""
    only_new: bool = False
    """The client said ``If-None-Match: *``."""


def container_at(tx: Tx, account: str, container: str) -> tuple[AccountRow, ContainerRow]:
    """Return the container.  Raises NotFound."""
    found = store.find(tx, account, container)
    if found.account is None or found.container is None:
        raise NotFound(f"Container {container} of account {account} does not exist; create it with PUT first.")
    return found.account, found.container


def object_at(tx: Tx, path: Path) -> ObjectRow:
    """Return the object, unless its time has passed.  Raises NotFound."""
    found = store.find(tx, path.account, path.container, path.name).object
    if found is None or is_expired(found):
        raise NotFound(f"Object {path.name} does not exist in container {path.container}.")
    return found


def now_s() -> int:
    """Return the time in whole seconds since the epoch."""
    return int(clock.now().timestamp())


def is_expired(row: ObjectRow | ObjectEntry) -> bool:
    """Tell whether the object's time has passed."""
    return row.delete_at is not None and row.delete_at <= clock.now().timestamp()


def put_object(tx: Tx, path: Path, details: Details, arrived: Arrived) -> ObjectRow:
    """Make the arrived bytes the object's current version."""
    found = store.find(tx, path.account, path.container, path.name)
    if found.account is None or found.container is None:
        raise NotFound(f"Container {path.container} of account {path.account} does not exist; create it first.")
    old = found.object
    if details.only_new and old is not None and not is_expired(old):
        raise PreconditionFailed(f"Object {path.name} exists already and If-None-Match: * was given.")
    check_quota(tx, found.account, found.container, old, arrived.size)
    if old is not None and not _archive(tx, found.account, found.container, old):
        store.delete_object(tx, old)
    row = ObjectRow(
        container_id=found.container.id,
        name=path.name,
        size=arrived.size if details.size is None else details.size,
        own_bytes=arrived.size,
        etag=details.etag or arrived.md5,
        content_type=details.content_type,
        updated_at=clock.now(),
        headers=dict(details.headers),
        blob=arrived.blob,
        segments=details.segments,
        delete_at=details.delete_at,
    )
    store.insert_object(tx, row)
    return row


def delete_object(tx: Tx, path: Path) -> None:
    """Remove the current version; a version kept in the archive takes its place.  Raises NotFound."""
    row = object_at(tx, path)
    account, container = container_at(tx, path.account, path.container)
    if "x-history-location" in container.headers:
        _archive(tx, account, container, row)
        _mark_deleted(tx, account, container, path.name)
        return
    store.delete_object(tx, row)
    archive = _archive_of(tx, account, container)
    if archive is not None:
        last = store.list_objects(tx, archive, Listing(1, prefix=_version_prefix(path.name), reverse=True))
        if last:
            [entry] = last
            assert isinstance(entry, ObjectEntry)
            store.move_object(tx, store.get_object(tx, entry.id), container, path.name)


def check_quota(tx: Tx, account: AccountRow, container: ContainerRow, old: ObjectRow | None, size: int) -> None:
    """Raise TooLarge unless the container's and the account's quotas have room for ``size`` more bytes."""
    replaced = old.own_bytes if old is not None else 0
    more = 0 if old is not None else 1
    limit_bytes = _number(container.headers, "x-container-meta-quota-bytes")
    limit_count = _number(container.headers, "x-container-meta-quota-count")
    if limit_bytes is not None or limit_count is not None:
        used = store.container_usage(tx, container)
        if limit_bytes is not None and used.bytes - replaced + size > limit_bytes:
            raise TooLarge(f"Upload exceeds quota: container {container.name} may hold {limit_bytes} bytes.")
        if limit_count is not None and used.objects + more > limit_count:
            raise TooLarge(f"Upload exceeds quota: container {container.name} may hold {limit_count} objects.")
    limit_bytes = _number(account.headers, "x-account-quota-bytes", "x-account-meta-quota-bytes")
    limit_count = _number(account.headers, "x-account-quota-count")
    if limit_bytes is not None or limit_count is not None:
        used = store.account_usage(tx, account)
        if limit_bytes is not None and used.bytes - replaced + size > limit_bytes:
            raise TooLarge(f"Upload exceeds quota: the account may hold {limit_bytes} bytes.")
        if limit_count is not None and used.objects + more > limit_count:
            raise TooLarge(f"Upload exceeds quota: the account may hold {limit_count} objects.")


def _number(headers: Mapping[str, str], *names: str) -> int | None:
    for name in names:
        if headers.get(name, "").isdigit():
            return int(headers[name])
    return None


def expiry(headers: Mapping[str, str]) -> int | None:
    """Return when an object is to expire, in seconds since the epoch.  Raises Invalid for times that cannot be."""
    now = now_s()
    after, at = headers.get("x-delete-after"), headers.get("x-delete-at")
    if after:
        if not after.isdigit() or len(after) > 11:
            raise Invalid(f"X-Delete-After must be a number of seconds, not '{after}'.")
        return now + int(after)
    if at:
        if not at.isdigit() or len(at) > 11:
            raise Invalid(f"X-Delete-At must be seconds since the epoch, not '{at}'.")
        if int(at) <= now:
            raise Invalid(f"X-Delete-At {at} is in the past.")
        return int(at)
    return None


def _archive_of(tx: Tx, account: AccountRow, container: ContainerRow) -> ContainerRow | None:
    name = container.headers.get("x-versions-location") or container.headers.get("x-history-location")
    return store.find(tx, account.name, name).container if name else None


def _version_prefix(name: str) -> str:
    return f"{len(name.encode()):03x}{name}/"


def _archive(tx: Tx, account: AccountRow, container: ContainerRow, row: ObjectRow) -> bool:
    """Move a version that is being replaced into the archive container; tell whether there is one."""
    if not (container.headers.get("x-versions-location") or container.headers.get("x-history-location")):
        return False
    archive = _archive_of(tx, account, container)
    if archive is None:
        raise PreconditionFailed(f"The container that keeps the versions of {container.name} does not exist.")
    stamp = f"{row.updated_at.timestamp():016.5f}"
    name = _version_prefix(row.name) + stamp
    if len(name.encode()) > LIMITS["max_object_name_length"]:
        raise Invalid(f"The name of an object in a versioned container is too long to be archived: {row.name}.")
    same = store.find(tx, account.name, archive.name, name).object
    if same is not None:
        store.delete_object(tx, same)
    store.move_object(tx, row, archive, name)
    return True


def _mark_deleted(tx: Tx, account: AccountRow, container: ContainerRow, name: str) -> None:
    archive = _archive_of(tx, account, container)
    assert archive is not None  # _archive was called before
    now = clock.now()
    marker = ObjectRow(
        container_id=archive.id,
        name=f"{_version_prefix(name)}{now.timestamp():016.5f}",
        size=0,
        own_bytes=0,
        etag="d41d8cd98f00b204e9800998ecf8427e",
        content_type="application/x-deleted;swift_versions_deleted=1",
        updated_at=now,
        headers={},
    )
    store.insert_object(tx, marker)
