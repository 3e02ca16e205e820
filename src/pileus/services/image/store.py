"""Every SQL statement of the image service."""

from collections.abc import Iterable, Mapping
from datetime import datetime
from typing import Any, NamedTuple

from sqlalchemy import ColumnElement, Select, and_, delete, exists, false, func, or_, select, update

from pileus.kernel.db import Tx, rows_with
from pileus.services.image.model import (
    ACTIVE,
    DEACTIVATED,
    ENDED,
    QUEUED,
    SAVING,
    UPLOADING,
    ImageRow,
    MemberRow,
    PropertyRow,
    TagRow,
    TaskRow,
)

MIB = 1 << 20
MAX_TASKS = 1000


class Extras(NamedTuple):
    """What an image has beside its own row."""

    properties: dict[str, str]
    tags: list[str]


def get_image(tx: Tx, id: str) -> ImageRow | None:
    """Return the image."""
    return tx.get(ImageRow, id)


def images_by_id(tx: Tx, ids: Iterable[str]) -> dict[str, ImageRow]:
    """Return the images there are, by id."""
    return {row.id: row for row in rows_with(tx, ImageRow.id, set(ids))}


def insert_image(tx: Tx, row: ImageRow, properties: Mapping[str, str], tags: Iterable[str]) -> None:
    """Add an image with its properties and tags."""
    tx.add(row)
    tx.flush()
    set_properties(tx, row.id, properties)
    set_tags(tx, row.id, tags)


def delete_image(tx: Tx, row: ImageRow) -> None:
    """Remove an image and all that hangs on it."""
    for child in (PropertyRow, TagRow, MemberRow):
        tx.execute(delete(child).where(child.image_id == row.id))
    tx.execute(delete(TaskRow).where(TaskRow.image_id == row.id))
    tx.delete(row)
    tx.flush()


def extras_of(tx: Tx, ids: list[str]) -> dict[str, Extras]:
    """Return properties and tags of many images in two statements."""
    found = {id: Extras({}, []) for id in ids}
    for row in rows_with(tx, PropertyRow.image_id, ids):
        found[row.image_id].properties[row.name] = row.value
    for tag in rows_with(tx, TagRow.image_id, ids, TagRow.tag):
        found[tag.image_id].tags.append(tag.tag)
    return found


def set_properties(tx: Tx, id: str, properties: Mapping[str, str]) -> None:
    """Replace all properties of an image."""
    tx.execute(delete(PropertyRow).where(PropertyRow.image_id == id))
    tx.add_all([PropertyRow(image_id=id, name=name, value=value) for name, value in properties.items()])
    tx.flush()


def set_property(tx: Tx, id: str, name: str, value: str | None) -> None:
    """Give one property a value, or take it away; nothing where there is no such image."""
    tx.execute(delete(PropertyRow).where(PropertyRow.image_id == id, PropertyRow.name == name))
    if value is not None and tx.get(ImageRow, id) is not None:
        tx.add(PropertyRow(image_id=id, name=name, value=value))
    tx.flush()


def set_tags(tx: Tx, id: str, tags: Iterable[str]) -> None:
    """Replace all tags of an image."""
    tx.execute(delete(TagRow).where(TagRow.image_id == id))
    tx.add_all([TagRow(image_id=id, tag=tag) for tag in dict.fromkeys(tags)])
    tx.flush()


def get_tag(tx: Tx, id: str, tag: str) -> TagRow | None:
    """Return one tag."""
    return tx.get(TagRow, (id, tag))


def get_member(tx: Tx, id: str, member_id: str) -> MemberRow | None:
    """Return one member."""
    return tx.get(MemberRow, (id, member_id))


def list_members(tx: Tx, id: str, only: str | None = None) -> list[MemberRow]:
    """List the members of an image, or one of them."""
    statement = select(MemberRow).where(MemberRow.image_id == id).order_by(MemberRow.created_at, MemberRow.member_id)
    return list(tx.scalars(statement.where(MemberRow.member_id == only) if only is not None else statement))


def shared_with(member_id: str, status: str | None) -> ColumnElement[bool]:
    """Match images that are shared with a project, in one member status or in any."""
    member = exists().where(MemberRow.image_id == ImageRow.id, MemberRow.member_id == member_id)
    if status is not None:
        member = member.where(MemberRow.status == status)
    return and_(ImageRow.visibility == "shared", member)


