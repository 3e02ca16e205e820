"""No id of another thing is a bare text: in bodies and queries it is declared, in paths it is loaded or accounted for.

What a declared reference may be, and that the kernel loads it, is in `tests/unit/kernel/test_references.py`; that a
foreign id is answered like one of nothing, in `tests/api/test_personas_everywhere.py` and in the standing attack.
"""

import re
import typing
from collections.abc import Iterator
from typing import Annotated, Any

import msgspec

from pileus.kernel.rest.bounds import at_most
from pileus.kernel.rest.openapi import DOCUMENTED
from pileus.kernel.rest.references import Refers, marks_of
from pileus.kernel.rest.schema import structs_in
from tests.everywhere import Way, ways

ID = re.compile(
    r"(^|_|:)(id|ids|uuid|uuids)$|(Id|Ids|Ref)$"
    r"|^(project|tenant|target_tenant|member|owner|user|server|image|flavor|volume|snapshot|backup|port|network|subnet"
    r"|router|instance|host|host_name|node|hypervisor_hostname|security_groups|volume_type|new_type|source_volid"
    r"|key_name|image_ref)$"
)
"""Names of fields that are ids of things."""

OWN = "the id that the thing itself is to have, or that repeats the one in the path"
OUTSIDE = "the name of something that is not kept here"
FREE = "words for display that decide nothing (`tests/unit/network/test_ownership_by_rows.py`)"
ABOUT = "kept with a row and filtered by as a text: no thing of this cloud has it as its id"
SECRET = "a secret that is looked up as such"
EXCEPTIONS = {
    "network.*.device_id": FREE,
    "identity.DomainCreate.explicit_domain_id": OWN,
    "identity.RegionAttributesCreate.id": OWN,
    "identity.MappingCreate.id": OWN,
    "identity.MappingUpdate.id": OWN,
    "compute.FlavorCreate.id": OWN,
    "placement.ProviderCreate.uuid": OWN,
    "identity.ProviderCreate.remote_ids": OUTSIDE,
    "identity.ProviderUpdate.remote_ids": OUTSIDE,
    "identity.ProtocolLink.unique_id": OUTSIDE,
    "identity.ById.id": SECRET,
    "block_storage.MessageListQuery.event_id": ABOUT,
    "block_storage.MessageListQuery.request_id": ABOUT,
    "compute.ServerQuery.reservation_id": ABOUT,
    "compute.ServerCreate.return_reservation_id": "whether to return one",
}
"""Fields that look like an id and are no declared reference, by service, struct and name."""

BY_HANDLER = {
    "block_storage": "host key name project transfer verb alias",
    "compute": "alias console domain id image key label name port request_id rest server tag token volume",
    "identity": "access domain endpoint group id implied limit mapping option project protocol provider region role"
    " role_id service tag user",
    "image": "member name tag task",
    "key_manager": "project",
    "network": "alias id project",
    "object_store": "account container name",
    "placement": "consumer resource_class trait",
}
"""Parameters of paths that no loader of the kernel loads: names, keys and the caller's own things; projects and users
whom the rule judges by the very id; what is 410 whatever is named; and what the handler looks for in the thing named
before it.  `tests/api/test_personas_everywhere.py` puts foreign ids into all of them."""


def holders(way: Way) -> Iterator[Any]:
    """Yield the types that a request of this way is decoded into."""
    endpoint = way.endpoint
    _, body = getattr(endpoint.route.handler, DOCUMENTED, None) or (None, endpoint.body_kind)
    yield from (kind for kind in (body, endpoint.query_kind) if kind is not None)


def fields(struct: type[msgspec.Struct], seen: set[Any]) -> Iterator[tuple[str, str, Any]]:
    """Yield struct, name and type of every field, at any depth."""
    if struct in seen:
        return
    seen.add(struct)
    hints = typing.get_type_hints(struct, include_extras=True)
    for info in msgspec.structs.fields(struct):
        yield struct.__name__, info.encode_name, hints[info.name]
        for below in structs_in(hints[info.name]):
            yield from fields(below, seen)


def holds_text(hint: Any) -> bool:
    """Tell whether a value of this type can be a text, or a list of them."""
    if isinstance(hint, type) and issubclass(hint, msgspec.Struct):
        return False
    return hint is str or any(holds_text(part) for part in typing.get_args(hint) if not isinstance(part, str))


def bare(kind: Any) -> Iterator[str]:
    """Yield ``struct.field`` of every id that is no declared reference."""
    for struct in structs_in(kind):
        for name, field, hint in fields(struct, set()):
            if ID.search(field) and holds_text(hint) and not any(marks_of(hint)):
                yield f"{name}.{field}"


class Loose(msgspec.Struct):
    uuid: str | None = None


class Careless(msgspec.Struct):
    name: str
    network_id: str
    port_ids: Annotated[list[str], at_most(2)]
    held: Annotated[str, Refers("volume")]
    subnet_id: Annotated[str, Refers("subnet")] | None = None
    nics: Annotated[list[Loose], at_most(2)] = []


def test_bare_ids_are_found_at_any_depth():
    assert list(bare(Careless)) == ["Careless.network_id", "Careless.port_ids", "Loose.uuid"]


def test_no_id_of_another_thing_is_a_bare_text():
    found = {f"{way.endpoint.api.service}.{where}" for way in ways() for kind in holders(way) for where in bare(kind)}
    free = {where for where in found if f"{where.split('.')[0]}.*.{where.split('.')[2]}" in EXCEPTIONS}
    assert sorted(found - free - EXCEPTIONS.keys()) == []
    assert sorted({where for where in EXCEPTIONS if "*" not in where} - found) == [], (
        "exceptions that are none any more"
    )


def test_every_parameter_of_a_path_is_loaded_or_accounted_for():
    found: dict[str, set[str]] = {}
    for way in ways():
        endpoint = way.endpoint
        loaded = {name for name, _, _ in endpoint.loads}
        names = {name.removesuffix(":path") for name in re.findall(r"\{([^}]+)\}", endpoint.route.path)}
        if endpoint.route.about is None:
            found.setdefault(endpoint.api.service, set()).update(names - loaded)
    known = {service: set(names.split()) for service, names in BY_HANDLER.items()}
    assert {service: names - known.get(service, set()) for service, names in found.items() if names} == {
        service: set() for service, names in found.items() if names
    }


def test_every_declaration_can_be_decoded():
    """A type that msgspec cannot take is told at the first request otherwise."""
    for way in ways():
        for kind in holders(way):
            msgspec.json.Decoder(kind)
