"""Arithmetic of addresses: texts that must be addresses, pools inside a range, routes.  Rule: no rows here."""

import ipaddress
import itertools
from typing import Any

from pileus.kernel.errors import Conflict, Invalid
from pileus.services.network.app.refusals import invalid

IpNetwork = ipaddress.IPv4Network | ipaddress.IPv6Network
IpInterface = ipaddress.IPv4Interface | ipaddress.IPv6Interface
COUNTABLE = 1 << 62
"""Offsets beyond this are not given out by counting: they would not fit a database's integers."""


def network_of(text: Any, field: str = "cidr") -> IpNetwork:
    """Return a range, host bits cleared; raise Invalid, naming the field, for what is none."""
    return interface_of(text, field).network


def interface_of(text: Any, field: str) -> IpInterface:
    """Return an address with the range around it; raise Invalid, naming the field, for what is none."""
    try:
        return ipaddress.ip_interface(_without_zone(text))
    except ValueError:
        raise Invalid(f"Invalid input for {field}. Reason: '{text}' is not a valid IP subnet.") from None


def _without_zone(text: Any) -> str:
    """Return a text; raise ValueError for numbers, and for a zone of IPv6 ("fe80::1%eth0"), which may hold anything."""
    if not isinstance(text, str) or "%" in text:
        raise ValueError
    return text


def valid_ip(text: Any, field: str, version: int | None = None) -> str:
    """Return an address in its shortest form; raise Invalid naming the field."""
    try:
        address = ipaddress.ip_address(_without_zone(text))
    except ValueError:
        raise Invalid(f"Invalid input for {field}. Reason: '{text}' is not a valid IP address.") from None
    if version is not None and address.version != version:
        raise invalid(f"{field} {text} is not an IPv{version} address.")
    return str(address)


def check_gateway(gateway: str, cidr: IpNetwork) -> None:
    """Raise Invalid when a gateway is the name of the range itself or its broadcast address."""
    address = ipaddress.ip_address(gateway)
    if address not in cidr or cidr.prefixlen >= cidr.max_prefixlen - 1:
        return
    if address == cidr[0] or (cidr.version == 4 and address == cidr[-1]):
        raise invalid("Gateway is not valid on subnet: it is the network's own or its broadcast address.")


def usable(cidr: IpNetwork) -> tuple[int, int]:
    """Return the first and the last offset that ports can have."""
    last = cidr.num_addresses - 1
    if last <= 1:
        return 0, last
    return 1, last - 1 if cidr.version == 4 else last


def default_pools(cidr: IpNetwork, gateway: str | None) -> list[dict[str, Any]]:
    """Return the whole range but the gateway."""
    first, last = usable(cidr)
    base = int(cidr[0])
    at = int(ipaddress.ip_address(gateway)) - base if gateway is not None else -1
    parts = [(first, at - 1), (at + 1, last)] if first <= at <= last else [(first, last)]
    return [{"start": str(cidr[start]), "end": str(cidr[end])} for start, end in parts if start <= end]


def check_pools(pools: list[dict[str, Any]], cidr: IpNetwork) -> list[dict[str, Any]]:
    """Return pools in their shortest form; raise unless each lies in the range and none overlaps another."""
    found: list[tuple[Any, Any]] = []
    for pool in pools:
        if not isinstance(pool, dict) or pool.keys() != {"start", "end"}:
            raise Invalid("Invalid input for allocation_pools. Reason: each pool has exactly a start and an end.")
        start, end = (ipaddress.ip_address(valid_ip(pool[side], "allocation_pools")) for side in ("start", "end"))
        if start.version != cidr.version or end.version != cidr.version or start > end:  # type: ignore[operator]
            raise Invalid(f"The allocation pool {start}-{end} is not valid.", kind="InvalidAllocationPool")
        edge = cidr.num_addresses > 2 and (start == cidr[0] or (cidr.version == 4 and end == cidr[-1]))
        if start not in cidr or end not in cidr or edge:
            raise Invalid(
                f"The allocation pool {start}-{end} spans beyond the subnet cidr {cidr}.",
                kind="OutOfBoundsAllocationPool",
            )
        found.append((start, end))
    ordered = sorted(found)
    for (start, end), (following, until) in itertools.pairwise(ordered):
        if following <= end:
            raise Conflict(
                f"Found overlapping allocation pools: {start}-{end}, {following}-{until} for subnet {cidr}.",
                kind="OverlappingAllocationPools",
            )
    return [{"start": str(start), "end": str(end)} for start, end in found]


def valid_routes(given: list[dict[str, Any]], field: str) -> list[dict[str, Any]]:
    """Return routes in their shortest form; raise Invalid for one that is none or is there twice."""
    found: list[dict[str, Any]] = []
    for route in given:
        if not isinstance(route, dict) or route.keys() != {"destination", "nexthop"}:
            raise Invalid(f"Invalid input for {field}. Reason: each route has exactly a destination and a nexthop.")
        destination = network_of(route["destination"], field)
        nexthop = valid_ip(route["nexthop"], field)
        if ipaddress.ip_address(nexthop).version != destination.version:
            raise invalid(f"{field}: nexthop {nexthop} and destination {destination} differ in IP version.")
        entry = {"destination": str(destination), "nexthop": nexthop}
        if entry in found:
            raise Invalid(f"Invalid input for {field}. Reason: duplicate route to {destination}.")
        found.append(entry)
    return found


def eui64(cidr: IpNetwork, mac: str) -> str:
    """Return the address that follows from a MAC: https://www.rfc-editor.org/rfc/rfc4291#appendix-A"""
    octets = bytes.fromhex(mac.replace(":", ""))
    suffix = bytes([octets[0] ^ 2, *octets[1:3], 0xFF, 0xFE, *octets[3:]])
    return str(cidr[int.from_bytes(suffix, "big")])


def offset_of(cidr: IpNetwork, ip: str) -> int | None:
    """Return an address's distance from the range's first, None when too far to count."""
    offset = int(ipaddress.ip_address(ip)) - int(cidr[0])
    return offset if offset < COUNTABLE else None


def offsets_of(cidr: IpNetwork, pool: dict[str, Any]) -> tuple[int, int]:
    """Return a pool's first and last offset, as far as they can be counted."""
    base = int(cidr[0])
    first, last = (int(ipaddress.ip_address(pool[side])) - base for side in ("start", "end"))
    return first, min(last, COUNTABLE - 1)
