"""What happens to an object's row: put, changed, deleted, versioned, within the quotas.

The one rule: whatever replaces or removes a row discards its bytes in the same transaction.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import unquote

from pileus.kernel import clock
from pileus.kernel.db import Tx
from pileus.kernel.errors import Invalid, NotFound, PreconditionFailed, TooLarge
from pileus.services.object_store import store
from pileus.services.object_store.app.blobs import EMPTY, Arrived
from pileus.services.object_store.app.headers import QUOTAS
from pileus.services.object_store.model import LIMITS, AccountRow, ContainerRow, ObjectRow
from pileus.services.object_store.store import Listing, ObjectEntry

DELETED = "application/x-deleted;swift_versions_deleted=1"
"""The content type of the note that an object was deleted, among its archived versions."""
LAST_EXPIRY_S = 9_999_999_999
"""Later expiries are as good as this one."""
MAX_DIGITS = 20


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
    leaves: int | None = None
    depth: int | None = None
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
        leaves=details.leaves,
        depth=details.depth,
        delete_at=details.delete_at,
    )
    store.insert_object(tx, row)
    return row


def delete_object(tx: Tx, path: Path) -> bool:
    """Remove the current version; tell whether there was one, or whether an archived version took its place.

    With ``X-History-Location`` the archive keeps the version and notes the deletion, of a missing object too.
    """
    account, container = container_at(tx, path.account, path.container)
    row = store.find(tx, path.account, path.container, path.name).object
    if row is not None and is_expired(row):
        store.delete_object(tx, row)
        row = None
    archive = _archive_of(tx, account, container)
    if container.headers.get("x-history-location"):
        if archive is None:
            raise _no_archive(container)
        if row is not None:
            _archive(tx, account, container, row)
        _mark_deleted(tx, archive, path.name)
        return row is not None
    if row is not None:
        store.delete_object(tx, row)
    restored = archive is not None and _restore(tx, archive, container, path.name, was_there=row is not None)
    return row is not None or restored


def _restore(tx: Tx, archive: ContainerRow, container: ContainerRow, name: str, *, was_there: bool) -> bool:
    """Put the last archived version in the place of the one that was deleted; tell whether there was one.

    A note that the object was deleted is the last version when a container kept its history before: then nothing
    comes back of an object that was there, and of one that was not the version below the note, which goes.
    """
    found = store.list_objects(tx, archive, Listing(2, prefix=_version_prefix(name), reverse=True))
    versions = [entry for entry in found if isinstance(entry, ObjectEntry)]
    if versions and versions[0].content_type == DELETED:
        if was_there:
            return False
        store.delete_object(tx, store.get_object(tx, versions.pop(0).id))
        if not versions or versions[0].content_type == DELETED:
            return True
    if not versions:
        return False
    store.move_object(tx, store.get_object(tx, versions[0].id), container, name)
    return True


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
    limits_bytes = [*_numbers(account.headers, "bytes"), _number(account.headers, "x-account-meta-quota-bytes")]
    limit_bytes = min((limit for limit in limits_bytes if limit is not None), default=None)
    limit_count = min(_numbers(account.headers, "count"), default=None)
    if limit_bytes is not None or limit_count is not None:
        used = store.account_usage(tx, account)
        if limit_bytes is not None and used.bytes - replaced + size > limit_bytes:
            raise TooLarge(f"Upload exceeds quota: the account may hold {limit_bytes} bytes.")
        if limit_count is not None and used.objects + more > limit_count:
            raise TooLarge(f"Upload exceeds quota: the account may hold {limit_count} objects.")


def _numbers(headers: Mapping[str, str], what: str) -> list[int]:
    """Return the account's quotas of ``bytes`` or ``count``: of the whole, and of the one policy there is."""
    found = (_number(headers, name) for name in QUOTAS if name.startswith(f"x-account-quota-{what}"))
    return [limit for limit in found if limit is not None]


def _number(headers: Mapping[str, str], name: str) -> int | None:
    value = headers.get(name, "")
    return int(value) if value.isdigit() else None


def expiry(headers: Mapping[str, str]) -> int | None:
    """Return when an object is to expire, in seconds since the epoch.  Raises Invalid for times that cannot be."""
    now = now_s()
    after, at = headers.get("x-delete-after"), headers.get("x-delete-at")
    if after:
        return min(now + whole_number("X-Delete-After", after, "a number of seconds"), LAST_EXPIRY_S)
    if at:
        wanted = whole_number("X-Delete-At", at, "seconds since the epoch")
        if wanted <= now:
            raise Invalid(f"X-Delete-At {at} is in the past.")
        return min(wanted, LAST_EXPIRY_S)
    return None


def whole_number(header: str, text: str, what: str) -> int:
    """Read a header's number.  Raises Invalid."""
    if not (text.isascii() and text.isdigit()) or len(text) > MAX_DIGITS:
        raise Invalid(f"{header} must be {what}, not '{text[:MAX_DIGITS]}'.")
    return int(text)


def _archive_of(tx: Tx, account: AccountRow, container: ContainerRow) -> ContainerRow | None:
    location = container.headers.get("x-versions-location") or container.headers.get("x-history-location")
    return store.find(tx, account.name, unquote(location)).container if location else None


def _no_archive(container: ContainerRow) -> PreconditionFailed:
    return PreconditionFailed(
        f"The container that keeps the versions of {container.name} does not exist; make it, or take"
        " X-Versions-Location and X-History-Location away."
    )


def _version_prefix(name: str) -> str:
    return f"{len(name.encode()):03x}{name}/"


def _version_name(name: str, stamp: float) -> str:
    """Return what a version of an object is called in the archive.  Raises Invalid for a name that gets too long."""
    version = f"{_version_prefix(name)}{stamp:016.5f}"
    if len(version.encode()) > LIMITS["max_object_name_length"]:
        raise Invalid(f"The name of an object in a versioned container is too long to be archived: {name}.")
    return version


def _archive(tx: Tx, account: AccountRow, container: ContainerRow, row: ObjectRow) -> bool:
    """Move a version that is being replaced into the archive container; tell whether there is one."""
    if not (container.headers.get("x-versions-location") or container.headers.get("x-history-location")):
        return False
    archive = _archive_of(tx, account, container)
    if archive is None:
        raise _no_archive(container)
    name = _version_name(row.name, row.updated_at.timestamp())
    if (same := store.find_in(tx, archive, name)) is not None:
        store.delete_object(tx, same)
    store.move_object(tx, row, archive, name)
    return True


def _mark_deleted(tx: Tx, archive: ContainerRow, name: str) -> None:
    now = clock.now()
    stamp = now.timestamp()
    while store.find_in(tx, archive, _version_name(name, stamp)) is not None:
        stamp += 0.00001  # the version itself, archived in this very moment, must stay
    marker = ObjectRow(
        container_id=archive.id,
        name=_version_name(name, stamp),
        size=0,
        own_bytes=0,
        etag=EMPTY.md5,
        content_type=DELETED,
        updated_at=now,
        headers={},
    )
    store.insert_object(tx, marker)
