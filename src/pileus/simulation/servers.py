"""What users do with servers.  Rule: a verb is a few requests; whether it fits the state is not its business."""

import asyncio
from typing import Any

from pileus.simulation.template import COMPUTE, NETWORK
from pileus.simulation.users import User

FLAVORS = ("42", "84", "c1", "1")
PATIENCE = 600
"""Looks, half a second apart, until who waits for a server waits no longer."""
ACTIONS: dict[str, Any] = {
    "os-stop": None,
    "os-start": None,
    "pause": None,
    "unpause": None,
    "suspend": None,
    "resume": None,
    "confirmResize": None,
    "revertResize": None,
    "lock": {"locked_reason": "busy"},
    "unlock": None,
}


async def create(user: User) -> None:
    """Boot from the image: on a network, on a port, with or without a key, one or several."""
    await boot(user, imageRef=user.template.image)


async def boot(user: User, **more: Any) -> str | None:
    """Create a server."""
    body: dict[str, Any] = {"name": user.name_of("s"), "flavorRef": user.random.choice(FLAVORS[:3]), **more}
    body["networks"] = [{"uuid": user.mine.project.network}]
    if user.chance(0.08):
        body["networks"] = "none"
    elif user.has("port") and user.chance(0.3):
        body["networks"] = [{"port": user.some("port")}]
    elif user.has("network") and user.chance(0.15):
        body["networks"].append({"uuid": user.some("network")})
    if user.has("key") and user.chance(0.2):
        body["key_name"] = user.some("key")
    if user.has("security group") and user.chance(0.2) and body["networks"] != "none":
        body["security_groups"] = [{"name": user.some("security group")}]
    hints: dict[str, Any] = {}
    if user.has("server group") and user.chance(0.2):
        hints = {"os:scheduler_hints": {"group": user.some("server group")}}
    if user.chance(0.1):
        body |= {"min_count": 1, "max_count": user.random.choice((2, 3))}
    return await user.make("server", f"{COMPUTE}/servers", "server", body, **hints)


async def lifecycle(user: User) -> None:
    """Create a server, wait until it is built, delete it, wait until it is gone: the measure of speed."""
    body = {"name": "life", "flavorRef": FLAVORS[0], "imageRef": user.template.image}
    path = f"{COMPUTE}/servers"
    made = await user.make("server", path, "server", {**body, "networks": [{"uuid": user.mine.project.network}]})
    for _ in range(PATIENCE):
        found = await user.ask("GET", f"{path}/{made}")
        if not found or found["server"]["status"] != "BUILD":
            break
        await asyncio.sleep(0.5)
    await user.ask("DELETE", f"{path}/{made}")
    for _ in range(PATIENCE):
        if await user.ask("GET", f"{path}/{made}") is None:
            break
        await asyncio.sleep(0.5)


async def create_and_delete(user: User) -> None:
    """Delete a server while it is being built."""
    made = await boot(user, imageRef=user.template.image)
    if made:
        await user.ask("DELETE", f"{COMPUTE}/servers/{made}")


async def create_on_volume(user: User) -> None:
    """Boot from a volume that is made of the image, from an existing one, or with a second one."""
    device: dict[str, Any] = {"boot_index": 0, "delete_on_termination": user.chance(0.6)}
    if user.has("volume") and user.chance(0.3):
        device |= {"source_type": "volume", "uuid": user.some("volume"), "destination_type": "volume"}
    else:
        device |= {"source_type": "image", "uuid": user.template.image, "destination_type": "volume", "volume_size": 1}
    devices = [device]
    if user.chance(0.3):
        second = {"source_type": "blank", "destination_type": "volume", "volume_size": 1, "boot_index": -1}
        devices.append({**second, "delete_on_termination": user.chance(0.5)})
    await boot(user, block_device_mapping_v2=devices)


async def delete(user: User) -> None:
    """Delete a server, whatever it is at."""
    await user.remove("server", f"{COMPUTE}/servers")


async def act(user: User) -> None:
    """Do one of the plain verbs."""
    name = user.random.choice(list(ACTIONS))
    await _action(user, name, ACTIONS[name])


async def _action(user: User, name: str, argument: Any, server: str | None = None) -> Any:
    verb, user.verb = user.verb, f"server {name}"
    answer = await user.ask("POST", f"{COMPUTE}/servers/{server or user.some('server')}/action", {name: argument})
    user.verb = verb
    return answer


async def reboot(user: User) -> None:
    """Reboot, softly or hard."""
    await _action(user, "reboot", {"type": user.random.choice(("SOFT", "HARD"))})


async def resize(user: User) -> None:
    """Resize, and often settle it, right or wrong."""
    server = user.some("server")
    await _action(user, "resize", {"flavorRef": user.random.choice(FLAVORS)}, server)
    if user.chance(0.5):
        await _action(user, user.random.choice(("confirmResize", "revertResize")), None, server)


async def rebuild(user: User) -> None:
    """Rebuild from the image."""
    await _action(user, "rebuild", {"imageRef": user.template.image})


async def snapshot(user: User) -> None:
    """Make an image of a server."""
    made = await _action(user, "createImage", {"name": user.name_of("i")})
    if made and made.get("image_id"):
        user.mine.add("image", made["image_id"])


async def attach_volume(user: User, server: str | None = None) -> None:
    """Attach a volume."""
    body = {"volumeAttachment": {"volumeId": user.some("volume"), "delete_on_termination": user.chance(0.2)}}
    await user.ask("POST", f"{COMPUTE}/servers/{server or user.some('server')}/os-volume_attachments", body)


