"""GET /allocation_candidates: where a request would fit."""

from typing import Any

from pileus.kernel.context import Context
from pileus.kernel.db import Tx
from pileus.kernel.policy import Rule
from pileus.kernel.rest import Request
from pileus.services.placement.api.router import OPERATOR, api
from pileus.services.placement.app import candidates, requests
from pileus.services.placement.app.candidates import Landscape, Solution
from pileus.services.placement.app.requests import Wanted
from pileus.services.placement.store import providers
from pileus.services.placement.store.providers import Room

LIST = Rule("placement:allocation_candidates:list", OPERATOR)


@api.get("/allocation_candidates", LIST, since="1.10")
def list_candidates(tx: Tx, ctx: Context, request: Request) -> dict[str, Any]:
    wanted = requests.parse(request.query_items(), ctx.version)
    requests.check_names(tx, wanted)
    found, land = candidates.find(tx, wanted, nested=ctx.version >= (1, 29))
    return {
        "allocation_requests": [_request(ctx, solution) for solution in found],
        "provider_summaries": _summaries(tx, ctx, wanted, found, land),
    }


def _request(ctx: Context, solution: Solution) -> dict[str, Any]:
    if ctx.version < (1, 12):
        parts = [{"resource_provider": {"uuid": u}, "resources": amounts} for u, amounts in solution.held.items()]
        return {"allocations": parts}
    view: dict[str, Any] = {"allocations": {u: {"resources": amounts} for u, amounts in solution.held.items()}}
    if ctx.version >= (1, 34):
        view["mappings"] = solution.mappings
    return view


def _summaries(
    tx: Tx, ctx: Context, wanted: Wanted, found: list[Solution], land: Landscape
) -> dict[str, dict[str, Any]]:
    shown = {uuid for solution in found for uuids in solution.mappings.values() for uuid in uuids}
    if ctx.version >= (1, 29):
        roots = {land.rows[uuid].root_uuid for uuid in shown}
        shown = {uuid for uuid, row in land.rows.items() if row.root_uuid in roots}
    room: Any = land.room
    if ctx.version >= (1, 27):
        room = providers.room(tx, None, shown) if shown else {}
    return {uuid: _summary(ctx, uuid, room.get(uuid, {}), land) for uuid in shown}


def _summary(ctx: Context, uuid: str, room: Room, land: Landscape) -> dict[str, Any]:
    view: dict[str, Any] = {
        "resources": {name: {"capacity": stock.capacity, "used": used} for name, (stock, used) in room.items()}
    }
    if ctx.version >= (1, 17):
        view["traits"] = sorted(land.traits.get(uuid, ()))
    if ctx.version >= (1, 29):
        row = land.rows[uuid]
        view |= {"parent_provider_uuid": row.parent_uuid, "root_provider_uuid": row.root_uuid}
    return view
