"""Guests' ports: a tap or a veth pair on the network's bridge, guarded and filtered before it is up.

One rule: filters first. A frame of a port that shall be filtered never finds the port unfiltered.
"""

import errno
import fcntl
import os
import struct
from collections.abc import Sequence

import msgspec

from pileus.services.network.drivers.base import HostNetworkError, StillInUse
from pileus.services.network.drivers.linux import conntrack, filters, names, switches
from pileus.services.network.drivers.linux.host import Host, Removal, alias, alias_id, zone_of
from pileus.services.network.drivers.linux.netlink import Link
from pileus.services.network.drivers.linux.nftables import NftError
from pileus.services.network.wanted import Plug, PortSpec, PortWiring, SecurityGroupSpec

TUNSETIFF, TUNSETPERSIST, TUNSETOWNER = 0x400454CA, 0x400454CB, 0x400454CC
IFF_TAP, IFF_NO_PI, IFF_VNET_HDR = 0x0002, 0x1000, 0x4000


def ensure(host: Host, port: PortSpec) -> PortWiring:
    """Plug a port and filter it."""
    host.prepare()
    bridge = switches.find(host, port.network_id, f"port {port.id}")
    name = _name(host, port)
    link = host.netlink.link(name)
    made = link is None
    if link is None:
        link = _make(host, port, name, bridge)
    elif port.plug is Plug.TAP and link.tap_owner != _owner(port):
        _set_owner(port, name)
    try:
        filter(host, port, link)
    except HostNetworkError:
        if made:
            host.netlink.delete_link(name)
        raise
    host.port_ips[name] = port.ips
    if not host.left_behind.get(zone_of(bridge.index), set()).isdisjoint(port.ips):
        conntrack.cut(host.left_behind)  # what the last users of these addresses left open
        host.left_behind.clear()
    what = alias("port", port.id)
    if link.alias != what or link.master != bridge.index or link.mtu != bridge.mtu or link.up != port.admin_up:
        switches.quiet(name)
        host.netlink.set_link(link.index, alias=what, master=bridge.index, mtu=bridge.mtu, up=port.admin_up)
    end = name if port.plug is Plug.TAP else host.names.interface(names.GUEST_END, port.id)
    return PortWiring(port_id=port.id, interface=name, guest_interface=end, mac=port.mac, mtu=bridge.mtu)


def ensure_rules(host: Host, port: PortSpec) -> None:
    """Renew a plugged port's filters."""
    host.prepare()
    link = host.netlink.link(_name(host, port))
    if link is None:
        raise HostNetworkError(f"Port {port.id} is not plugged on this host: call ensure_port first.")
    filter(host, port, link)


def ensure_gone(host: Host, port_id: str) -> list[Removal]:
    host.prepare()
    removals: list[Removal] = []
    for letter in (names.TAP, names.PLUG):
        name = host.names.interface(letter, port_id)
        link = host.netlink.link(name)
        if link is not None:
            removals.append(host.removal(link))
            host.left_behind.setdefault(zone_of(link.master), set()).update(host.port_ips.get(name, ()))
        if link is not None or name in host.numbers:
            host.nft.apply(filters.port_gone(host.table, name, host.numbers.get(name)))
        _forget(host, name)
    return removals


def filter(host: Host, port: PortSpec, link: Link) -> None:
    """Make the filters of an interface those of the port; cut its connections where a group was taken from it."""
    stale = host.numbers.get(link.name)
    if not port.port_security:
        if stale is not None:
            host.nft.apply(filters.port_gone(host.table, link.name, stale))
            _forget(host, link.name)
        return
    try:
        host.nft.apply(filters.port(host.table, link.name, link.index, port, stale))
    except NftError as error:
        present = groups(host)
        missing = [id for id in port.security_group_ids if id not in present]
        if not missing:
            raise
        raise HostNetworkError(
            f"Security group {missing[0]} of port {port.id} is not on this host: call ensure_security_group first."
        ) from error
    host.numbers[link.name] = link.index
    before = host.port_groups.get(link.name, set())
    host.port_groups[link.name] = set(port.security_group_ids)
    if before - host.port_groups[link.name] and link.master:
        conntrack.cut({zone_of(link.master): port.ips})


def ensure_group(host: Host, group: SecurityGroupSpec) -> None:
    """Write a group's rules and members; cut connections in its ports' networks where something was taken away."""
    host.prepare()
    host.nft.apply(filters.group(host.table, group))
    before = host.group_written(group.id)
    if before == group:
        return
    if before is not None:
        _cut_lost(host, before, group)
    # Written after the cut: a process killed before it leaves the difference for the next one to see.
    host.write_group(group)


