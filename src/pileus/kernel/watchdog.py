"""How long one thing kept all others waiting: the event loop, or the writer of the database.

Rule: always on.  It costs a timer, a thread that glances at the clock, and two readings of it for each write.
"""

import asyncio
import logging
import sys
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from types import FrameType
from typing import Any

from prometheus_client import Histogram

LONG_S = 0.1
"""A hold that is logged and counted."""
BEAT_S = 0.05
HOLDS = Histogram(
    "pileus_hold_seconds",
    "Seconds for which one thing held the event loop, the writer or a commit, where more than a tenth of a second.",
    ["kind", "route"],
    buckets=(0.25, 0.5, 1, 2.5, 5, 10, 30),
    registry=None,
)
log = logging.getLogger("pileus.holds")


@dataclass(frozen=True)
class Doing:
    """What held: a request, or other work by the name of its function."""

    route: str
    request_id: str | None = None
    path: str | None = None


def held(kind: str, seconds: float, doing: Doing, cpu_s: float | None = None) -> None:
    """Log and count a hold.  Where the processor worked for much less, the machine or its disk was slow."""
    HOLDS.labels(kind, doing.route).observe(seconds)
    log.warning(
        "the %s was held for %d ms by %s",
        kind,
        seconds * 1000,
        doing.route,
        extra={
            "kind": kind,
            "ms": round(seconds * 1000, 1),
            "cpu_ms": None if cpu_s is None else round(cpu_s * 1000, 1),
            "request_id": doing.request_id,
            "path": doing.path,
        },
    )


def doing(info: Mapping[str, Any], function: str) -> Doing:
    """Return what a transaction's ``info`` says of the request it serves, else the name of the function that it runs.

    Only routes and functions go into the metrics: there are so many of them and no more.
    """
    ctx, request, endpoint = info.get("ctx"), info.get("request"), info.get("endpoint")
    route = function.removeprefix("pileus.") if endpoint is None else endpoint.name
    return Doing(route, getattr(ctx, "request_id", info.get("request_id")), getattr(request, "path", None))


class Stopwatch:
    """Times one hold of the thread that runs."""

    __slots__ = ("_at", "_cpu")

    def __init__(self) -> None:
        self._at, self._cpu = time.perf_counter(), time.thread_time()

    def check(self, kind: str, info: Mapping[str, Any], work: Callable[..., Any]) -> None:
        """Report the time since the beginning when it was long."""
        seconds = time.perf_counter() - self._at
        if seconds > LONG_S:
            name = f"{work.__module__}.{getattr(work, '__qualname__', type(work).__name__)}"
            held(kind, seconds, doing(info, name), time.thread_time() - self._cpu)


class LoopWatch:
    """Notices from a thread of its own when the loop has not turned, and looks who is at work meanwhile."""

    def __init__(self) -> None:
        self._beat, self._cpu = 0.0, 0.0
        self._found: Doing | None = None
        self._handle: asyncio.TimerHandle | None = None
        self._stopped = threading.Event()
        self._watched = 0

    def start(self) -> None:
        """Watch the loop that runs here."""
        self._watched = threading.get_ident()
        self._beat, self._cpu = time.perf_counter(), time.thread_time()
        self._handle = asyncio.get_running_loop().call_later(BEAT_S, self._turn)
        threading.Thread(target=self._look, daemon=True, name="watchdog").start()

    def stop(self) -> None:
        """Watch no longer."""
        self._stopped.set()
        if self._handle is not None:
            self._handle.cancel()

    def _turn(self) -> None:
        now, cpu = time.perf_counter(), time.thread_time()
        late = now - self._beat - BEAT_S
        if late > LONG_S:
            held("loop", late, self._found or Doing("unknown"), cpu - self._cpu)
        self._beat, self._cpu, self._found = now, cpu, None
        self._handle = asyncio.get_running_loop().call_later(BEAT_S, self._turn)

    def _look(self) -> None:
        while not self._stopped.wait(BEAT_S):
            if self._found is None and time.perf_counter() - self._beat > BEAT_S + LONG_S:
                self._found = _doing_in(sys._current_frames().get(self._watched))


def _doing_in(frame: FrameType | None) -> Doing | None:
    """Return what a stack is at: the request in it, else its innermost function of ours."""
    inner = ""
    while frame is not None:
        module = frame.f_globals.get("__name__", "")
        if module == "pileus.kernel.rest.app" and frame.f_code.co_name == "handle":
            return doing(frame.f_locals, inner)
        if not inner and module.startswith("pileus."):
            inner = f"{module}.{frame.f_code.co_qualname}"
        frame = frame.f_back
    return doing({}, inner) if inner else None
