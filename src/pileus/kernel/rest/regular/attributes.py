"""Regular resources: one annotated struct yields the bodies, the view, the filters and the sort keys.

Rule: everything is worked out once, when the resource is declared; a request only looks things up.
"""

import types
import typing
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime
from operator import attrgetter, itemgetter
from typing import Annotated, Any

import msgspec
from msgspec import UNSET

from pileus.kernel import clock
from pileus.kernel.rest.versions import Between, Version


@dataclass(frozen=True)
class Attr:
    """Where an attribute may appear and who may touch it.

    ``on``: c in the create body, u in the update body, v in the view, b in that of brief lists.  ``find``: f is a
    filter, s a sort key.
    ``create``, ``update``, ``get`` are policy checks of their own ("create_network:shared").  ``source`` is the
    row's attribute when it is not called like the field; "" when the value comes from ``related``.  ``null`` says
    what a client's null is where the type has None: True, the value None; False, a mistake (None then only stands
    for what was not given); ``list``, ``dict`` or ``str``, an empty one.  ``show`` makes the view's value of the row's.
    """

    on: str = "cuv"
    find: str = "fs"
    create: str | None = None
    update: str | None = None
    get: str | None = None
    source: str | None = None
    null: bool | type = True
    show: Callable[[Any], Any] | None = None


@dataclass(frozen=True)
class Field:
    """One attribute of a resource, as declared."""

    name: str
    api: str
    hint: Any
    attr: Attr
    info: Any

    @property
    def source(self) -> str:
        return self.name if self.attr.source is None else self.attr.source

    def __contains__(self, wanted: Version) -> bool:
        """Tell whether a version knows it."""
        return all(wanted in between for between in self.between)

    @property
    def between(self) -> list[Between]:
        """The versions it is in, as ``since`` and ``until`` say."""
        return [mark for mark in getattr(self.hint, "__metadata__", ()) if isinstance(mark, Between)]

    @property
    def may_be_null(self) -> bool:
        """Whether a request can make this None."""
        return self.attr.null is True and _has_none(self.hint)


def _has_none(hint: Any) -> bool:
    return (
        hint is type(None) or hint is Any or any(_has_none(part) for part in typing.get_args(hint) if _is_union(hint))
    )


def _is_union(hint: Any) -> bool:
    return hasattr(hint, "__metadata__") or typing.get_origin(hint) in (typing.Union, types.UnionType)


def text(pattern: str, what: str, longest: int) -> msgspec.Meta:
    """Return the constraint of a text that matches a pattern; refusals say ``what`` is expected ("a UUID").

    A pattern's final ``$`` is the end: not, as by itself, the place before a last line break.
    """
    pattern = f"{pattern}(?!\\n)" if pattern.endswith("$") else pattern
    _EXPECTED[pattern] = what
    return msgspec.Meta(pattern=pattern, max_length=longest)


_EXPECTED: dict[str, str] = {}


def expected(pattern: str) -> str:
    """Return what a text that did not match a pattern, given as its ``repr``, should have been."""
    return next((what for known, what in _EXPECTED.items() if repr(known) == pattern), f"text like {pattern}")


def fields_of(attributes: type[msgspec.Struct]) -> list[Field]:
    """Return the attributes in their order."""
    hints = typing.get_type_hints(attributes, include_extras=True)
    found = []
    for info in msgspec.structs.fields(attributes):
        marks = getattr(hints[info.name], "__metadata__", ())
        attr = next((mark for mark in marks if isinstance(mark, Attr)), Attr())
        found.append(Field(info.name, info.encode_name, hints[info.name], attr, info))
    return found


def derive(attributes: type[msgspec.Struct], use: str) -> type[msgspec.Struct]:
    """Return the struct of one use: "c" or "u", where an update's fields are all optional, or "v" or "b"."""
    chosen: list[Any] = []
    for field in fields_of(attributes):
        if use not in field.attr.on:
            continue
        default: dict[str, Any] = {}
        if use in "uvb":
            default["default"] = UNSET
        elif field.info.default is not msgspec.NODEFAULT:
            default["default"] = field.info.default
        elif field.info.default_factory is not msgspec.NODEFAULT:
            default["default_factory"] = field.info.default_factory
        name = field.api if field.api != field.name else None
        hint = field.hint if use == "c" else (field.hint | msgspec.UnsetType if use == "u" else Any)
        for between in field.between if use != "c" else ():
            hint = Annotated[hint, between]
        chosen.append((field.name, hint, msgspec.field(**default, name=name)))
    suffix = {"c": "Create", "u": "Update", "v": "View", "b": "Summary"}[use]
    struct = msgspec.defstruct(attributes.__name__ + suffix, chosen, kw_only=use in "cu")
    msgspec.json.Decoder(struct)  # refuses an impossible constraint here rather than in a request
    return struct


class Encoder:
    """Turns rows into views without looking anything up by name.

    ``related`` maps an attribute to its values by row id; an attribute that neither the row nor ``related``
    knows gets the declared default.
    """

    def __init__(self, fields: Sequence[Field], struct: type[msgspec.Struct], use: str) -> None:
        self.struct = struct
        self.fields = [field for field in fields if use in field.attr.on]
        self.names = [field.name for field in self.fields]
        sources = [*(field.source or "id" for field in self.fields), "id", "id"]  # of one name they return no tuple
        self._get: Callable[[Any], tuple[Any, ...]] = attrgetter(*sources)
        self._read: Callable[[dict[str, Any]], tuple[Any, ...]] = itemgetter(*sources)
        self._count = len(self.fields)
        self._times = [at for at, field in enumerate(self.fields) if field.source and _is_time(field.hint)]
        shown = [(at, field.attr.show) for at, field in enumerate(self.fields)]
        self._shown = [(at, show) for at, show in shown if show is not None]
        self._loose = [(at, field.name) for at, field in enumerate(self.fields) if not field.source]

    def all_values(self, rows: Sequence[Any], related: dict[str, dict[str, Any]]) -> list[list[Any]]:
        """Return the rows' values, each in the order of ``fields``."""
        loose = [(at, related.get(name, {}), self._default(at)) for at, name in self._loose]
        times, iso, read = self._times, clock.iso, self._read
        every: list[list[Any]] = []
        for row in rows:
            try:
                found = list(read(row.__dict__))  # what the row has loaded, past the instrumentation of its attributes
            except (KeyError, AttributeError):  # not loaded yet, or a named tuple
                found = list(self._get(row))
            del found[self._count :]
            for at in times:
                if found[at] is not None:
                    found[at] = iso(found[at])
            for at, show in self._shown:
                found[at] = show(found[at])
            id = row.id
            for at, values, default in loose:
                found[at] = values.get(id, default)
            every.append(found)
        return every

    def _default(self, at: int) -> Any:
        info = self.fields[at].info
        if info.default_factory is not msgspec.NODEFAULT:
            return info.default_factory()
        return None if info.default is msgspec.NODEFAULT else info.default


def _is_time(hint: Any) -> bool:
    plain = typing.get_args(hint)[0] if hasattr(hint, "__metadata__") else hint
    return plain in (datetime, datetime | None)
