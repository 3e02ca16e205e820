"""Where a server may go: availability zones, hints and groups, as a request names them."""

from typing import Any

from pileus.kernel.context import Context
from pileus.kernel.db import Tx
from pileus.kernel.errors import Invalid
from pileus.kernel.ids import is_uuid
from pileus.kernel.policy import ADMIN, Rule
from pileus.services.compute.limits import claim_per_server
from pileus.services.compute.model import ServerGroup
from pileus.services.compute.store import catalog, hosts

FORCED_HOST = Rule("os_compute_api:servers:create:forced_host", ADMIN, "Say which host a server is to run on.")


def check_zone(tx: Tx, ctx: Context, text: str | None) -> tuple[str | None, str | None]:
    """Return ``(zone, host)`` of ``zone``, ``zone:host`` or ``zone:host:node``; raise Invalid or Forbidden."""
    if text is None:
        return None, None
    zone, _, rest = text.partition(":")
    host = rest.partition(":")[0] or rest.partition(":")[2] or None
    if host:
        ctx.require(FORCED_HOST)
    if zone and zone not in {hosts.DEFAULT_ZONE, *hosts.zones(tx).values()}:
        raise Invalid(f"The requested availability zone '{zone}' is not available: choose one of the list of zones.")
    return zone or None, host


def hints_checked(tx: Tx, hints: dict[str, Any]) -> dict[str, Any]:
    """Return the hints if they can be understood; raise Invalid naming the one that cannot."""
    for name in ("same_host", "different_host"):
        wanted = hints.get(name)
        if wanted is None:
            continue
        for id in [wanted] if isinstance(wanted, str) else wanted:
            if not is_uuid(id):
                raise Invalid(f"Invalid input for scheduler hint {name}: '{id}' is not the id of a server.")
    return hints


def group_of_hints(tx: Tx, ctx: Context, hints: dict[str, Any], count: int) -> ServerGroup | None:
    """Return the server group of the hint ``group``; raise Invalid when there is none, OverQuota when it is full."""
    wanted = hints.get("group")
    if wanted is None:
        return None
    if not isinstance(wanted, str) or not is_uuid(wanted):
        raise Invalid("Server group scheduler hint must be a UUID.")
    group = catalog.get_group(tx, wanted)
    if group is None or (group.project_id != ctx.project_id and not ctx.is_admin):
        raise Invalid(f"Instance group {wanted} could not be found.")
    members = catalog.members(tx, [group.id]).get(group.id, [])
    claim_per_server(tx, group.project_id, "server_group_members", len(members) + count)
    return group
