"""Security groups and their rules: what a rule may say, and the default group that every project has."""

import ipaddress
from typing import Any

from sqlalchemy import delete, update

from pileus.kernel.context import Context
from pileus.kernel.db import Tx
from pileus.kernel.errors import Conflict, Invalid
from pileus.kernel.rest.references import referred
from pileus.services.network.app import limits, telling
from pileus.services.network.app.ranges import interface_of
from pileus.services.network.app.refusals import group_not_found
from pileus.services.network.model import DefaultGroup, SecurityGroup, SecurityGroupRule
from pileus.services.network.store import groups as store
from pileus.services.network.store import sharing

DEFAULT = "default"
ETHERTYPES = ("IPv4", "IPv6")
PORTS = frozenset({"tcp", "udp", "sctp", "dccp", "udplite", "6", "17", "132", "33", "136"})
ICMP = frozenset({"icmp", "1"})
ICMP6 = frozenset({"icmpv6", "ipv6-icmp", "58"})
ONLY_V6 = {
    "ipv6-encap": "41", "ipv6-route": "43", "ipv6-frag": "44", "ipv6-icmp": "58", "icmpv6": "58",
    "ipv6-nonxt": "59", "ipv6-opts": "60",
}  # fmt: skip
NAMES = (
    frozenset({"ah", "egp", "esp", "gre", "igmp", "ipip", "ospf", "pgm", "rsvp", "vrrp"})
    | frozenset({name for name in PORTS | ICMP if not name.isdecimal()})
    | ONLY_V6.keys()
)


def default_group(tx: Tx, project_id: str) -> str:
    """Return the id of a project's default group; make the group when this is the first need of it."""
    found = store.default_group_id(tx, project_id)
    if found is not None:
        return found
    row = SecurityGroup(project_id=project_id, name=DEFAULT, description="Default security group")
    tx.add(row)
    tx.flush()
    tx.add(DefaultGroup(project_id=project_id, group_id=row.id))  # of two requests at once the second runs again
    tx.flush()
    for ethertype in ETHERTYPES:
        tx.add(_rule(row, "egress", ethertype))
        tx.add(_rule(row, "ingress", ethertype, remote_group_id=row.id))
    tx.flush()
    return row.id


def _rule(group: SecurityGroup, direction: str, ethertype: str, **more: Any) -> SecurityGroupRule:
    return SecurityGroupRule(
        project_id=group.project_id, security_group_id=group.id, direction=direction, ethertype=ethertype, **more
    )


def forget_project(tx: Tx, project_id: str) -> None:
    """Remove the default group of a project that is gone, unless ports that it left behind use it."""
    group_id = store.default_group_id(tx, project_id)
    if group_id is None or store.in_use(tx, group_id):
        return
    tx.execute(delete(DefaultGroup).where(DefaultGroup.project_id == project_id))
    for rule in store.rules_naming(tx, group_id):
        tx.delete(rule)
    tx.execute(delete(SecurityGroup).where(SecurityGroup.id == group_id))


def create_group(tx: Tx, ctx: Context, body: Any) -> SecurityGroup:
    """Add a group that lets everything out and nothing in."""
    default_group(tx, body.project_id)
    if body.name == DEFAULT:
        raise Conflict("Default security group already exists.", kind="SecurityGroupDefaultAlreadyExists")
    limits.claim(tx, body.project_id, "security_group")
    limits.claim(tx, body.project_id, "security_group_rule", len(ETHERTYPES))
    row = SecurityGroup(
        project_id=body.project_id, name=body.name, description=body.description, stateful=body.stateful
    )
    tx.add(row)
    tx.flush()
    tx.add_all(_rule(row, "egress", ethertype) for ethertype in ETHERTYPES)
    return row


