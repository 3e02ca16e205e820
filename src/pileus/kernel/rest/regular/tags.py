"""Tags of regular resources: rows, filters and the sub-resource ``.../tags``.

Rule: one table holds the tags of every kind of resource; they go when their resource goes.
"""

from collections.abc import Callable, Sequence
from typing import Any

from sqlalchemy import ColumnElement, String, and_, bindparam, delete, func, not_, select
from sqlalchemy.orm import Mapped, mapped_column

from pileus.kernel.context import Context
from pileus.kernel.db import Row, Tx
from pileus.kernel.errors import Invalid, NotFound
from pileus.kernel.rest.regular.filters import Filter

MAX_LENGTH = 255
MAX_COUNT = 50


class Tag(Row):
    """One tag of one resource."""

    __tablename__ = "resource_tags"
    resource_id: Mapped[str] = mapped_column(String(36), primary_key=True)
    tag: Mapped[str] = mapped_column(String(MAX_LENGTH), primary_key=True)


def tags_of(tx: Tx, resource_ids: Sequence[str]) -> dict[str, list[str]]:
    """Return the tags of many resources, sorted, in one query."""
    found: dict[str, list[str]] = {}
    tx.flush()
    if len(resource_ids) == 1:
        rows = tx.connection().execute(_OF_ONE, {"one": resource_ids[0]})
    else:
        rows = tx.connection().execute(_OF_MANY, {"many": resource_ids})
    for resource_id, tag in rows:
        found.setdefault(resource_id, []).append(tag)
    return found


_tag: Any = Tag.__table__
_TAGS = select(_tag.c.resource_id, _tag.c.tag).order_by(_tag.c.tag)
_OF_ONE = _TAGS.where(_tag.c.resource_id == bindparam("one"))
_OF_MANY = _TAGS.where(_tag.c.resource_id.in_(bindparam("many", expanding=True)))


def set_tags(tx: Tx, resource_id: str, tags: Sequence[Any]) -> list[str]:
    """Replace the tags of a resource; raise Invalid for what cannot be a tag."""
    wanted = sorted({valid(tag) for tag in tags})
    if len(wanted) > MAX_COUNT:
        raise Invalid(f"A resource can have {MAX_COUNT} tags at most, not {len(wanted)}.")
    drop_tags(tx, resource_id)
    tx.add_all(Tag(resource_id=resource_id, tag=tag) for tag in wanted)
    return wanted


def drop_tags(tx: Tx, resource_id: str) -> None:
    """Remove all tags of a resource."""
    tx.execute(delete(Tag).where(Tag.resource_id == resource_id))


def valid(tag: Any) -> str:
    """Return ``tag``; raise Invalid unless it is a text of 1 to 255 characters."""
    if not isinstance(tag, str) or not 0 < len(tag) <= MAX_LENGTH:
        raise Invalid(f"Invalid input for tags. Reason: {tag!r} is not a text of 1 to {MAX_LENGTH} characters.")
    return tag


def tag_filters(id_column: Any) -> dict[str, Filter]:
    """Return the four filters: ``tags`` has all, ``tags-any`` one of them, and their opposites."""

    def split(values: list[str]) -> list[str]:
        return sorted({tag for value in values for tag in value.split(",")})

    def has_all(tags: list[str]) -> ColumnElement[bool]:
        count = select(func.count()).where(and_(Tag.resource_id == id_column, Tag.tag.in_(tags))).scalar_subquery()
        return count == len(tags)

    def has_any(tags: list[str]) -> ColumnElement[bool]:
        return select(Tag.tag).where(and_(Tag.resource_id == id_column, Tag.tag.in_(tags))).exists()

    def filter(test: Callable[[list[str]], ColumnElement[bool]], negate: bool) -> Filter:
        def matches(ctx: Context, values: list[str]) -> ColumnElement[bool]:
            found = test(split(values))
            return not_(found) if negate else found

        return matches

    return {
        "tags": filter(has_all, False),
        "tags-any": filter(has_any, False),
        "not-tags": filter(has_all, True),
        "not-tags-any": filter(has_any, True),
    }


def one(tx: Tx, resource_id: str, tag: str) -> Tag:
    """Return a tag; raise NotFound when the resource does not have it."""
    found = tx.get(Tag, (resource_id, tag))
    if found is None:
        raise NotFound(f"Tag {tag} could not be found on {resource_id}.", kind="TagNotFound")
    return found
