"""The event of a change whose own code has written none, or that was refused: made from the request itself.

Rule: no request that changes something, or is refused to, goes without an event, whoever wrote its handler.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from pileus.kernel import events
from pileus.kernel.context import ANONYMOUS, Context
from pileus.kernel.db import Tx
from pileus.kernel.errors import ApiError, Forbidden, Unauthenticated
from pileus.kernel.rest import Request
from pileus.kernel.rest.routing import Route
from pileus.kernel.runtime import Runtime
from pileus.services.identity.app.attempts import SENTENCE, Attempts
from pileus.services.identity.model.audit import REFUSED

OPERATIONS = {"POST": "created", "PUT": "created", "PATCH": "updated", "DELETE": "deleted"}
LOG_INS = frozenset({"/auth/tokens", "/OS-OAUTH2/token"})
LONGEST_ID = 64
TOLD_PARTS = frozenset({"user", "group", "project", "domain", "role"})


@dataclass(frozen=True)
class Change:
    """What a request changes, or would have changed."""

    noun: str
    operation: str
    id: str | None
    """None: something is made that has no id yet."""
    told: dict[str, Any]


def change_of(request: Request, route: Route) -> Change:
    """Return what a request that writes is about.

    ``/regions/{region}`` is about a region; whatever lies deeper, as ``/projects/{project}/tags/{tag}``, is a change of
    the first thing that the path names.
    """
    operation = OPERATIONS[request.method]
    parts = [part.replace(":path}", "}") for part in route.path.split("/") if part]
    params = [part[1:-1] for part in parts if part.startswith("{")]
    if not params:
        noun = parts[-1].removesuffix("ies") + "y" if parts[-1].endswith("ies") else parts[-1].removesuffix("s")
        return Change(noun, operation, None, {})
    first = params[0]
    deeper = parts[parts.index(f"{{{first}}}") + 1 :]
    told: dict[str, Any] = {name: request.params[name] for name in params[1:] if name in TOLD_PARTS}
    if deeper:
        operation, told["changed"] = "updated", f"{request.method} {'/'.join(deeper)}"
    return Change(first, operation, request.params[first], told)


def tell_of_change(tx: Tx, ctx: Context, request: Request, route: Route, result: Any) -> None:
    """Write ``identity.<noun>.<created|updated|deleted>``, unless the handler has told of its change itself."""
    if request.method not in OPERATIONS or route.reads or events.told(tx):
        return
    change = change_of(request, route)
    kind = f"identity.{change.noun}.{change.operation}"
    if change.id is not None:
        events.emit(tx, kind, change.id, ctx=ctx, **change.told)
        return
    for made in result if isinstance(result, list) else [result]:
        id = made.get("id") if isinstance(made, Mapping) else None
        events.emit(tx, kind, str(id or "unknown"), ctx=ctx)


def tell_of_refusal(runtime: Runtime, ctx: Context, request: Request, route: Route, error: ApiError) -> None:
    """Have the audit told of a change that was refused: to somebody known, or for a secret that was wrong.

    Log-ins tell of themselves; a request whose token is no good is nobody's.
    """
    if request.method not in OPERATIONS or error.status not in (Forbidden.status, Unauthenticated.status):
        return
    if error.status == Unauthenticated.status and (route.path in LOG_INS or "/OS-FEDERATION/" in route.path):
        return
    if ctx.caller is ANONYMOUS and route.rule is not None:
        return
    change = change_of(request, route)
    reason = {"type": error.message[:SENTENCE], "code": str(error.status)}
    told = change.told | {"noun": change.noun, "operation": change.operation, "outcome": "failure", "reason": reason}

    def write(tx: Tx) -> None:
        events.emit(tx, REFUSED, (change.id or "unknown")[:LONGEST_ID], ctx=ctx, **told)

    runtime.part(Attempts).add_refusal(write)
