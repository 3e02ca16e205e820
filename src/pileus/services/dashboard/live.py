"""Live pages: the project's events as server-sent events, so that open pages renew what has changed.

Format: https://html.spec.whatwg.org/multipage/server-sent-events.html
"""

import asyncio
from collections.abc import AsyncGenerator

from starlette.responses import StreamingResponse

from pileus.kernel import events
from pileus.kernel.errors import Unavailable
from pileus.kernel.runtime import Runtime

BEAT_S = 15
FULL_RETRY_MS = 30_000


def stream(runtime: Runtime, project_id: str, after: int | None) -> StreamingResponse:
    """Return an endless answer: one message named after the service and resource of each event.

    ``after`` is the newest event that the page already shows, so that nothing is missed between the two.
    """
    headers = {"Cache-Control": "no-store", "X-Accel-Buffering": "no"}
    return StreamingResponse(_messages(runtime, project_id, after), media_type="text/event-stream", headers=headers)


async def _messages(runtime: Runtime, project_id: str, after: int | None) -> AsyncGenerator[str, None]:
    room = runtime.app.watchers
    try:
        room.enter()
    except Unavailable:
        yield f"retry: {FULL_RETRY_MS}\n\n"  # the page tries again then, and renews itself by hand meanwhile
        return
    waiting: asyncio.Future[events.Event] | None = None
    try:
        yield "retry: 2000\n\n"
        watching = events.watch(runtime, project_id, after).__aiter__()
        waiting = asyncio.ensure_future(anext(watching))
        while True:
            done, _ = await asyncio.wait({waiting}, timeout=BEAT_S)
            if not done:
                yield ": still here\n\n"
                continue
            event = waiting.result()
            waiting = asyncio.ensure_future(anext(watching))
            name = ".".join(event.kind.split(".")[:2])
            yield f"id: {event.sequence}\nevent: {name}\ndata: {event.resource_id}\n\n"
    finally:
        if waiting is not None:
            waiting.cancel()
        room.leave()
