"""Ports."""

from collections.abc import Sequence
from typing import Annotated, Any, Literal

import msgspec
from sqlalchemy import ColumnElement, and_, or_, select

from pileus.kernel.context import Context
from pileus.kernel.db import Tx
from pileus.kernel.errors import Invalid
from pileus.kernel.policy import ADMIN, ADMIN_OR_SERVICE, MANAGER
from pileus.kernel.rest import Extra, at_most
from pileus.kernel.rest.references import SomeHost
from pileus.kernel.rest.regular import CREATE, DELETE, UPDATE, Attr, Name, Resource, Tagged
from pileus.services.network.api.root import api
from pileus.services.network.app import ports as app
from pileus.services.network.app.port_values import DnsDomain
from pileus.services.network.app.references import ONE_OF_NETWORK, NetworkId, UsableGroupId
from pileus.services.network.model import DNS_DOMAIN, Address, Port, PortGroup
from pileus.services.network.store import networks, sharing
from pileus.services.network.store import ports as store

NETWORK_OWNER = f"{ADMIN} or role:service or (role:member and project_id:%(network_project_id)s)"
DEVICE_OWNER = f"({NETWORK_OWNER}) or not 'True':%(network_device)s"
ADMIN_OR_OWNERS = f"{ADMIN} or role:service or (role:member and project_id:%(project_id)s)"
MANAGER_OR_SERVICE = f"{ADMIN_OR_SERVICE} or ({MANAGER})"
ADMIN_OR_OWNERS_OR_NETWORKS = f"{ADMIN_OR_OWNERS} or (role:member and project_id:%(network_project_id)s)"
Vnic = Literal[
    "normal", "direct", "direct-physical", "macvtap", "baremetal", "virtio-forwarder", "smart-nic", "vdpa",
    "remote-managed", "accelerator-direct", "accelerator-direct-physical",
]  # fmt: skip
FixedIps = Annotated[list[Annotated[dict[str, str | None], at_most(16), ONE_OF_NETWORK]], at_most(1000)]
"""``[{"subnet_id": ..., "ip_address": ...}, ...]``, with one of them or both."""
Pairs = Annotated[list[Annotated[dict[str, str | None], at_most(16)]], at_most(1000)]
Options = Annotated[list[Annotated[dict[str, str | int | None], at_most(16)]], at_most(100)]
AdminsRead = Attr(on="v", get=ADMIN_OR_SERVICE, find="", source="")


class PortAttributes(Tagged, kw_only=True):
    name: Name = ""
    network_id: Annotated[NetworkId, Attr(on="cv")]
    admin_state_up: bool = True
    mac_address: Annotated[str | None, Attr(create=NETWORK_OWNER, update=MANAGER_OR_SERVICE, null=False)] = None
    fixed_ips: Annotated[
        FixedIps | None, Attr(create=NETWORK_OWNER, update=NETWORK_OWNER, find="", source="", null=False)
    ] = None
    status: Annotated[str, Attr(on="v")] = "DOWN"
    device_id: Annotated[str, msgspec.Meta(max_length=255)] = ""
    device_owner: Annotated[str, msgspec.Meta(max_length=255), Attr(create=DEVICE_OWNER, update=DEVICE_OWNER)] = ""
    security_groups: Annotated[
        Annotated[list[UsableGroupId], at_most(100)] | None, Attr(find="", source="", null=list)
    ] = None
    port_security_enabled: Annotated[bool | None, Attr(create=NETWORK_OWNER, update=NETWORK_OWNER, null=False)] = None
    allowed_address_pairs: Annotated[
        Pairs | None, Attr(create=NETWORK_OWNER, update=NETWORK_OWNER, find="", null=list)
    ] = None
    extra_dhcp_opts: Annotated[Options | None, Attr(find="", null=list)] = None
    dns_name: Annotated[str, msgspec.Meta(max_length=255)] = ""
    dns_domain: DnsDomain = ""
    dns_assignment: Annotated[list[dict[str, str]], Attr(on="v", find="", source="")] = []
    ip_allocation: Annotated[str, Attr(on="v", find="", source="")] = "none"
    vnic_type: Vnic = msgspec.field(default="normal", name="binding:vnic_type")
    binding_host: Annotated[
        SomeHost | None,
        Attr(create=ADMIN_OR_SERVICE, update=ADMIN_OR_SERVICE, get=ADMIN_OR_SERVICE, find="", source="", null=str),
    ] = msgspec.field(default="", name="binding:host_id")
    binding_profile: Annotated[
        Extra | None,
        Attr(create=ADMIN_OR_SERVICE, update=ADMIN_OR_SERVICE, get=ADMIN_OR_SERVICE, find="", null=dict),
    ] = msgspec.field(default=None, name="binding:profile")
    vif_type: Annotated[str, AdminsRead] = msgspec.field(default="unbound", name="binding:vif_type")
    vif_details: Annotated[dict[str, Any], AdminsRead] = msgspec.field(default_factory=dict, name="binding:vif_details")


