"""The project at a glance: what is used of each quota."""

import asyncio
from typing import Any

from pileus.kernel.rest.local import Refused
from pileus.services.dashboard.panel import Panel, Visit

COMPUTE = (
    ("Servers", "totalInstancesUsed", "maxTotalInstances"),
    ("Virtual CPUs", "totalCoresUsed", "maxTotalCores"),
    ("Memory (MiB)", "totalRAMUsed", "maxTotalRAMSize"),
)
VOLUME = (
    ("Volumes", "totalVolumesUsed", "maxTotalVolumes"),
    ("Volume space (GiB)", "totalGigabytesUsed", "maxTotalVolumeGigabytes"),
    ("Snapshots", "totalSnapshotsUsed", "maxTotalSnapshots"),
)
NETWORK = (
    ("Networks", "network"),
    ("Ports", "port"),
    ("Routers", "router"),
    ("Floating IPs", "floatingip"),
    ("Security groups", "security_group"),
)


async def load(visit: Visit) -> dict[str, Any]:
    """Return the groups of bars; a service that cannot tell is left out and said so."""
    groups = [
        _limits(visit, "Compute", "/compute/v2.1/limits", COMPUTE),
        _limits(visit, "Volumes", "/volume/v3/limits", VOLUME),
        _network(visit),
    ]
    return {"groups": await asyncio.gather(*groups)}


async def _limits(visit: Visit, title: str, path: str, wanted: tuple[tuple[str, str, str], ...]) -> dict[str, Any]:
    try:
        found = (await visit.api.get(path))["limits"]["absolute"]
    except Refused as error:
        return {"title": title, "bars": [], "refusal": error.message}
    bars = [(label, found[used], found[limit]) for label, used, limit in wanted]
    return {"title": title, "bars": bars, "refusal": ""}


async def _network(visit: Visit) -> dict[str, Any]:
    try:
        found = (await visit.api.get(f"/networking/v2.0/quotas/{visit.session.project_id}/details.json"))["quota"]
    except Refused as error:
        return {"title": "Networks", "bars": [], "refusal": error.message}
    bars = [(label, found[name]["used"], found[name]["limit"]) for label, name in NETWORK if name in found]
    return {"title": "Networks", "bars": bars, "refusal": ""}


PANEL = Panel("overview", "Overview", 0, load, events=("compute.server", "block_storage.volume", "network.port"))
