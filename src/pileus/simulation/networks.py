"""What users do with networks, ports, routers, floating IPs and security groups."""

from typing import Any

from pileus.simulation.template import NETWORK
from pileus.simulation.users import User


async def create_network(user: User) -> None:
    """Make a network, mostly with a subnet."""
    made = await user.make("network", f"{NETWORK}/networks", "network", {"name": user.name_of("n")})
    if made and user.chance(0.8):
        await _subnet(user, made)


async def _subnet(user: User, network: str) -> None:
    number = user.random.randrange(256)
    body = {"network_id": network, "ip_version": 4, "cidr": f"10.200.{number}.0/{user.random.choice((24, 28, 29))}"}
    await user.make("subnet", f"{NETWORK}/subnets", "subnet", body)


async def create_subnet(user: User) -> None:
    """Make a subnet on one of the networks."""
    await _subnet(user, user.some("network") if user.chance(0.7) else user.mine.project.network)


async def delete_subnet(user: User) -> None:
    """Delete a subnet, if nothing uses it."""
    await user.remove("subnet", f"{NETWORK}/subnets")


async def delete_network(user: User) -> None:
    """Delete a network, if nothing uses it."""
    await user.remove("network", f"{NETWORK}/networks")


async def create_port(user: User) -> None:
    """Make a port, at times with an address of its own choice."""
    body: dict[str, Any] = {"network_id": user.mine.project.network}
    if user.has("network") and user.chance(0.3):
        body["network_id"] = user.some("network")
    elif user.chance(0.4):
        prefix = user.template.projects.index(user.mine.project) + 1
        address = f"10.{prefix}.0.{user.random.randrange(2, 20)}"
        body["fixed_ips"] = [{"subnet_id": user.mine.project.subnet, "ip_address": address}]
    if user.has("security group") and user.chance(0.3):
        body["security_groups"] = [user.some("security group")]
    await user.make("port", f"{NETWORK}/ports", "port", body)


async def update_port(user: User) -> None:
    """Change a port's security groups or state."""
    body: dict[str, Any] = {"admin_state_up": user.chance(0.7)}
    if user.has("security group") and user.chance(0.6):
        body = {"security_groups": [user.some("security group")]}
    await user.ask("PUT", f"{NETWORK}/ports/{user.some('port')}", {"port": body})


async def delete_port(user: User) -> None:
    """Delete a port, whoever uses it."""
    await user.remove("port", f"{NETWORK}/ports")


async def create_router(user: User) -> None:
    """Make a router, mostly with a way out."""
    body: dict[str, Any] = {"name": user.name_of("r")}
    if user.chance(0.7):
        body["external_gateway_info"] = {"network_id": user.template.public}
    await user.make("router", f"{NETWORK}/routers", "router", body)


async def update_router(user: User) -> None:
    """Give a router a leg, take one away, or change its way out."""
    router = user.some("router")
    dice = user.random.random()
    if dice < 0.4:
        await user.ask("PUT", f"{NETWORK}/routers/{router}/add_router_interface", {"subnet_id": user.some("subnet")})
    elif dice < 0.7:
        body = {"subnet_id": user.some("subnet")}
        await user.ask("PUT", f"{NETWORK}/routers/{router}/remove_router_interface", body)
    else:
        way = {"network_id": user.template.public} if user.chance(0.5) else None
        await user.ask("PUT", f"{NETWORK}/routers/{router}", {"router": {"external_gateway_info": way}})


async def delete_router(user: User) -> None:
    """Delete a router."""
    await user.remove("router", f"{NETWORK}/routers")


async def create_floating_ip(user: User) -> None:
    """Take a floating IP, at times for a server's port at once."""
    body: dict[str, Any] = {"floating_network_id": user.template.public}
    if user.chance(0.5) and (port := await _guest_port(user)):
        body["port_id"] = port
    await user.make("floating ip", f"{NETWORK}/floatingips", "floatingip", body)


async def _guest_port(user: User) -> str | None:
    found = await user.ask("GET", f"{NETWORK}/ports", network_id=user.mine.project.network)
    ports = [port["id"] for port in (found or {}).get("ports", []) if port["device_owner"].startswith("compute:")]
    return user.random.choice(ports) if ports else None


async def update_floating_ip(user: User) -> None:
    """Point a floating IP at a port, or nowhere."""
    port = await _guest_port(user) if user.chance(0.7) else None
    path = f"{NETWORK}/floatingips/{user.some('floating ip')}"
    await user.ask("PUT", path, {"floatingip": {"port_id": port}})


async def delete_floating_ip(user: User) -> None:
    """Give a floating IP back."""
    await user.remove("floating ip", f"{NETWORK}/floatingips")


async def create_group(user: User) -> None:
    """Make a security group."""
    body = {"name": user.name_of("sg")}
    await user.make("security group", f"{NETWORK}/security-groups", "security_group", body)


async def create_rule(user: User) -> None:
    """Let something in."""
    port = user.random.randrange(1, 50)
    body: dict[str, Any] = {
        "security_group_id": user.some("security group"),
        "direction": "ingress",
        "protocol": "tcp",
        "port_range_min": port,
        "port_range_max": port,
    }
    if user.chance(0.3):
        body["remote_group_id"] = user.some("security group")
    await user.make("rule", f"{NETWORK}/security-group-rules", "security_group_rule", body)


async def delete_rule(user: User) -> None:
    """Let it in no longer."""
    await user.remove("rule", f"{NETWORK}/security-group-rules")


async def delete_group(user: User) -> None:
    """Delete a security group, if no port uses it."""
    await user.remove("security group", f"{NETWORK}/security-groups")


VERBS = [
    ("network create", 3, create_network),
    ("network delete", 2, delete_network),
    ("subnet create", 2, create_subnet),
    ("subnet delete", 1, delete_subnet),
    ("port create", 5, create_port),
    ("port update", 2, update_port),
    ("port delete", 3, delete_port),
    ("router create", 2, create_router),
    ("router update", 3, update_router),
    ("router delete", 1, delete_router),
    ("floating ip create", 3, create_floating_ip),
    ("floating ip update", 3, update_floating_ip),
    ("floating ip delete", 2, delete_floating_ip),
    ("security group create", 3, create_group),
    ("security group rule create", 3, create_rule),
    ("security group rule delete", 1, delete_rule),
    ("security group delete", 2, delete_group),
]
