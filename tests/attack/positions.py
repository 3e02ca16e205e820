"""Every place of a request where an id may stand, found in the declarations: paths, queries, bodies, headers.

Rule: a place is one that a declaration marks as a reference, or whose name says that it holds an id.
"""

import re
import types
import typing
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Annotated, Any, Literal

import msgspec

from pileus.kernel.rest.openapi import DOCUMENTED
from pileus.kernel.rest.references import marks_of
from pileus.kernel.rest.versions import LAST, Version, version
from tests.everywhere import Way
from tests.fuzz.cloud import singular
from tests.overload.largest import Maker

ID_NAME = re.compile(
    r"(^|_|-|:)(id|ids|uuid|uuids|tenant|project|user|member|volume|snapshot|server|port|network|subnet|image|group|"
    r"router|trust|marker|key_name|account|container|volume_type|consumer|provider|object)$"
    r"|(Id|Ids|Ref|Uuid|Project|Tenant)$|^(owner|target)$",
)
"""Names of fields and parameters that hold ids, or names by which things are found."""
KINDS: dict[str, tuple[str, ...]] = {
    "project_id": ("project",), "tenant_id": ("project",), "tenant": ("project",), "target_tenant": ("project",),
    "owner": ("project",), "owner_id": ("project",), "default_project_id": ("project",), "parent_id": ("project",),
    "domain_id": ("domain",), "user_domain_id": ("domain",), "trustor_user_id": ("user",), "trustee_user_id": ("user",),
    "user_id": ("user",), "qos_policy_id": ("network",), "floating_network_id": ("network",), "uuid": ("network",),
    "remote_group_id": ("security_group",), "security_groups": ("security_group",), "source_volid": ("volume",),
    "fixed_port_id": ("port",), "portId": ("port",), "instance_uuid": ("server",), "server_uuid": ("server",),
    "key_name": ("keypair",), "volume_type": ("volume_type",), "volume_id": ("volume",),
    "group": ("server_group", "group"), "provider": ("identity_provider",), "account": ("account",),
    "object_id": ("network", "subnetpool", "address_scope"), "name": ("object",),
    "source_group": ("security_group",), "subnetpool_id": ("subnetpool",), "device_id": ("server", "router"),
    "credential": ("application_credential", "credential"), "target": ("project",), "volume_id_list": ("volume",),
}  # fmt: skip
"""What a name means, where it is not the name of a kind itself."""
HEADERS: dict[str, tuple[tuple[str, str], ...]] = {
    "identity": (("X-Subject-Token", "{token}"),),
    "object_store": (
        ("X-Copy-From", "/{container}/{object}"), ("X-Object-Manifest", "{container}/"),
        ("X-Copy-From-Account", "{account}"), ("Destination-Account", "{account}"),
        ("X-Symlink-Target", "{container}/{object}"), ("X-Symlink-Target-Account", "{account}"),
        ("X-Versions-Location", "{container}"), ("X-History-Location", "{container}"),
    ),
}  # fmt: skip
"""Headers that name things, by service: no declaration has them."""
WORDS = frozenset(
    {"tag", "key", "alias", "name", "option", "label", "rest", "resource_class", "trait", "spec", "extra"}
)
"""Parameters of paths that are no ids: texts of the caller's own, or the operator's names."""
QUERIES = ("marker", "id", "name", "project_id", "tenant_id", "user_id", "owner", "all_tenants")
"""Parameters that lists take, whether a declaration has them or not."""
Find = Callable[[str], str | None]


@dataclass(frozen=True)
class Position:
    """One place: ``where`` is ``path``, ``query``, ``body`` or ``header``; ``name`` its name, with the way to it."""

    where: str
    name: str
    kinds: tuple[str, ...]

    def __str__(self) -> str:
        return f"{self.where} {self.name}"


def body_of(way: Way) -> tuple[str | None, Any]:
    """Return the member of the request's body that is described, and its type."""
    route = way.endpoint.route
    documented = getattr(route.handler, DOCUMENTED, None)
    if documented is not None:
        return documented
    return route.action or (route.wrap if route.body is None else route.body), way.endpoint.body_kind


def last_version(way: Way) -> Version:
    """Return the microversion in which the way is tried."""
    return version(way.headers["OpenStack-API-Version"].split()[1]) if way.headers else LAST


def kinds_of(name: str, before: str = "") -> tuple[str, ...]:
    """Return the kinds of things that a name may mean; ``before``: the word before it in a path."""
    plain = re.sub(r"\W.*", "", name)
    if plain in ("id", "uuid") and before:
        return (singular(before), *SPECIAL.get(before, ()))
    if plain in KINDS:
        return KINDS[plain]
    stem = re.sub(r"(_id|_uuid|Ref|Id|_ids|Ids|Uuid)$", "", plain)
    return (singular(stem), stem, *SPECIAL.get(before, ()))