async def detach_volume(user: User, server: str | None = None) -> None:
    """Detach a volume that is attached, if one is."""
    server = server or user.some("server")
    found = await user.ask("GET", f"{COMPUTE}/servers/{server}/os-volume_attachments")
    held = [one["volumeId"] for one in (found or {}).get("volumeAttachments", [])]
    volume = user.random.choice(held) if held else user.some("volume")
    await user.ask("DELETE", f"{COMPUTE}/servers/{server}/os-volume_attachments/{volume}")


async def attach_interface(user: User, server: str | None = None) -> None:
    """Attach a port, or a new one on a network."""
    wanted: dict[str, str] = {"net_id": user.mine.project.network}
    if user.has("port") and user.chance(0.5):
        wanted = {"port_id": user.some("port")}
    path = f"{COMPUTE}/servers/{server or user.some('server')}/os-interface"
    await user.ask("POST", path, {"interfaceAttachment": wanted})


async def detach_interface(user: User, server: str | None = None) -> None:
    """Detach one of a server's ports."""
    server = server or user.some("server")
    found = await user.ask("GET", f"{COMPUTE}/servers/{server}/os-interface")
    held = [one["port_id"] for one in (found or {}).get("interfaceAttachments", [])]
    port = user.random.choice(held) if held else user.some("port")
    await user.ask("DELETE", f"{COMPUTE}/servers/{server}/os-interface/{port}")


async def change_at_once(user: User) -> None:
    """Change one server in several ways at once, as Terraform does: volumes, ports, perhaps a reboot beside them."""
    server = user.some("server")
    changes = [attach_volume(user, server) for _ in range(user.random.randrange(1, 4))]
    changes += [attach_interface(user, server) for _ in range(user.random.randrange(2))]
    changes += [detach_volume(user, server) for _ in range(user.random.randrange(2))]
    changes += [detach_interface(user, server) for _ in range(user.random.randrange(2))]
    if user.chance(0.4):
        changes.append(_action(user, "reboot", {"type": "HARD"}, server))
    user.random.shuffle(changes)
    await asyncio.gather(*changes)


async def set_security_group(user: User) -> None:
    """Put a server into a security group or take it out."""
    argument = {"name": user.some("security group")}
    await _action(user, user.random.choice(("addSecurityGroup", "removeSecurityGroup")), argument)


async def mend(user: User) -> None:
    """Do what people do with a server in error: reboot it hard, rebuild it, stop it or delete it."""
    found = await user.ask("GET", f"{COMPUTE}/servers", status="ERROR")
    erring = [server["id"] for server in (found or {}).get("servers", [])]
    if not erring:
        return
    server, dice = user.random.choice(erring), user.random.random()
    if dice < 0.4:
        await _action(user, "reboot", {"type": "HARD"}, server)
    elif dice < 0.75:
        await _action(user, "rebuild", {"imageRef": user.template.image}, server)
    elif dice < 0.85:
        await _action(user, "os-stop", None, server)
    else:
        await user.ask("DELETE", f"{COMPUTE}/servers/{server}")


async def delete_port(user: User) -> None:
    """Delete the port of a server under it."""
    found = await user.ask("GET", f"{COMPUTE}/servers/{user.some('server')}/os-interface")
    if held := [one["port_id"] for one in (found or {}).get("interfaceAttachments", [])]:
        await user.ask("DELETE", f"{NETWORK}/ports/{user.random.choice(held)}")


async def look(user: User) -> None:
    """Read: lists and details."""
    found = await user.ask("GET", f"{COMPUTE}/servers/detail")
    for server in (found or {}).get("servers", []):
        if server["id"] not in user.mine.known.get("server", ()):
            user.mine.add("server", server["id"])
    await user.ask("GET", f"{COMPUTE}/servers/{user.some('server')}")
    await user.ask("GET", f"{NETWORK}/ports")


async def key_pair(user: User) -> None:
    """Make a key pair, or remove one."""
    if user.has("key") and user.chance(0.4):
        await user.remove("key", f"{COMPUTE}/os-keypairs")
        return
    body = {"keypair": {"name": user.name_of("k"), "type": "ssh", "public_key": KEY}}
    made = await user.ask("POST", f"{COMPUTE}/os-keypairs", body)
    if made:
        user.mine.add("key", made["keypair"]["name"])


async def server_group(user: User) -> None:
    """Make a server group, or remove one."""
    if user.has("server group") and user.chance(0.4):
        await user.remove("server group", f"{COMPUTE}/os-server-groups")
        return
    policy = user.random.choice(("affinity", "anti-affinity", "soft-affinity", "soft-anti-affinity"))
    await user.make(
        "server group", f"{COMPUTE}/os-server-groups", "server_group", {"name": user.name_of("g"), "policy": policy}
    )


KEY = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIOMqqnkVzrm0SdG6UOoqKLsabgH5C9okWi0dh2l9GKJl user@simulation"

VERBS = [
    ("server create", 16, create),
    ("server create and delete", 5, create_and_delete),
    ("server create on volume", 6, create_on_volume),
    ("server delete", 12, delete),
    ("server action", 12, act),
    ("server reboot", 3, reboot),
    ("server resize", 6, resize),
    ("server rebuild", 3, rebuild),
    ("server snapshot", 3, snapshot),
    ("server attach volume", 8, attach_volume),
    ("server detach volume", 5, detach_volume),
    ("server attach interface", 4, attach_interface),
    ("server detach interface", 4, detach_interface),
    ("server change at once", 6, change_at_once),
    ("server security group", 3, set_security_group),
    ("server port delete", 2, delete_port),
    ("server mend", 5, mend),
    ("server look", 3, look),
    ("key pair", 2, key_pair),
    ("server group", 2, server_group),
]
