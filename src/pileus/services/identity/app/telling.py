"""The event of a change whose own code has written none: made from the request itself.

Rule: no request that changes something goes without an event, whoever wrote its handler.
"""

from collections.abc import Mapping
from typing import Any

from pileus.kernel import events
from pileus.kernel.context import Context
from pileus.kernel.db import Tx
from pileus.kernel.rest import Request
from pileus.kernel.rest.routing import Route

OPERATIONS = {"POST": "created", "PUT": "created", "PATCH": "updated", "DELETE": "deleted"}
TOLD_PARTS = frozenset({"user", "group", "project", "domain", "role"})


def tell_of_change(tx: Tx, ctx: Context, request: Request, route: Route, result: Any) -> None:
    """Write ``identity.<noun>.<created|updated|deleted>``, unless the handler has told of its change itself.

    ``/regions/{region}`` tells of a region; whatever lies deeper, as ``/projects/{project}/tags/{tag}``, of a
    change of the first thing that the path names.
    """
    operation = OPERATIONS.get(request.method)
    if operation is None or route.reads or events.told(tx):
        return
    parts = [part for part in route.path.split("/") if part]
    params = [part[1:-1] for part in parts if part.startswith("{")]
    if not params:
        noun = parts[-1].removesuffix("ies") + "y" if parts[-1].endswith("ies") else parts[-1].removesuffix("s")
        for made in result if isinstance(result, list) else [result]:
            id = made.get("id") if isinstance(made, Mapping) else None
            events.emit(tx, f"identity.{noun}.{operation}", str(id or "unknown"), ctx=ctx)
        return
    first = params[0]
    deeper = parts[parts.index(f"{{{first}}}") + 1 :]
    payload: dict[str, Any] = {name: request.params[name] for name in params[1:] if name in TOLD_PARTS}
    if deeper:
        operation, payload["changed"] = "updated", f"{request.method} {'/'.join(deeper)}"
    events.emit(tx, f"identity.{first}.{operation}", request.params[first], ctx=ctx, **payload)