def visible(ctx: Context) -> ColumnElement[bool] | None:
    """A project sees its own ports and those on its networks."""
    if sharing.sees_all(ctx):
        return None
    return or_(Port.project_id == ctx.project_id, Port.network_id.in_(sharing.own_networks(ctx.project_id)))


ports = Resource(
    api,
    "port",
    "ports",
    PortAttributes,
    Port,
    title="Port",
    tagged=True,
    visible=visible,
    checks={CREATE: ADMIN_OR_OWNERS, UPDATE: ADMIN_OR_OWNERS, DELETE: ADMIN_OR_OWNERS_OR_NETWORKS},
)
ports.create(app.create_port)
ports.update(app.update_port)
ports.delete(app.delete_port_by_user)


@ports.target
def target(tx: Tx, ctx: Context, thing: Any) -> dict[str, Any]:
    """Rules about ports look at the owner of the network, and whether the port is said to be part of it."""
    network = networks.get_network(tx, thing.network_id)
    return {
        "project_id": thing.project_id,
        "network_project_id": network.project_id if network is not None else None,
        "network_device": thing.device_owner.startswith("network:"),
    }


@ports.related
def related(tx: Tx, ctx: Context, rows: Sequence[Port], wanted: frozenset[str]) -> dict[str, dict[str, Any]]:
    ids = [row.id for row in rows]
    found: dict[str, dict[str, Any]] = {}
    if wanted & {"fixed_ips", "dns_assignment", "ip_allocation"}:
        held = store.addresses_of_ports(tx, ids)
        found["fixed_ips"] = {id: held.get(id, []) for id in ids}
        found["ip_allocation"] = dict.fromkeys(held, "immediate")
        if "dns_assignment" in wanted:
            found["dns_assignment"] = {row.id: _names(row, held[row.id]) for row in rows if row.id in held}
    if "security_groups" in wanted:
        groups = store.groups_of_ports(tx, ids)
        found["security_groups"] = {id: groups.get(id, []) for id in ids}
    if "binding_host" in wanted:
        found["binding_host"] = {row.id: row.binding_host or row.binding_failed_host for row in rows}
    if wanted & {"vif_type", "vif_details"}:
        bound = [row.id for row in rows if row.binding_host]
        failed = [row.id for row in rows if row.binding_failed_host]
        found["vif_type"] = dict.fromkeys(bound, "bridge") | dict.fromkeys(failed, "binding_failed")
        found["vif_details"] = {id: {"port_filter": True, "connectivity": "l2"} for id in bound}
    return found


def _names(row: Port, held: list[dict[str, str]]) -> list[dict[str, str]]:
    domain = row.dns_domain or DNS_DOMAIN
    names = []
    for address in held:
        ip = address["ip_address"]
        host = row.dns_name or f"host-{ip.replace('.', '-').replace(':', '-')}"
        fqdn = host if host.endswith(".") else f"{host}.{domain}"
        names.append({"ip_address": ip, "hostname": host, "fqdn": fqdn})
    return names


@ports.filter("fixed_ips")
def by_address(ctx: Context, values: list[str]) -> ColumnElement[bool]:
    """``fixed_ips=ip_address=10.0.0.4``, ``=subnet_id=...``, ``=ip_address_substr=0.0``; all that are given hold."""
    kinds: dict[str, list[str]] = {}
    for value in values:
        kind, equals, text = value.partition("=")
        if not equals or kind not in ("ip_address", "subnet_id", "ip_address_substr"):
            raise Invalid(f"Invalid input for fixed_ips. Reason: '{value}' is not ip_address=..., subnet_id=... .")
        kinds.setdefault(kind, []).append(text)
    tests = {
        "ip_address": lambda texts: Address.ip.in_(texts),
        "subnet_id": lambda texts: Address.subnet_id.in_(texts),
        "ip_address_substr": lambda texts: or_(*(Address.ip.contains(text, autoescape=True) for text in texts)),
    }
    held = [tests[kind](texts) for kind, texts in kinds.items()]
    return Port.id.in_(select(Address.port_id).where(and_(*held)))


ports.sortable["binding:host_id"] = Port.binding_host


@ports.filter("binding:host_id")
def by_host(ctx: Context, values: list[str]) -> ColumnElement[bool]:
    found = or_(Port.binding_host.in_(values), Port.binding_failed_host.in_(values))
    return found if all(values) else or_(found, and_(Port.binding_host == "", Port.binding_failed_host == ""))


@ports.filter("security_groups")
def by_group(ctx: Context, values: list[str]) -> ColumnElement[bool]:
    return Port.id.in_(select(PortGroup.port_id).where(PortGroup.group_id.in_(values)))


@ports.filter("ip_allocation")
def by_allocation(ctx: Context, values: list[str]) -> ColumnElement[bool]:
    has = Port.id.in_(select(Address.port_id))
    return or_(*(has if value == "immediate" else ~has for value in values))