SPECIAL = {
    "os-volume_attachments": ("volume",), "os-interface": ("port",), "OS-EC2": ("access",), "volume-transfers": (
        "transfer",), "os-volume-transfer": ("transfer",), "types": ("volume_type",), "rbac-policies": ("rbac_policy",),
    "access_rules": ("access_rule",), "os-keypairs": ("keypair",), "os-quota-sets": ("project",),
    "quotas": ("project",),
    "identity_providers": ("identity_provider",), "protocols": ("protocol",), "mappings": ("mapping",),
    "os-instance-actions": ("request",), "limits": ("limit",), "os-simple-tenant-usage": ("project",), "members": (
        "member",), "allocations": ("server",), "os-server-groups": ("server_group",), "images": ("image",),
    "qos-specs": ("volume_type",), "os-quota-class-sets": (), "floatingips": ("floatingip",),
}  # fmt: skip
"""What stands behind a word of a path, where the word itself does not say."""


def positions(way: Way) -> Iterator[Position]:
    """Yield every place of a request."""
    parts = way.template.split("/")
    for at, part in enumerate(parts):
        if part.startswith("{"):
            name = part.strip("{}").removesuffix(":path")
            if name not in WORDS or way.service.type == "object_store":
                yield Position("path", name, kinds_of(name, parts[at - 1]))
    _, kind = body_of(way)
    if kind is not None:
        yield from (Position("body", where, kinds) for where, kinds in places_in(kind))
    if way.method == "GET":
        declared = way.endpoint.query_kind
        names = list(declared.__struct_encode_fields__) if declared is not None else []
        names = [name for name in names if ID_NAME.search(name)]
        if not way.names_something:
            names += QUERIES
        for name in dict.fromkeys(names):
            last = parts[-1] if parts[-1] != "detail" else parts[-2]
            yield Position("query", name, kinds_of("id" if name in ("marker", "name") else name, last))
    for name, value in HEADERS.get(way.service.type, ()):
        if name == "X-Subject-Token" and not way.template.endswith("/auth/tokens"):
            continue
        if way.method == "DELETE" and name != "X-Subject-Token":
            continue
        yield Position("header", f"{name}: {value}", tuple(re.findall(r"{(\w+)}", value)))


def places_in(hint: Any, where: str = "", seen: tuple[Any, ...] = ()) -> Iterator[tuple[str, tuple[str, ...]]]:
    """Yield ``(path, kinds)`` of the places in a body's declaration, as ``Maker`` writes paths."""
    origin, inner = typing.get_origin(hint), typing.get_args(hint)
    steps = [re.sub(r"(\[\]|<\w+>)+$", "", step) for step in where.split(".")]
    name, above = steps[-1], steps[-2].rpartition(":")[2] if len(steps) > 1 else ""
    marks = list(marks_of(hint)) if origin is Annotated else []
    if origin is Annotated:
        if marks and inner[0] is str:
            yield where, (*dict.fromkeys([*(mark.kind for mark in marks), *kinds_of(name, above)]),)
        else:
            yield from places_in(inner[0], where, seen)
    elif origin in (typing.Union, types.UnionType):
        for part in inner:
            if part not in (type(None), msgspec.UnsetType):
                yield from places_in(part, where, seen)
    elif isinstance(hint, type) and issubclass(hint, msgspec.Struct):
        if hint not in seen:
            hints = typing.get_type_hints(hint, include_extras=True)
            for field in msgspec.structs.fields(hint):
                yield from places_in(hints[field.name], f"{where}.{field.encode_name}", (*seen, hint))
    elif origin is list or hint is list:
        yield from places_in(inner[0] if inner else Any, f"{where}[]", seen)
    elif origin is dict:
        yield from places_in(inner[1], f"{where}<value>", seen)
    elif origin is not Literal and hint in (str, Any) and ID_NAME.search(name):
        yield where, kinds_of(name, above)


class Aimed(Maker):
    """Makes the smallest body that has an id at one place."""

    def __init__(self, find: Find, version: Version, place: str, id: Any) -> None:
        super().__init__(find, version, place)
        self._place, self._id, self.placed = place, id, False

    def make(self, hint: Any, where: str = "", at: int = 0, metas: tuple[msgspec.Meta, ...] = ()) -> Any:
        """Return a value of a declared type; at the place, the id."""
        if where == self._place:
            self.placed = True
            return self._id
        return super().make(hint, where, at, metas)
