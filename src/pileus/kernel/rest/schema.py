"""What clients send and receive: typed structs whose fields carry the microversions in which they exist.

Rule: a struct is written once, for all versions; what a version does not know is refused on the way in and
left out on the way out.
"""

import functools
import typing
from typing import Any, TypeVar

import msgspec
from msgspec import UNSET, UnsetType

from pileus.kernel.errors import Invalid
from pileus.kernel.rest.bounds import LARGEST, SMALLEST
from pileus.kernel.rest.versions import LAST, Between, Version

T = TypeVar("T")


class Body(msgspec.Struct, kw_only=True, forbid_unknown_fields=True):
    """What a client sends; unknown fields are refused."""


class OpenBody(msgspec.Struct, kw_only=True):
    """What a client sends where the API allows more: a field ``extra: dict[str, Any] = {}`` collects the rest."""


class Query(msgspec.Struct, kw_only=True):
    """The parameters of a URL.  A field of list type collects repeated ones; unknown ones are ignored.

    From version ``strict_since`` ("2.75") on unknown ones are refused.
    """

    strict_since: typing.ClassVar[str | None] = None


class StrictQuery(msgspec.Struct, kw_only=True, forbid_unknown_fields=True):
    """The parameters of a URL; unknown ones are refused."""


class View(msgspec.Struct, kw_only=True):
    """What a client receives; a field set to UNSET is left out."""


class Marks(typing.NamedTuple):
    """What one version changes in a struct: the fields it does not know, and where to look further down."""

    absent: tuple[tuple[str, str], ...]
    inside: tuple[tuple[str, str, type[msgspec.Struct]], ...]


def structs_in(hint: Any) -> list[type[msgspec.Struct]]:
    """Return the structs that a type hint mentions, however deep in lists, unions and dictionaries."""
    if isinstance(hint, type) and issubclass(hint, msgspec.Struct):
        return [hint]
    return [struct for argument in typing.get_args(hint) for struct in structs_in(argument)]


@functools.cache
def marks(struct: type[msgspec.Struct], wanted: Version) -> Marks | None:
    """Return what version ``wanted`` changes in ``struct``, or None when it changes nothing, however deep."""
    hints = typing.get_type_hints(struct, include_extras=True)
    absent, inside = [], []
    for info in msgspec.structs.fields(struct):
        hint = hints[info.name]
        between = [mark for mark in getattr(hint, "__metadata__", ()) if isinstance(mark, Between)]
        if any(wanted not in mark for mark in between):
            absent.append((info.name, info.encode_name))
        else:
            below = [s for s in structs_in(hint) if s is not struct and marks(s, wanted)]
            if below:
                inside.append((info.name, info.encode_name, below[0]))
    return Marks(tuple(absent), tuple(inside)) if absent or inside else None


def trim(view: Any, wanted: Version) -> Any:
    """Set the fields that ``wanted`` does not know to UNSET, in place, at every depth; return ``view``."""
    if isinstance(view, list):
        for item in view:
            trim(item, wanted)
    elif isinstance(view, dict):
        for item in view.values():
            trim(item, wanted)
    elif isinstance(view, msgspec.Struct):
        changes = marks(type(view), wanted)
        if changes:
            for name, _ in changes.absent:
                setattr(view, name, UNSET)
            for name, _, _ in changes.inside:
                trim(getattr(view, name), wanted)
    return view


def decode(raw: Any, kind: Any, where: str, wanted: Version = LAST, *, strict: bool = True) -> Any:
    """Return ``raw`` (decoded JSON) as ``kind``; raise Invalid, naming the field, when it does not fit.

    ``where`` names the whole in the message.  With ``strict=False`` numbers and booleans may come as text.
    """
    if isinstance(kind, type) and issubclass(kind, msgspec.Struct):
        _refuse_absent(raw, kind, where, wanted)
        raw = _collect_extra(raw, kind)
    try:
        found = msgspec.convert(raw, kind, strict=strict)
    except msgspec.ValidationError as error:
        raise Invalid(f"Invalid input for {where}: {_readable(str(error))}") from None
    if not strict:
        refuse_large(found, where)
    return found


def refuse_large(found: Any, where: str) -> None:
    """Refuse numbers of more than 64 bits that came as text, which the bounds of a body do not see."""
    if isinstance(found, msgspec.Struct):
        for name in found.__struct_fields__:
            value = getattr(found, name)
            if type(value) is int and not SMALLEST <= value <= LARGEST:
                raise Invalid(f"Invalid input for {where}: {name} has more than 64 bits.")


def _refuse_absent(raw: Any, kind: type[msgspec.Struct], where: str, wanted: Version) -> None:
    changes = marks(kind, wanted) if wanted != LAST else None
    if changes is None or not isinstance(raw, dict):
        return
    for _, name in changes.absent:
        if name in raw and kind.__struct_config__.forbid_unknown_fields:
            raise Invalid(
                f"Invalid input for {where}: Additional properties are not allowed ('{name}' was unexpected"
                f" in version {wanted[0]}.{wanted[1]})."
            )
        raw.pop(name, None)
    for _, name, struct in changes.inside:
        below = raw.get(name)
        for item in below if isinstance(below, list) else [below]:
            _refuse_absent(item, struct, f"{where}.{name}", wanted)


@functools.cache
def _known_names(kind: type[msgspec.Struct]) -> frozenset[str] | None:
    fields = msgspec.structs.fields(kind)
    if not issubclass(kind, OpenBody) or not any(info.name == "extra" for info in fields):
        return None
    return frozenset(info.encode_name for info in fields if info.name != "extra")


def _collect_extra(raw: Any, kind: type[msgspec.Struct]) -> Any:
    known = _known_names(kind)
    if known is None or not isinstance(raw, dict):
        return raw
    body = {name: value for name, value in raw.items() if name in known}
    body["extra"] = {name: value for name, value in raw.items() if name not in known}
    return body


def _readable(message: str) -> str:
    """Turn msgspec's words into those of the API: ``Object contains unknown field `x` - at `$.y```."""
    text = message.replace("Object contains unknown field", "Additional properties are not allowed:")
    text = text.replace("Object missing required field", "missing required field")
    return text.replace(" - at `$.", " - at `").replace(" - at `$`", "").replace("`", "'") + "."


def given(value: T | UnsetType) -> typing.TypeGuard[T]:
    """Tell whether a field of an update was sent at all."""
    return value is not UNSET


def changes(body: msgspec.Struct) -> dict[str, Any]:
    """Return the fields of an update that were sent, by their Python names."""
    values = ((name, getattr(body, name)) for name in body.__struct_fields__)
    return {name: value for name, value in values if value is not UNSET}