def update_group(tx: Tx, ctx: Context, row: SecurityGroup, changes: dict[str, Any]) -> None:
    """Apply changes; the default group keeps its name, and statefulness stays while ports use the group."""
    if "name" in changes and changes["name"] != row.name and store.is_default(tx, row.id):
        raise Conflict("Updating default security group not allowed.", kind="SecurityGroupCannotUpdateDefault")
    if changes.get("name") == DEFAULT and not store.is_default(tx, row.id):
        raise Conflict("Default security group already exists.", kind="SecurityGroupDefaultAlreadyExists")
    if changes.get("stateful", row.stateful) != row.stateful and store.in_use(tx, row.id):
        raise _in_use(row.id, "its statefulness can be changed when no port uses it")
    for name, value in changes.items():
        setattr(row, name, value)


def _in_use(group_id: str, remedy: str) -> Conflict:
    return Conflict(f"Security Group {group_id} in use: {remedy}.", kind="SecurityGroupInUse")


def delete_group(tx: Tx, ctx: Context, row: SecurityGroup) -> None:
    """Remove a group and its rules, unless ports use it; a project's default group is the admin's to remove."""
    if store.in_use(tx, row.id):
        raise _in_use(row.id, "take the ports out of it first")
    if store.is_default(tx, row.id):
        if not ctx.is_admin:
            raise Conflict(
                "Insufficient rights for removing default security group.", kind="SecurityGroupCannotRemoveDefault"
            )
        tx.execute(delete(DefaultGroup).where(DefaultGroup.group_id == row.id))
    naming = {rule.security_group_id for rule in store.rules_naming(tx, row.id)} - {row.id}
    for rule in store.rules_naming(tx, row.id):
        tx.delete(rule)
    sharing.delete_shares(tx, row.id)
    tx.delete(row)
    telling.groups_changed(tx, sorted(naming))


def usable_groups(tx: Tx, ctx: Context, ids: list[str]) -> list[str]:
    """Return the ids of groups that can be on one port; raise NotFound for one that the caller cannot use."""
    twice = sorted({id for id in ids if ids.count(id) > 1})
    if twice:
        raise Invalid(f"Invalid input for security_groups. Reason: Duplicate items in the list: '{', '.join(twice)}'.")
    found = store.groups(tx, ids)
    for id in ids:
        if id not in found or not sharing.may_use(tx, ctx, "security_group", found[id], sharing.SHARED):
            raise group_not_found(id)
    if len({found[id].stateful for id in ids}) > 1:
        raise Conflict(
            "Cannot apply both stateful and stateless security groups on the same port at the same time.",
            kind="SecurityGroupConflict",
        )
    return ids


def create_rule(tx: Tx, ctx: Context, body: Any) -> SecurityGroupRule:
    """Add a rule to a group the caller owns; the hosts hear of it after the commit."""
    group: SecurityGroup = referred(tx, "security_group", body.security_group_id)
    if not (ctx.is_admin or group.project_id == ctx.project_id):
        raise group_not_found(body.security_group_id)
    limits.claim(tx, body.project_id, "security_group_rule")
    row = _checked_rule(body, group)
    existing = store.same_rule(tx, row)
    if existing is not None:
        raise Conflict(f"Security group rule already exists. Rule id is {existing}.", kind="SecurityGroupRuleExists")
    tx.add(row)
    tx.flush()
    _touched(tx, group.id)
    return row


def _checked_rule(body: Any, group: SecurityGroup) -> SecurityGroupRule:
    ethertype = next((known for known in ETHERTYPES if known.lower() == str(body.ethertype or "IPv4").lower()), None)
    if ethertype is None:
        raise Invalid(
            f"Security group rule for ethertype '{body.ethertype}' not supported. Allowed values are"
            f" {list(ETHERTYPES)}.",
            kind="SecurityGroupRuleInvalidEtherType",
        )
    if body.remote_group_id is not None and body.remote_ip_prefix is not None:
        raise Invalid(
            "Only remote_ip_prefix or remote_group_id may be provided.",
            kind="SecurityGroupRemoteGroupAndRemoteIpPrefix",
        )
    protocol = _protocol(body.protocol, ethertype)
    first, last = _ports(body, protocol)
    return SecurityGroupRule(
        project_id=body.project_id,
        description=body.description,
        security_group_id=group.id,
        direction=body.direction,
        ethertype=ethertype,
        protocol=protocol,
        port_range_min=first,
        port_range_max=last,
        remote_ip_prefix=_prefix(body.remote_ip_prefix, ethertype),
        remote_group_id=body.remote_group_id,
    )


