"""What a user may say of a port: MACs, address pairs, DHCP options, names.  Rule: checked here, no rows here."""

import re
from typing import Annotated, Any

from pileus.kernel.errors import Conflict, Invalid
from pileus.kernel.rest.regular import text
from pileus.services.network.app.ranges import network_of

DnsDomain = Annotated[
    str,
    text(
        r"^(((?!-)[A-Za-z0-9_-]{1,63}(?<!-)\.)+)?$",
        "a domain that ends with a dot, such as example.org., or nothing",
        255,
    ),
]
MAC = re.compile(r"[0-9a-f]{2}(:[0-9a-f]{2}){5}")
MAX_PAIRS = 10


def valid_mac(text: str, field: str = "mac_address") -> str:
    """Return a MAC in its usual form; raise Invalid, naming the field, for what is none."""
    mac = text.lower().replace("-", ":")
    if MAC.fullmatch(mac) is None or mac == "00:00:00:00:00:00":
        raise Invalid(f"Invalid input for {field}. Reason: '{text}' is not a valid MAC address.")
    return mac


def address_pairs(given: list[dict[str, Any]] | None, secure: bool) -> list[dict[str, Any]]:
    """Return allowed address pairs, checked; the MAC of an entry without one is the port's own."""
    if len(given or []) > MAX_PAIRS:
        raise Invalid(
            f"The number of allowed address pair exceeds the maximum {MAX_PAIRS}.", kind="AllowedAddressPairExhausted"
        )
    found: list[dict[str, Any]] = []
    for entry in given or []:
        if not isinstance(entry, dict) or "ip_address" not in entry or entry.keys() - {"ip_address", "mac_address"}:
            raise Invalid(
                "Invalid input for allowed_address_pairs. Reason: each entry has an ip_address and may have a"
                " mac_address."
            )
        ip = _address_or_range(entry["ip_address"])
        mac = valid_mac(entry["mac_address"], "allowed_address_pairs") if entry.get("mac_address") else None
        if mac is not None and int(mac[:2], 16) & 1:
            raise Invalid(f"Invalid input for allowed_address_pairs. Reason: '{mac}' is a multicast MAC address.")
        pair = {"ip_address": ip, "mac_address": mac}
        if pair in found:
            raise Invalid(f"Request contains duplicate address pair: {ip}.", kind="DuplicateAddressPairInRequest")
        found.append(pair)
    if found and not secure:
        raise Conflict(
            "Port Security must be enabled in order to have allowed address pairs on a port.",
            kind="AddressPairAndPortSecurityRequired",
        )
    return found


def _address_or_range(text: Any) -> str:
    network = network_of(text, "allowed_address_pairs")
    return str(network) if "/" in text else str(network[0])


def dhcp_options(given: list[dict[str, Any]] | None) -> list[dict[str, Any]]:
    """Return extra DHCP options, checked; the last of each name and IP version counts, a null value drops it."""
    found: dict[tuple[str, int], dict[str, Any]] = {}
    for entry in given or []:
        if not isinstance(entry, dict) or "opt_name" not in entry or "opt_value" not in entry:
            raise Invalid("Invalid input for extra_dhcp_opts. Reason: each entry has an opt_name and an opt_value.")
        name, value, version = entry["opt_name"], entry["opt_value"], entry.get("ip_version", 4)
        good = isinstance(name, str) and name.strip() and (value is None or (isinstance(value, str) and value.strip()))
        if not good or str(version) not in ("4", "6") or not f"{name}{value}".isprintable():
            raise Invalid(f"Invalid input for extra_dhcp_opts. Reason: {entry!r} is not a DHCP option.")
        key = (name, int(version))
        found[key] = {"opt_name": name, "opt_value": value, "ip_version": int(version)}
    return [option for option in found.values() if option["opt_value"] is not None]


def valid_dns_name(name: str) -> str:
    """Return a name of the DNS in lower case; raise Invalid for what is none."""
    if name and not re.fullmatch(r"(?!-)[A-Za-z0-9-]{1,63}(?<!-)(\.(?!-)[A-Za-z0-9-]{1,63}(?<!-))*\.?", name):
        raise Invalid(f"Invalid input for dns_name. Reason: '{name}' is not a valid name of the DNS.")
    return name.lower()


def merged_options(before: list[dict[str, Any]], given: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """An update adds and replaces; an option whose value is null goes."""
    gone = {(e.get("opt_name"), int(e.get("ip_version", 4))) for e in given if isinstance(e, dict)}
    kept = [option for option in before if (option["opt_name"], option["ip_version"]) not in gone]
    return kept + dhcp_options(given)
