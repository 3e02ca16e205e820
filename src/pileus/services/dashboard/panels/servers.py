"""Servers: the list, the launch form, one server with its console, log and verbs."""

import asyncio
import base64
from typing import Any

from pileus.kernel.rest.local import Refused
from pileus.services.dashboard.panel import Panel, Visit

BASE = "/compute/v2.1"
VERSION = "compute 2.79"
LOG_LINES = 200


async def load(visit: Visit) -> dict[str, Any]:
    """Return the project's servers, newest first, with the names of their flavors and images."""
    servers, images = await asyncio.gather(_servers(visit), _names(visit, "/image/v2/images", "images"))
    return {"servers": [{**server, "image_name": _image_name(server, images)} for server in servers]}


async def _servers(visit: Visit) -> list[dict[str, Any]]:
    answer, _ = await visit.api.call("GET", f"{BASE}/servers/detail", headers={"OpenStack-API-Version": VERSION})
    return answer["servers"]


async def _names(visit: Visit, path: str, member: str) -> dict[str, str]:
    try:
        return {entry["id"]: entry["name"] for entry in (await visit.api.get(path))[member]}
    except Refused:
        return {}


def _image_name(server: dict[str, Any], images: dict[str, str]) -> str:
    image = server.get("image")
    if not image:
        return "a volume"
    return images.get(image["id"]) or image["id"]


async def load_one(visit: Visit, id: str) -> dict[str, Any]:
    """Return one server with its volumes, floating IPs and history."""
    answer, _ = await visit.api.call("GET", f"{BASE}/servers/{id}", headers={"OpenStack-API-Version": VERSION})
    images, attachments, history, volumes = await asyncio.gather(
        _names(visit, "/image/v2/images", "images"),
        visit.api.get(f"{BASE}/servers/{id}/os-volume_attachments"),
        visit.api.get(f"{BASE}/servers/{id}/os-instance-actions"),
        visit.api.get("/volume/v3/volumes/detail", status="available"),
    )
    server = answer["server"]
    return {
        "server": {**server, "image_name": _image_name(server, images)},
        "attachments": attachments["volumeAttachments"],
        "history": history["instanceActions"],
        "free_volumes": volumes["volumes"],
        "waits": await _waits(visit, server, history["instanceActions"]),
    }


async def _waits(visit: Visit, server: dict[str, Any], history: list[dict[str, Any]]) -> str | None:
    """Return why what is under way has not ended: what is tried again, how often it was refused, when the next try is.

    Of the request that asked for it, since the event of an action tells only operators.
    """
    if not server["OS-EXT-STS:task_state"] or not history:
        return None
    try:
        asked = (await visit.api.get(f"/v1/requests/{history[0]['request_id']}"))["request"]
    except Refused:
        return None  # by a request of somebody else, an operator say
    for one in asked["operations"]:
        if one["next_at"] and one["last_refusal"]:
            tries = "once" if one["tries"] == 1 else f"{one['tries']} times"
            return f"Refused {tries}, last: {one['last_refusal'].rstrip('.')}. Next try at {one['next_at'][11:19]} UTC."
    return None


async def load_log(visit: Visit, id: str) -> dict[str, Any]:
    """Return the end of the console's log."""
    answer = await visit.api.post(f"{BASE}/servers/{id}/action", {"os-getConsoleOutput": {"length": LOG_LINES}})
    return {"server_id": id, "log": answer["output"]}


async def load_console(visit: Visit, id: str) -> dict[str, Any]:
    """Return the address of a fresh graphical console."""
    body = {"remote_console": {"protocol": "vnc", "type": "novnc"}}
    path = f"{BASE}/servers/{id}/remote-consoles"
    answer = await visit.api.post(path, body, OpenStack_API_Version="compute 2.6")
    return {"server_id": id, "url": answer["remote_console"]["url"]}


async def load_form(visit: Visit) -> dict[str, Any]:
    """Return what the launch form offers."""
    images, flavors, networks, keys, groups = await asyncio.gather(
        visit.api.get("/image/v2/images", status="active", sort="name:asc"),
        visit.api.get(f"{BASE}/flavors/detail"),
        visit.api.get("/networking/v2.0/networks"),
        visit.api.get(f"{BASE}/os-keypairs"),
        visit.api.get("/networking/v2.0/security-groups", project_id=visit.session.project_id),
    )
    return {
        "images": images["images"],
        "flavors": sorted(flavors["flavors"], key=lambda flavor: (flavor["ram"], flavor["vcpus"], flavor["disk"])),
        "networks": [network for network in networks["networks"] if not network["router:external"]],
        "keys": [entry["keypair"] for entry in keys["keypairs"]],
        "groups": groups["security_groups"],
    }


async def create(visit: Visit) -> str:
    """Launch what the form says."""
    server: dict[str, Any] = {
        "name": visit.text("name"),
        "imageRef": visit.text("image"),
        "flavorRef": visit.text("flavor"),
        "networks": [{"uuid": network} for network in visit.texts("network")] or "auto",
    }
    if visit.text("key"):
        server["key_name"] = visit.text("key")
    if groups := visit.texts("group"):
        server["security_groups"] = [{"name": group} for group in groups]
    if script := visit.text("user_data"):
        server["user_data"] = base64.b64encode(script.replace("\r\n", "\n").encode()).decode()
    await visit.api.post(f"{BASE}/servers", {"server": server}, OpenStack_API_Version=VERSION)
    return f"Server {server['name']} is being launched."


def _verb(action: str, argument: Any, sentence: str) -> Any:
    async def act(visit: Visit, id: str) -> str:
        await visit.api.post(f"{BASE}/servers/{id}/action", {action: argument})
        return sentence

    return act


async def delete(visit: Visit, id: str) -> str:
    await visit.api.delete(f"{BASE}/servers/{id}")
    return "The server is being deleted."


async def attach(visit: Visit, id: str) -> str:
    """Attach the volume chosen in the form."""
    body = {"volumeAttachment": {"volumeId": visit.text("volume")}}
    await visit.api.post(f"{BASE}/servers/{id}/os-volume_attachments", body)
    return "The volume is being attached."


async def detach(visit: Visit, id: str) -> str:
    """Detach the volume named in the form."""
    await visit.api.delete(f"{BASE}/servers/{id}/os-volume_attachments/{visit.text('volume')}")
    return "The volume is being detached."


PANEL = Panel(
    "servers",
    "Servers",
    10,
    load,
    load_one,
    load_form,
    create,
    actions={
        "start": _verb("os-start", None, "The server is starting."),
        "stop": _verb("os-stop", None, "The server is stopping."),
        "reboot": _verb("reboot", {"type": "SOFT"}, "The server is rebooting."),
        "hard-reboot": _verb("reboot", {"type": "HARD"}, "The server is being switched off and on."),
        "delete": delete,
        "attach": attach,
        "detach": detach,
    },
    downloads={"log": load_log, "console": load_console},
    events=("compute.server",),
)