def _prefix(text: str | None, ethertype: str) -> str | None:
    if text is None:
        return None
    interface = interface_of(text, "remote_ip_prefix")
    if f"IPv{interface.version}" != ethertype:
        raise Invalid(
            f"Conflicting value ethertype {ethertype} for CIDR {text}.", kind="SecurityGroupRuleParameterConflict"
        )
    return str(interface)


def normalised(prefix: str | None) -> str | None:
    """Return the range that a rule's prefix is, its host bits cleared."""
    return None if prefix is None else str(ipaddress.ip_interface(prefix).network)


def _protocol(given: str | int | None, ethertype: str) -> str | None:
    if given is None or str(given).lower() in ("any", ""):
        return None
    protocol = str(given).lower()
    if protocol.isdecimal():
        if int(protocol) > 255:
            raise _bad_protocol(given)
        protocol = str(int(protocol))
    elif protocol not in NAMES:
        raise _bad_protocol(given)
    if ethertype == "IPv4" and (protocol in ONLY_V6 or protocol in ONLY_V6.values()):
        raise Invalid(
            f"Invalid ethertype {ethertype} for protocol {protocol}.",
            kind="SecurityGroupEthertypeConflictWithProtocol",
        )
    return protocol


def _bad_protocol(given: object) -> Invalid:
    return Invalid(
        f"Security group rule protocol {given} not supported. Only protocol values {sorted(NAMES)} and integer"
        " representations [0 to 255] are supported.",
        kind="SecurityGroupRuleInvalidProtocol",
    )


def _ports(body: Any, protocol: str | None) -> tuple[int | None, int | None]:
    first, last = body.port_range_min, body.port_range_max
    if first is None and last is None:
        return None, None
    if protocol is None:
        raise Invalid(
            "Must also specify protocol if port range is given.", kind="SecurityGroupProtocolRequiredWithPorts"
        )
    if protocol in ICMP | ICMP6:
        return _icmp(first, last)
    if protocol not in PORTS:
        raise Invalid(
            f"Port range cannot be given with protocol {protocol}: it has no ports.",
            kind="SecurityGroupInvalidProtocolForPort",
        )
    for port in (first, last):
        if port is not None and not 1 <= port <= 65535:
            raise Invalid(
                f"Invalid value for port {port}: it must be 1 to 65535.", kind="SecurityGroupInvalidPortValue"
            )
    if first is None or last is None or first > last:
        raise Invalid(
            f"For TCP/UDP protocols, port_range_min must be <= port_range_max; they are {first} and {last}.",
            kind="SecurityGroupInvalidPortRange",
        )
    return first, last


def _icmp(type_: int | None, code: int | None) -> tuple[int | None, int | None]:
    for field, value, name in (("port_range_min", type_, "type"), ("port_range_max", code, "code")):
        if value is not None and not 0 <= value <= 255:
            raise Invalid(
                f"Invalid value for ICMP {name} ({field}) {value}: it must be 0 to 255.",
                kind="SecurityGroupInvalidIcmpValue",
            )
    if type_ is None:
        raise Invalid(
            f"ICMP code (port-range-max) {code} is provided but ICMP type (port-range-min) is missing.",
            kind="SecurityGroupMissingIcmpType",
        )
    return type_, code


def delete_rule(tx: Tx, ctx: Context, row: SecurityGroupRule) -> None:
    """Remove a rule; the hosts hear of it after the commit."""
    tx.delete(row)
    tx.flush()
    _touched(tx, row.security_group_id)


def _touched(tx: Tx, group_id: str) -> None:
    tx.execute(
        update(SecurityGroup)
        .where(SecurityGroup.id == group_id)
        .values(revision_number=SecurityGroup.revision_number + 1)
    )
    telling.groups_changed(tx, [group_id])
