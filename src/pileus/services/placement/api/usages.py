"""GET /usages: what a project uses in all."""

from typing import Any

from pileus.kernel.context import Context
from pileus.kernel.db import Tx
from pileus.kernel.errors import Invalid
from pileus.kernel.policy import ADMIN_OR_SERVICE, READER, Rule
from pileus.kernel.rest import StrictQuery
from pileus.kernel.rest.references import SomeProject, SomeUser
from pileus.services.placement.api.allocations import UNKNOWN
from pileus.services.placement.api.router import api
from pileus.services.placement.store import allocations

USAGES = Rule("placement:usages", f"{ADMIN_OR_SERVICE} or ({READER})")


class UsageQuery(StrictQuery):
    project_id: SomeProject
    user_id: SomeUser | None = None
    consumer_type: str | None = None


@api.get("/usages", USAGES, since="1.9", by_handler=True)
def show_usages(tx: Tx, ctx: Context, query: UsageQuery) -> dict[str, Any]:
    ctx.require(USAGES, {"project_id": query.project_id})
    rows = allocations.usages_by_type(tx, query.project_id, query.user_id)
    if ctx.version < (1, 38):
        if query.consumer_type is not None:
            raise Invalid("Invalid query string parameters: consumer_type came with microversion 1.38.")
        return {"usages": _summed([(name, used) for _, name, used, _ in rows])}
    counts = allocations.count_consumers(tx, query.project_id, query.user_id)
    if query.consumer_type == "all":
        return {"usages": {"all": _group([(n, u) for _, n, u, _ in rows], sum(counts.values()))} if counts else {}}
    wanted = {kind for kind in counts if query.consumer_type in (None, kind or UNKNOWN)}
    groups = {kind or UNKNOWN: _group([(n, u) for k, n, u, _ in rows if k == kind], counts[kind]) for kind in wanted}
    return {"usages": groups}


def _summed(parts: list[tuple[str, int]]) -> dict[str, int]:
    found: dict[str, int] = {}
    for name, used in parts:
        found[name] = found.get(name, 0) + used
    return found


def _group(parts: list[tuple[str, int]], consumers: int) -> dict[str, int]:
    return {"consumer_count": consumers, **_summed(parts)}
