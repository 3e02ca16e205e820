"""Which addresses a port gets.  Rule: chosen and taken in one transaction; the key (network, ip) is the referee."""

import ipaddress
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from pileus.kernel import ids
from pileus.kernel.db import Tx, add_now
from pileus.kernel.errors import Conflict, Invalid
from pileus.services.network.app.ranges import eui64, offset_of, offsets_of, valid_ip
from pileus.services.network.app.refusals import invalid, subnet_not_found
from pileus.services.network.model import AUTOMATIC_MODES, Address, Port, Subnet
from pileus.services.network.store import addresses, networks
from pileus.services.network.store.roles import ROUTED


@dataclass(frozen=True)
class Wish:
    """One entry of ``fixed_ips``: an address, a subnet, or both."""

    subnet_id: str | None = None
    ip: str | None = None


def wishes(given: Sequence[Any]) -> list[Wish]:
    """Read ``fixed_ips``; raise Invalid for an entry that says nothing or too much."""
    found: list[Wish] = []
    for entry in given:
        if not isinstance(entry, dict) or not entry or entry.keys() - {"subnet_id", "ip_address"}:
            raise Invalid(f"Invalid input for fixed_ips. Reason: {entry!r} must have subnet_id, ip_address, or both.")
        ip = entry.get("ip_address") or None
        if entry.get("subnet_id") and not ids.is_uuid(entry["subnet_id"]):
            raise Invalid(f"Invalid input for fixed_ips. Reason: '{entry['subnet_id']}' is not a valid UUID.")
        wish = Wish(entry.get("subnet_id") or None, valid_ip(ip, "fixed_ips") if ip is not None else None)
        if wish.ip is not None and any(wish.ip == other.ip for other in found):
            raise Invalid(f"Invalid input for fixed_ips. Reason: duplicate IP address '{wish.ip}'.")
        found.append(wish)
    return found


def allocate(tx: Tx, port: Port, wanted: list[Wish] | None) -> list[Address]:
    """Give a new port its addresses: as wished, or one of each IP version that the network's subnets offer."""
    subnets = networks.subnets_of(tx, [port.network_id]).get(port.network_id, [])
    return _take(tx, port, subnets, wanted, [])


def reallocate(tx: Tx, port: Port, wanted: list[Wish]) -> list[Address]:
    """Replace a port's addresses; those that are wished again stay as they are."""
    subnets = networks.subnets_of(tx, [port.network_id]).get(port.network_id, [])
    before = addresses.of_port(tx, port.id)
    kept = _kept(before, wanted)
    for address in before:
        if address not in kept:
            tx.delete(address)
    tx.flush()
    rest = [wish for wish, address in zip(wanted, kept, strict=True) if address is None]
    staying = [address for address in kept if address is not None]
    added = _take(tx, port, subnets, rest, staying)
    order = iter(added)
    final = [address if address is not None else next(order) for address in kept] + list(order)
    for position, address in enumerate(final):
        address.position = position
    tx.flush()
    return final


def _kept(before: list[Address], wanted: list[Wish]) -> list[Address | None]:
    """Return, for each wish, the address that fulfils it already: exact ones first, then any of the subnet."""
    left = list(before)
    kept: list[Address | None] = [None] * len(wanted)
    for exact in (True, False):
        for position, wish in enumerate(wanted):
            if kept[position] is not None or (wish.ip is None) == exact:
                continue
            match = next((a for a in left if (a.ip == wish.ip if exact else a.subnet_id == wish.subnet_id)), None)
            if match is not None:
                left.remove(match)
                kept[position] = match
    return kept


def _take(
    tx: Tx, port: Port, subnets: list[Subnet], wanted: list[Wish] | None, staying: list[Address]
) -> list[Address]:
    found: list[Address] = []

    def add(new: list[Address]) -> None:
        for position, address in enumerate(new, len(staying) + len(found)):
            address.position = position
        add_now(tx, *new)
        found.extend(new)

    if wanted is None:
        add(_automatic(tx, port, _for_owner(subnets, port.device_owner)))
    else:
        for wish in wanted:
            add([_fulfil(tx, port, subnets, wish)])
        add(_self_configured(port, subnets, [*staying, *found]))
    return found


def _for_owner(subnets: list[Subnet], owner: str) -> list[Subnet]:
    """Return the subnets for ports of this owner: those that name it, else those that name nobody."""
    named = [subnet for subnet in subnets if any(owner.startswith(kind) for kind in subnet.service_types)]
    return named or [subnet for subnet in subnets if not subnet.service_types]


def _automatic(tx: Tx, port: Port, subnets: list[Subnet]) -> list[Address]:
    found: list[Address] = []
    for version in (4, 6):
        counted = [s for s in subnets if s.ip_version == version and not is_automatic(s)]
        address = _first(tx, port, counted)
        if address is not None:
            found.append(address)
        elif counted:
            raise exhausted(port.network_id)
    if port.role not in ROUTED:
        found += [_derived(port, subnet) for subnet in subnets if is_automatic(subnet)]
    return found


