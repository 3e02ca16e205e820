"""Volumes: the list, making one, making a snapshot, deleting."""

import asyncio
from typing import Any

from pileus.kernel.errors import Invalid
from pileus.kernel.rest.local import Refused
from pileus.services.dashboard.panel import Panel, Visit

BASE = "/volume/v3"


async def load(visit: Visit) -> dict[str, Any]:
    """Return volumes with the names of their servers, and snapshots."""
    volumes, snapshots, servers = await asyncio.gather(
        visit.api.get(f"{BASE}/volumes/detail"),
        visit.api.get(f"{BASE}/snapshots/detail"),
        visit.api.get("/compute/v2.1/servers"),
    )
    names = {server["id"]: server["name"] for server in servers["servers"]}
    return {"volumes": volumes["volumes"], "snapshots": snapshots["snapshots"], "server_names": names}


async def load_form(visit: Visit) -> dict[str, Any]:
    """Return what a new volume can be filled with."""
    images, snapshots = await asyncio.gather(
        visit.api.get("/image/v2/images", status="active", sort="name:asc"),
        visit.api.get(f"{BASE}/snapshots/detail", status="available"),
    )
    return {"images": images["images"], "snapshots": snapshots["snapshots"]}


async def create(visit: Visit) -> str:
    """Make what the form says."""
    try:
        volume: dict[str, Any] = {"name": visit.text("name"), "size": int(visit.text("size") or "1")}
    except ValueError:
        raise Refused("The size must be a whole number of GiB.", status=Invalid.status) from None
    kind, _, id = visit.text("source").partition(":")
    if id:
        volume["imageRef" if kind == "image" else "snapshot_id"] = id
    await visit.api.post(f"{BASE}/volumes", {"volume": volume})
    return f"Volume {volume['name']} is being made."


async def delete(visit: Visit, id: str) -> str:
    await visit.api.delete(f"{BASE}/volumes/{id}")
    return "The volume is being deleted."


async def snapshot(visit: Visit, id: str) -> str:
    """Take a snapshot, also of a volume in use."""
    body = {"snapshot": {"volume_id": id, "name": visit.text("name") or "snapshot", "force": True}}
    await visit.api.post(f"{BASE}/snapshots", body)
    return "The snapshot is being taken."


async def delete_snapshot(visit: Visit, id: str) -> str:
    await visit.api.delete(f"{BASE}/snapshots/{id}")
    return "The snapshot is being deleted."


PANEL = Panel(
    "volumes",
    "Volumes",
    30,
    load,
    load_form=load_form,
    create=create,
    actions={"delete": delete, "snapshot": snapshot, "delete-snapshot": delete_snapshot},
    events=("block_storage.volume", "block_storage.snapshot"),
)
