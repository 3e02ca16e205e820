"""What hosts were told of networks compared with the rows: ports, security groups, DHCP, routers.

Rule: it asks the driver and the tables themselves, in its own words, not the code that it judges.
"""

from typing import Any

from pileus.simulation.rows import Ask

GUESTS = "role not like 'network:%'"


def networks_of_host(ask: Ask, host: str, driver: Any) -> list[str]:
    """Return how a host's networks differ from the rows, as sentences."""
    return (
        _ports(ask, host, driver) + _rules(ask, host, driver) + _dhcp(ask, host, driver) + _routers(ask, host, driver)
    )


def _ports(ask: Ask, host: str, driver: Any) -> list[str]:
    wrong = []
    rows = ask(f"select id, mac_address, admin_state_up from network_ports where binding_host = '{host}' and {GUESTS}")
    for id, mac, up in rows:
        spec = driver.ports.get(id)
        if spec is None:
            continue  # told elsewhere
        addresses = {ip for (ip,) in ask(f"select ip from network_addresses where port_id = '{id}'")}
        groups = {g for (g,) in ask(f"select group_id from network_port_security_groups where port_id = '{id}'")}
        wanted = (mac, bool(up), addresses, groups)
        found = (spec.mac, spec.admin_up, set(spec.ips), set(spec.security_group_ids))
        if wanted != found:
            wrong.append(f"tap on {host}: {id} is {found}, and the rows say {wanted}")
    return wrong


def _rules(ask: Ask, host: str, driver: Any) -> list[str]:
    """Compare the groups of the ports that are plugged here, and the members of those that their rules name.

    A port that no host carries is no member.
    """
    wrong = []
    used = ask(
        "select distinct g.group_id, p.id from network_port_security_groups g join network_ports p on p.id = g.port_id"
        f" where p.binding_host = '{host}' and p.{GUESTS}"
    )
    named: set[str] = set()
    for group in sorted({group for group, port in used if port in driver.ports}):
        rows = ask(
            "select id, direction, protocol, port_range_min, port_range_max, remote_group_id"
            f" from network_security_group_rules where security_group_id = '{group}'"
        )
        spec = driver.security_groups.get(group)
        found = [] if spec is None else [
            (r.id, r.direction, r.protocol, r.port_range_min, r.port_range_max, r.remote_group_id) for r in spec.rules
        ]  # fmt: skip
        if set(found) != set(rows):
            wrong.append(
                f"rules on {host}: group {group} has {len(found)} rules, and the rows say {len(rows)}, or other"
            )
        named |= {row[-1] for row in rows if row[-1] is not None}
    for group in sorted(named):
        members = {ip for (ip,) in ask(
            "select a.ip from network_addresses a join network_port_security_groups g on g.port_id = a.port_id"
            f" join network_ports p on p.id = a.port_id where g.group_id = '{group}' and p.binding_host <> ''"
        )}  # fmt: skip
        found = driver.members.get(group, set())
        if found != members:
            wrong.append(f"rules on {host}: group {group} has members {sorted(found)}, and the rows {sorted(members)}")
    return wrong


def _dhcp(ask: Ask, host: str, driver: Any) -> list[str]:
    wrong = []
    wanted: dict[str, dict[str, set[str]]] = {}
    for network, port, ip in ask(
        "select p.network_id, p.id, a.ip from network_ports p join network_addresses a on a.port_id = p.id"
        f" where p.binding_host = '{host}' and p.{GUESTS}"
    ):
        wanted.setdefault(network, {}).setdefault(port, set()).add(ip)
    found = {spec.network_id: {one.port_id: set(one.ips) for one in spec.hosts} for spec in driver.dhcp.values()}
    for network in sorted(wanted.keys() | found.keys()):
        there, said = found.get(network, {}), wanted.get(network, {})
        if there != said:
            wrong.append(f"DHCP on {host}: network {network} answers {there}, and the rows say {said}")
    return wrong


def _routers(ask: Ask, host: str, driver: Any) -> list[str]:
    wrong = []
    rows = dict(ask(f"select id, gateway_port_id from network_routers where host = '{host}'"))
    for id in sorted(rows.keys() | driver.routers.keys()):
        spec = driver.routers.get(id)
        if spec is None or id not in rows:
            wrong.append(f"router on {host}: {id} is {'not there' if spec is None else 'in no row'}")
            continue
        legs = {port for (port,) in ask(f"select id from network_ports where holder_id = '{id}'")}
        floating = {tuple(row) for row in ask(
            "select floating_ip_address, fixed_ip_address from network_floating_ips"
            f" where router_id = '{id}' and fixed_ip_address is not null"
        )}  # fmt: skip
        gateway = spec.gateway.port_id if spec.gateway is not None else None
        found = ({leg.port_id for leg in spec.interfaces} | {gateway} - {None}, gateway,
                 {(f.floating_ip, f.fixed_ip) for f in spec.floating_ips})  # fmt: skip
        if found != (wanted := (legs, rows[id], floating)):
            wrong.append(f"router on {host}: {id} is {found}, and the rows say {wanted}")
    return wrong
