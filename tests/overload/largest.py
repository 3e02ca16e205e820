"""The largest bodies that a declaration allows.  Rule: what a declaration says is all that is known of a body.

Each list and dictionary is filled by itself, the rest of its body being as little as is needed: bodies that are full
everywhere are mostly refused for two things that exclude each other.
"""

import re
import types
import typing
import uuid
from collections.abc import Callable, Iterator
from typing import Annotated, Any, Literal

import msgspec

from pileus.kernel.rest.bounds import VALUES, WIDTH
from pileus.kernel.rest.versions import LAST, Between, Version

Find = Callable[[str], str | None]
"""``find(name)``: the id of something there is that a field of that name may mean."""
SAMPLES = ("x{0}", "CUSTOM_X{0}", "{0}", "/{0}", "http://x/{0}", "SOFT", "GET", "00000000-0000-4000-8000-{0:012}")
"""Texts of which one matches any pattern that a declaration has."""
OBJECTS: dict[str, Callable[[int, Find], Any]] = {
    "fixed_ips": lambda at, find: {"subnet_id": find("subnet_id")},
    "allowed_address_pairs": lambda at, find: {"ip_address": f"10.1.{at // 250}.{at % 250}"},
    "extra_dhcp_opts": lambda at, find: {"opt_name": f"option-{at}", "opt_value": "v"},
    "routes": lambda at, find: {"destination": f"10.{at // 250}.{at % 250}.0/24", "nexthop": "10.9.0.5"},
    "host_routes": lambda at, find: {"destination": f"10.{at // 250}.{at % 250}.0/24", "nexthop": "10.9.0.5"},
    "allocation_pools": lambda at, find: {"start": f"10.77.0.{2 * at + 2}", "end": f"10.77.0.{2 * at + 3}"},
    "prefixes": lambda at, find: f"10.{at}.0.0/16",
    "dns_nameservers": lambda at, find: f"10.9.1.{at % 250}",
    "rules": lambda at, find: {"local": [{"user": {"name": "{0}"}}], "remote": [{"type": f"t{at}"}]},
}
"""Entries of lists whose form no declaration has."""
NEEDED = ("size",)
"""Fields without which next to nothing is made, though their declarations leave them out."""
TEXTS: dict[str, str] = {
    "cidr": "10.77.0.0/24", "ethertype": "IPv4", "direction": "ingress", "protocol": "tcp", "type": "standard",
    "address_scope_id": "", "device_id": "", "gateway_ip": "10.77.0.1", "object_type": "network",
    "action": "access_as_shared", "method": "GET", "disk_format": "raw", "container_format": "bare", "status": "error",
}  # fmt: skip


class Maker:
    """Makes values of one body: ``wide`` is the path of the one list or dictionary that is filled."""

    def __init__(self, find: Find, version: Version, wide: str | None = None) -> None:
        self._find, self._version, self._wide = find, version, wide
        self._room = VALUES - WIDTH
        self.seen: list[str] = []

    def make(self, hint: Any, where: str = "", at: int = 0, metas: tuple[msgspec.Meta, ...] = ()) -> Any:
        """Return a value of a declared type."""
        origin, inner = typing.get_origin(hint), typing.get_args(hint)
        if origin is Annotated:
            more = tuple(mark for mark in hint.__metadata__ if isinstance(mark, msgspec.Meta))
            return self.make(hint.__origin__, where, at, (*metas, *more))
        if origin in (typing.Union, types.UnionType):
            real = [part for part in inner if part not in (type(None), msgspec.UnsetType)]
            return self.make(max(real, key=_width), where, at, metas)
        if origin is Literal:
            return inner[0]
        if isinstance(hint, type) and issubclass(hint, msgspec.Struct):
            return self._struct(hint, where, at)
        if origin is list or hint is list:
            return self._list(inner[0] if inner else Any, where, metas)
        if origin is dict or hint is dict:
            return self._dict(inner or (str, Any), where, metas)
        if hint is str or hint is Any:
            return self._text(where, at, metas)
        if hint is bool:
            return True
        return next((meta.ge for meta in metas if meta.ge is not None), 1)

    def _struct(self, kind: type[msgspec.Struct], where: str, at: int) -> dict[str, Any]:
        hints = typing.get_type_hints(kind, include_extras=True)
        made = {}
        for field in msgspec.structs.fields(kind):
            path = f"{where}.{field.encode_name}"
            marks = getattr(hints[field.name], "__metadata__", ())
            if any(isinstance(mark, Between) and self._version not in mark for mark in marks):
                continue
            if _width(hints[field.name]):
                self.seen.append(path)
            if (
                field.required
                or field.encode_name in NEEDED
                or (self._wide is not None and f"{self._wide}.".startswith((f"{path}.", f"{path}[")))
            ):
                made[field.encode_name] = self.make(hints[field.name], path, at)
        return made

    def _list(self, item: Any, where: str, metas: tuple[msgspec.Meta, ...]) -> list[Any]:
        own = OBJECTS.get(where.rpartition(".")[2])
        one = own if own is not None else lambda at, find: self.make(item, f"{where}[]", at)
        return [one(at, self._find) for at in range(self._count(where, metas))]

    def _dict(self, inner: tuple[Any, ...], where: str, metas: tuple[msgspec.Meta, ...]) -> dict[str, Any]:
        keys, values = inner
        count = self._count(where, metas)
        return {
            str(self.make(keys, f"{where}<key>", at)): self.make(values, f"{where}<value>", at) for at in range(count)
        }

    def _count(self, where: str, metas: tuple[msgspec.Meta, ...]) -> int:
        least = max((meta.min_length or 0 for meta in metas), default=0)
        most = min([meta.max_length for meta in metas if meta.max_length is not None] or [WIDTH])
        inside = self._wide is not None and self._wide.startswith(f"{where}[")
        count = most if where == self._wide else max(least, int(inside))
        self._room -= count
        return count

    def _text(self, where: str, at: int, metas: tuple[msgspec.Meta, ...]) -> str:
        name = re.sub(r"[^A-Za-z_]", "", where.rpartition(".")[2])
        if (there := self._find(name)) is not None:
            return there
        if name in TEXTS:
            return TEXTS[name]
        pattern = next((meta.pattern for meta in metas if meta.pattern), "")
        for sample in SAMPLES:
            if re.search(pattern, text := sample.format(at)):
                return text
        return str(uuid.UUID(int=at))


def _width(hint: Any) -> int:
    """Return 2 for lists and dictionaries, 1 for structs, however they are wrapped."""
    origin = typing.get_origin(hint)
    if origin is Annotated:
        return _width(hint.__origin__)
    if origin in (typing.Union, types.UnionType):
        return max(map(_width, typing.get_args(hint)))
    if origin in (list, dict) or hint in (list, dict):
        return 2
    return int(isinstance(hint, type) and issubclass(hint, msgspec.Struct))


def bodies(hint: Any, find: Find, version: Version = LAST) -> Iterator[tuple[str, Any]]:
    """Yield the smallest body and, for each list and dictionary at any depth, one where it is full, with its name."""
    first = Maker(find, version)
    yield "smallest", first.make(hint)
    known, waiting = set[str](), [*first.seen]
    if _width(hint) == 2:
        waiting.insert(0, "")
    while waiting:
        path = waiting.pop(0)
        if path in known:
            continue
        known.add(path)
        maker = Maker(find, version, path)
        body = maker.make(hint)
        waiting += maker.seen
        yield path or "all", body