def change_members(host: Host, group_id: str, added: Sequence[str], removed: Sequence[str]) -> None:
    """Change who is in a group that is written, however many others are; cut connections with who left."""
    host.prepare()
    before = host.group_written(group_id)
    if before is None:
        raise HostNetworkError(f"Security group {group_id} is not on this host: call ensure_security_group first.")
    members = {*before.member_ips}.difference(removed).union(added)
    after = msgspec.structs.replace(before, member_ips=tuple(sorted(members)))
    host.nft.apply(filters.members(host.table, before, after))
    _cut_lost(host, before, after)
    # Written after the cut: a process killed before it leaves the difference for the next one to see.
    host.write_group(after)


def _cut_lost(host: Host, before: SecurityGroupSpec, group: SecurityGroupSpec) -> None:
    shrunk = {group.id} if not {*before.rules} <= {*group.rules} else set()
    if not {*before.member_ips} <= {*group.member_ips}:
        others = host.groups_written()
        shrunk |= {other.id for other in others if any(rule.remote_group_id == group.id for rule in other.rules)}
    if not shrunk:
        return
    touched = {name for name, ids in host.port_groups.items() if ids & shrunk}
    zones = {zone_of(link.master) for link in host.links() if link.name in touched and link.master}
    if zones:
        conntrack.cut(dict.fromkeys(zones))


def ensure_group_gone(host: Host, group_id: str) -> None:
    host.prepare()
    host.forget_group(group_id)
    try:
        host.nft.apply(filters.group_gone(host.table, group_id))
    except NftError as error:
        user = _user_of_group(host, group_id)
        if user is None:
            raise
        raise StillInUse(f"Security group {group_id} is still used by port {user}: remove it there.") from error
    _sweep_member_sets(host)


def groups(host: Host) -> set[str]:
    """List the groups whose rules are here."""
    chains = (entry["chain"]["name"] for entry in host.nft.list(f"table inet {host.table}") if "chain" in entry)
    return {
        name.removeprefix("group_").removesuffix("_ingress")
        for name in chains
        if name.startswith("group_") and name.endswith("_ingress")
    }


def _name(host: Host, port: PortSpec) -> str:
    return host.names.interface(names.TAP if port.plug is Plug.TAP else names.PLUG, port.id)


def _make(host: Host, port: PortSpec, name: str, bridge: Link) -> Link:
    if port.plug is Plug.TAP:
        _set_owner(port, name)
    else:
        end = host.names.interface(names.GUEST_END, port.id)
        host.netlink.add_veth(name, end, peer_mac=port.mac, mtu=bridge.mtu)
        switches.quiet(end)
    link = host.netlink.link(name)
    if link is None:
        raise HostNetworkError(f"Interface {name} vanished while it was made; ensure port {port.id} again.")
    return link


def _set_owner(port: PortSpec, name: str) -> None:
    """Make a persistent tap that `owner_uid` may open, or change who may."""
    try:
        fd = os.open("/dev/net/tun", os.O_RDWR | os.O_CLOEXEC)
    except OSError as error:
        raise HostNetworkError(f"/dev/net/tun cannot be opened ({error.strerror}): load the tun module.") from error
    try:
        fcntl.ioctl(fd, TUNSETIFF, struct.pack("16sH22x", name.encode(), IFF_TAP | IFF_NO_PI | IFF_VNET_HDR))
        fcntl.ioctl(fd, TUNSETOWNER, _owner(port))
        fcntl.ioctl(fd, TUNSETPERSIST, 1)
    except OSError as error:
        cause = "a guest holds it" if error.errno == errno.EBUSY else error.strerror
        raise HostNetworkError(f"Tap {name} of port {port.id} could not be given to its user: {cause}.") from error
    finally:
        os.close(fd)


def _owner(port: PortSpec) -> int:
    """A tap without an owner is open to everyone, so root owns it unless the port says otherwise."""
    return 0 if port.owner_uid is None else port.owner_uid


def _forget(host: Host, name: str) -> None:
    host.numbers.pop(name, None)
    host.port_groups.pop(name, None)
    host.port_ips.pop(name, None)


def _user_of_group(host: Host, group_id: str) -> str | None:
    chain = filters.group_chain(group_id, "ingress")
    for entry in host.nft.list(f"table inet {host.table}"):
        rule = entry.get("rule", {})
        if {"jump": {"target": chain}} in rule.get("expr", []):
            link = host.netlink.link(rule["chain"].removeprefix("in_"))
            return alias_id(link, "port") if link else rule["chain"]
    return None


def _sweep_member_sets(host: Host) -> None:
    """Drop the member sets that no group owns and no rule names any longer."""
    listing = host.nft.list(f"table inet {host.table}")
    owned = {entry["chain"]["name"] for entry in listing if "chain" in entry}
    sets = [entry["set"]["name"] for entry in listing if "set" in entry and entry["set"]["name"].startswith("members")]
    for name in sets:
        group_id = name.split("_", 1)[1]
        if filters.group_chain(group_id, "ingress") in owned:
            continue
        named = any(f"@{name}" in str(entry["rule"]["expr"]) for entry in listing if "rule" in entry)
        if not named:
            host.nft.apply(f"delete set inet {host.table} {name}")