def visible_images(project_id: str, visibility: str | None, member_status: str | None) -> Select[Any]:
    """Select what a project sees in a listing.

    Unless asked for, the community's images and shared ones that were not accepted are left out.
    """
    own = ImageRow.project_id == project_id if project_id else false()
    shared = shared_with(project_id, member_status) if project_id else false()
    statement = select(ImageRow)
    if visibility == "public":
        return statement.where(ImageRow.visibility == "public")
    if visibility == "community":
        return statement.where(ImageRow.visibility == "community")
    if visibility == "shared":
        return statement.where(ImageRow.visibility == "shared", or_(own, shared))
    if visibility == "private":
        return statement.where(ImageRow.visibility == "private", own)
    found = [own, shared, ImageRow.visibility == "public"]
    if visibility == "all":
        found.append(ImageRow.visibility == "community")
    return statement.where(or_(*found))


def all_images(visibility: str | None) -> Select[Any]:
    """Select what an administrator sees in a listing."""
    statement = select(ImageRow)
    if visibility in (None, "all"):
        return statement
    return statement.where(ImageRow.visibility == visibility)


def having_property(name: str, value: str) -> ColumnElement[bool]:
    """Match images that have a property with this value."""
    return exists().where(PropertyRow.image_id == ImageRow.id, PropertyRow.name == name, PropertyRow.value == value)


def having_tag(tag: str) -> ColumnElement[bool]:
    """Match images that have a tag."""
    return exists().where(TagRow.image_id == ImageRow.id, TagRow.tag == tag)


def abandon_uploads(tx: Tx, now: datetime) -> int:
    """Put images whose upload died with its process back to queued; return how many."""
    statement = update(ImageRow).where(ImageRow.status == SAVING)
    statement = statement.values(status=QUEUED, upload=None, updated_at=now)
    staging = update(ImageRow).where(ImageRow.status == UPLOADING, ImageRow.staged.is_(None))
    staging = staging.values(status=QUEUED, upload=None, updated_at=now)
    return sum(getattr(tx.execute(part), "rowcount", 0) for part in (statement, staging))


def insert_task(tx: Tx, row: TaskRow) -> None:
    """Add an import."""
    tx.add(row)
    tx.flush()


def get_task(tx: Tx, id: str) -> TaskRow | None:
    """Return an import."""
    return tx.get(TaskRow, id)


def list_tasks(tx: Tx, *, image_id: str | None = None, project_id: str | None = None) -> list[TaskRow]:
    """List imports, newest first: of one image, of one project, or all."""
    statement = select(TaskRow).order_by(TaskRow.created_at.desc(), TaskRow.id).limit(MAX_TASKS)
    if image_id is not None:
        statement = statement.where(TaskRow.image_id == image_id)
    if project_id is not None:
        statement = statement.where(TaskRow.project_id == project_id)
    return list(tx.scalars(statement))


def list_unfinished_tasks(tx: Tx) -> list[TaskRow]:
    """List imports that a stopped process left behind."""
    return list(tx.scalars(select(TaskRow).where(TaskRow.status.in_(("pending", "processing")))))


def forget_tasks(tx: Tx, before: datetime, limit: int) -> int:
    """Delete imports that ended before a moment, at most ``limit``; return how many there were."""
    ended = select(TaskRow.id).where(TaskRow.status.in_(ENDED), TaskRow.updated_at < before).limit(limit)
    old = list(tx.scalars(ended))
    if old:
        tx.execute(delete(TaskRow).where(TaskRow.id.in_(old)))
    return len(old)


def count_images(tx: Tx, project_id: str) -> int:
    """Count a project's images."""
    return tx.scalar(select(func.count()).where(ImageRow.project_id == project_id)) or 0


def count_uploading(tx: Tx, project_id: str) -> int:
    """Count a project's uploads under way."""
    statuses = (SAVING, UPLOADING, "importing")
    return tx.scalar(select(func.count()).where(ImageRow.project_id == project_id, ImageRow.status.in_(statuses))) or 0


def size_of_images(tx: Tx, project_id: str) -> int:
    """Sum a project's images in MiB, rounded up."""
    statuses = (ACTIVE, DEACTIVATED)
    statement = select(func.sum(ImageRow.size)).where(ImageRow.project_id == project_id, ImageRow.status.in_(statuses))
    return -(-int(tx.scalar(statement) or 0) // MIB)


def size_of_staged(tx: Tx, project_id: str) -> int:
    """Sum a project's staged bytes in MiB, rounded up."""
    statement = select(ImageRow.staged).where(ImageRow.project_id == project_id, ImageRow.status == UPLOADING)
    return -(-sum(int(staged["size"]) for staged in tx.scalars(statement) if staged) // MIB)
