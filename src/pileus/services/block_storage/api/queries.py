"""What the lists of this API have in common: sorting, windows, filters and who may look beyond their project."""

import ast
from datetime import UTC, datetime
from typing import Any, TypeVar

import msgspec

from pileus.kernel.context import Context
from pileus.kernel.errors import Invalid
from pileus.kernel.rest import Query, Request, sort_order
from pileus.kernel.rest.references import SomeProject
from pileus.services.block_storage.store.listing import Window

T = TypeVar("T")
TRUE = frozenset({"1", "true", "t", "yes", "y", "on"})
FALSE = frozenset({"0", "false", "f", "no", "n", "off"})


class ListQuery(Query):
    """The parameters every list takes."""

    limit: int | None = None
    marker: str | None = None
    offset: int = 0
    sort: str | None = None
    sort_key: str | None = None
    sort_dir: str | None = None
    all_tenants: str | None = None
    project_id: SomeProject | None = None
    with_count: str | None = None


COMMON = frozenset({"limit", "marker", "offset", "sort", "sort_key", "sort_dir", "all_tenants", "with_count"})


def window(query: ListQuery, allowed: dict[str, Any]) -> Window:
    """Return the part of the list that is wanted; newest first unless told otherwise."""
    keys, directions = ["created_at"], ["desc"]
    if query.sort:
        if query.sort_key or query.sort_dir:
            raise Invalid("The parameter 'sort' excludes 'sort_key' and 'sort_dir': use one or the other.")
        pairs = [part.strip().partition(":") for part in query.sort.split(",")]
        keys, directions = [key for key, _, _ in pairs], [direction or "desc" for _, _, direction in pairs]
    elif query.sort_key or query.sort_dir:
        keys, directions = [query.sort_key or "created_at"], [query.sort_dir or "desc"]
    if query.offset < 0:
        raise Invalid(f"offset must be zero or more, not {query.offset}.")
    return Window(sort_order(keys, directions, allowed), query.limit, query.marker, query.offset)


def project_of(ctx: Context, query: ListQuery) -> str | None:
    """Return whose rows to list: the caller's own, or for administrators any project's, None for all."""
    if not ctx.is_admin or not boolean(query.all_tenants, "all_tenants", default=False):
        return ctx.project_id
    return query.project_id


def boolean(text: str | bool | None, name: str, *, default: T) -> bool | T:
    """Read the many ways clients write true and false; raise Invalid for anything else."""
    if text is None or isinstance(text, bool):
        return default if text is None else text
    lowered = text.strip().lower()
    if lowered in TRUE:
        return True
    if lowered in FALSE or lowered == "":
        return False
    raise Invalid(f"Invalid value '{text}' for '{name}': it must be true or false.")


_COMPARED = ("gt", "gte", "eq", "neq", "lt", "lte")


def moments(ctx: Context, text: str | None, name: str) -> tuple[tuple[str, datetime], ...]:
    """Read a filter such as ``gt:2030-01-01T00:00:00,lte:2031-01-01T00:00:00``; times without a zone are UTC.

    Raises Invalid, also before 3.60, which does not know it.
    """
    if text is None:
        return ()
    if ctx.version < (3, 60):
        raise Invalid(f"Volumes are listed by '{name}' from version 3.60 on, not in {_dotted(ctx)}.")
    return tuple(_moment(part, name) for part in text.split(","))


def _moment(text: str, name: str) -> tuple[str, datetime]:
    compared, _, time = text.strip().partition(":")
    if compared not in _COMPARED:
        known = ", ".join(_COMPARED)
        raise Invalid(f"Invalid {name} operator '{compared[:40]}': say 'gt:2030-01-01T00:00:00' or so, with {known}.")
    try:
        found = datetime.fromisoformat(time)
    except ValueError as error:
        raise Invalid(f"Invalid {name} value '{time[:40]}': it must be a time in ISO 8601.") from error
    return compared, found.replace(tzinfo=UTC) if found.tzinfo is None else found.astimezone(UTC)


def _dotted(ctx: Context) -> str:
    return f"{ctx.version[0]}.{ctx.version[1]}"


def mapping(text: str | None, name: str) -> dict[str, str]:
    """Read a filter such as ``{'Type': 'work'}``: clients send Python's notation or JSON."""
    if not text:
        return {}
    for read in (msgspec.json.decode, ast.literal_eval):
        try:
            return msgspec.convert(read(text), dict[str, str])
        except (ValueError, SyntaxError, MemoryError, RecursionError):
            continue
    raise Invalid(f"Invalid value '{text}' for '{name}': it must look like {{'key': 'value'}}.")


def refuse_unknown(ctx: Context, request: Request, known: frozenset[str]) -> None:
    """Raise Invalid for filters nobody knows; from 3.31 on, and not for administrators, as upstream."""
    if ctx.version < (3, 31) or ctx.is_admin:
        return
    unknown = sorted({name for name, _ in request.query_items()} - COMMON - known)
    if unknown:
        raise Invalid(f"Invalid filters {', '.join(unknown)} are found in query options.")


def counted(ctx: Context, query: ListQuery) -> bool:
    """Tell whether the answer must say how many there are in all."""
    return ctx.version >= (3, 45) and boolean(query.with_count, "with_count", default=False) is True
