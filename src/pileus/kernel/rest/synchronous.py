"""Answers that wait for an operation.  Rule: the operation does not depend on whether its client still listens."""

from pileus.kernel import clock
from pileus.kernel.context import Context
from pileus.kernel.db import Database
from pileus.kernel.errors import ApiError
from pileus.kernel.operations.begin import SUPERSEDED, outcome
from pileus.kernel.operations.model import SUCCEEDED
from pileus.kernel.rest.binding import Endpoint, WhenEnded
from pileus.kernel.rest.http import Request, Response

FIRST_LOOK_S, LONGEST_PAUSE_S = 0.01, 0.5


async def when_ended(db: Database, endpoint: Endpoint, request: Request, ctx: Context, response: Response) -> Response:
    """Return the answer once its operation has ended, or as it was made when that takes too long.

    Raises ApiError with the operation's reason when it failed: 409 where it made way for another, 500 otherwise.
    """
    awaited: WhenEnded = response.when_ended
    until, pause = clock.monotonic() + awaited.timeout_s, FIRST_LOOK_S
    while (end := await db.read(outcome, awaited.operation_id)) is None:
        if clock.monotonic() >= until:
            return response
        await clock.sleep(pause)
        pause = min(pause * 1.5, LONGEST_PAUSE_S)
    state, reason = end
    if state != SUCCEEDED:
        made_way = reason is not None and reason.startswith(SUPERSEDED)
        raise ApiError(reason or f"operation {awaited.operation_id} failed", status=409 if made_way else 500)
    return await db.read(lambda tx: endpoint.respond(awaited.view(tx), ctx, request))