def _self_configured(port: Port, subnets: list[Subnet], there: list[Address]) -> list[Address]:
    """Guests configure themselves in every self-configuring subnet, so a port has those addresses as well."""
    if not there or port.role in ROUTED:
        return []
    have = {address.subnet_id for address in there}
    return [_derived(port, subnet) for subnet in subnets if is_automatic(subnet) and subnet.id not in have]


def is_automatic(subnet: Subnet) -> bool:
    """Tell whether addresses in a subnet follow from MACs."""
    return subnet.ipv6_address_mode in AUTOMATIC_MODES


def _derived(port: Port, subnet: Subnet) -> Address:
    return _address(port, subnet, eui64(ipaddress.ip_network(subnet.cidr), port.mac_address))


def _first(tx: Tx, port: Port, subnets: list[Subnet]) -> Address | None:
    for subnet in subnets:
        cidr = ipaddress.ip_network(subnet.cidr)
        for pool in subnet.allocation_pools:
            first, last = offsets_of(cidr, pool)
            offset = addresses.next_free(tx, subnet.id, first, last)
            if offset is not None:
                return _address(port, subnet, str(cidr[offset]), offset)
    return None


def _fulfil(tx: Tx, port: Port, subnets: list[Subnet], wish: Wish) -> Address:
    if wish.subnet_id is None:
        assert wish.ip is not None
        return _exact(tx, port, _containing(subnets, wish.ip), wish.ip)
    subnet = next((subnet for subnet in subnets if subnet.id == wish.subnet_id), None)
    if subnet is None:
        other = networks.subnets(tx, [wish.subnet_id]).get(wish.subnet_id)
        if other is None or other.project_id != port.project_id:  # nobody is told of another project's
            raise subnet_not_found(wish.subnet_id)
        raise invalid(
            f"Failed to create port on network {port.network_id}, because fixed_ips included invalid subnet"
            f" {wish.subnet_id}."
        )
    if wish.ip is not None:
        return _exact(tx, port, subnet, wish.ip)
    if is_automatic(subnet) and port.role not in ROUTED:
        return _derived(port, subnet)
    found = _first(tx, port, [subnet])
    if found is None:
        raise Conflict(
            f"No more IP addresses available for subnet {subnet.id} ({subnet.cidr}).",
            kind="IpAddressGenerationFailureForSubnet",
        )
    return found


def _containing(subnets: list[Subnet], ip: str) -> Subnet:
    address = ipaddress.ip_address(ip)
    for subnet in subnets:
        cidr = ipaddress.ip_network(subnet.cidr)
        if cidr.version == address.version and address in cidr:
            return subnet
    raise Invalid(
        f"IP address {ip} is not a valid IP for any of the subnets on the specified network.",
        kind="InvalidIpForNetwork",
    )


def _exact(tx: Tx, port: Port, subnet: Subnet, ip: str) -> Address:
    cidr = ipaddress.ip_network(subnet.cidr)
    address = ipaddress.ip_address(ip)
    wide = cidr.num_addresses > 2
    edge = wide and (address == cidr[0] or (cidr.version == 4 and address == cidr[-1]))
    if address.version != cidr.version or address not in cidr or (edge and cidr.version == 4):
        raise Invalid(f"IP address {ip} is not a valid IP for the specified subnet.", kind="InvalidIpForSubnet")
    if is_automatic(subnet) and port.role not in ROUTED and ip != eui64(cidr, port.mac_address):
        raise Invalid(
            f"IPv6 address {ip} can not be directly assigned to a port on subnet {subnet.id} since the subnet is"
            " configured for automatic addresses.",
            kind="AllocationOnAutoAddressSubnet",
        )
    holder = addresses.taken(tx, port.network_id, ip)
    if holder is not None:
        raise Conflict(
            f"IP address {ip} already allocated in subnet {subnet.id}, to port {holder.port_id}.",
            kind="IpAddressAlreadyAllocated",
        )
    return _address(port, subnet, ip)


def _address(port: Port, subnet: Subnet, ip: str, offset: int | None = None) -> Address:
    if offset is None:
        offset = offset_of(ipaddress.ip_network(subnet.cidr), ip)
    return Address(network_id=port.network_id, ip=ip, subnet_id=subnet.id, port_id=port.id, offset=offset, position=0)


def exhausted(network_id: str) -> Conflict:
    """All pools of a network are used up."""
    return Conflict(
        f"No more IP addresses available on network {network_id}: delete ports, or add a subnet or an allocation pool.",
        kind="IpAddressGenerationFailure",
    )
