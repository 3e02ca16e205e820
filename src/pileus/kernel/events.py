"""Events: what happened, written in the transaction in which it happened.

Rule: an event is a row (the outbox); consumers read rows in order and remember how far they came, so that a
crash loses nothing and repeats nothing.  It is also how a lower service tells a higher one something.
"""

import asyncio
import functools
import logging
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any

from sqlalchemy import ColumnElement, Select, String, bindparam, delete, func, insert, or_, select, update
from sqlalchemy.orm import Mapped, mapped_column

from pileus.kernel import clock
from pileus.kernel.context import Context
from pileus.kernel.db import JsonText, Row, Tx, after_commit, load

if TYPE_CHECKING:
    from pileus.kernel.runtime import Runtime

log = logging.getLogger(__name__)
CHUNK = 100
GAP_PATIENCE = timedelta(seconds=5)
RETRY_S = 1.0
GATHER_S = 0.02
"""How long consumers wait for what comes with the first event of a burst."""


class Event(Row):
    """One thing that happened to one resource: ``kind`` is ``compute.server.created`` and the like."""

    __tablename__ = "events"
    sequence: Mapped[int] = mapped_column(primary_key=True, autoincrement=True)
    kind: Mapped[str] = mapped_column(String(80))
    resource_id: Mapped[str] = mapped_column(String(255))
    project_id: Mapped[str | None] = mapped_column(String(64))
    request_id: Mapped[str | None] = mapped_column(String(64), index=True)
    payload: Mapped[dict[str, Any]]
    initiator: Mapped[dict[str, Any] | None] = mapped_column(JsonText)
    """Who caused it and from where, for the audit; watchers are not shown it."""
    at: Mapped[datetime]


class EventCursor(Row):
    """How far a durable consumer has come."""

    __tablename__ = "event_cursors"
    consumer: Mapped[str] = mapped_column(String(80), primary_key=True)
    sequence: Mapped[int]


@dataclass(frozen=True)
class Consumer:
    """A function that is called once for every event of its kinds, in order, in a transaction.

    A kind that ends with ``.*`` stands for all that begin so.
    """

    name: str
    kinds: tuple[str, ...]
    handle: Callable[[Tx, Event], None]

    def wants(self, kinds: set[str]) -> bool:
        """Tell whether any of these kinds concerns it."""
        return not kinds.isdisjoint(self.kinds) or any(
            found.startswith(kind[:-1]) for kind in self.kinds if kind.endswith(".*") for found in kinds
        )


CONSUMERS: dict[str, Consumer] = {}
_event: Any = Event.__table__
_INSERT = insert(_event)
_NEWEST = select(func.max(_event.c.sequence))
_cursor: Any = EventCursor.__table__
_MOVE = (
    update(_cursor)
    .where(_cursor.c.consumer == bindparam("name"), _cursor.c.sequence == bindparam("begin"))
    .values(sequence=bindparam("end"))
)
_KINDS = (
    select(_event.c.kind)
    .where(_event.c.sequence > bindparam("after"), _event.c.sequence <= bindparam("last"))
    .distinct()
)


def _chosen(kinds: tuple[str, ...]) -> ColumnElement[bool]:
    """Return the condition of the events of some kinds."""
    families = [Event.kind.startswith(kind[:-1], autoescape=True) for kind in kinds if kind.endswith(".*")]
    return or_(Event.kind.in_([kind for kind in kinds if not kind.endswith(".*")]), *families)


def initiator_of(ctx: Context) -> dict[str, Any] | None:
    """Return who makes a request and from where, as an event keeps it; None where nobody is known."""
    caller = ctx.caller
    found = {
        "user_id": caller.user_id,
        "username": caller.user_name,
        "project_id": caller.project_id,
        "domain_id": caller.domain_id,
        "address": ctx.source_ip,
        "global_request_id": ctx.global_request_id,
    }
    return {name: value for name, value in found.items() if value is not None} or None


def emit(
    tx: Tx,
    kind: str,
    resource_id: str,
    *,
    ctx: Context | None = None,
    project_id: str | None = None,
    initiator: dict[str, Any] | None = None,
    **payload: Any,
) -> None:
    """Write an event; consumers and watchers see it after the commit."""
    written = {
        "kind": kind,
        "resource_id": resource_id,
        "project_id": project_id or (ctx.project_id if ctx else None),
        "request_id": ctx.request_id if ctx else tx.info.get("request_id"),
        "payload": payload,
        "initiator": initiator or (initiator_of(ctx) if ctx else None),
        "at": clock.now(),
    }
    tx.connection().execute(_INSERT, written)
    if not tx.info.get("event_signalled"):
        tx.info["event_signalled"] = True
        after_commit(tx, _signal)


def told(tx: Tx) -> bool:
    """Tell whether this transaction has written an event."""
    return bool(tx.info.get("event_signalled"))


def on(*kinds: str, name: str) -> Callable[[Callable[[Tx, Event], None]], Callable[[Tx, Event], None]]:
    """Register ``def handler(tx, event)`` for events of these kinds; ``name`` is its durable identity."""

    def register(handle: Callable[[Tx, Event], None]) -> Callable[[Tx, Event], None]:
        CONSUMERS[name] = Consumer(name, kinds, handle)
        return handle

    return register


_signals = 0
_waiting: dict[asyncio.Event, None] = {}
"""In the order in which they came: a set's order would differ from process to process, and a simulation with it."""


def _signal() -> None:
    global _signals
    _signals += 1
    for waiter in list(_waiting):
        waiter.set()


def signals() -> int:
    """Return how often this process has committed events: what ``changed`` waits to see move."""
    return _signals


async def changed(timeout_s: float, seen: int) -> None:
    """Wait until this process has committed more than ``seen`` says, or until the time is over.

    Ask ``signals()`` before looking: what is committed while one looks is not waited for then.  Events of other
    processes are found when the time is over.
    """
    if seen != _signals:
        return
    waiter = asyncio.Event()
    _waiting[waiter] = None
    try:
        async with asyncio.timeout(timeout_s):  # wait_for may swallow a cancellation that meets the event
            await waiter.wait()
    except TimeoutError:
        return
    finally:
        _waiting.pop(waiter, None)


def newest(tx: Tx) -> int:
    """Return the sequence number of the newest event."""
    return tx.connection().execute(_NEWEST).scalar() or 0


def horizon(tx: Tx, after: int) -> int:
    """Return up to where the events after ``after`` are complete.

    SQLite commits in the order of the numbers.  Elsewhere a number may be given long before its commit, so a gap
    is waited for, until it is old enough to be that of a transaction that was rolled back.
    """
    if tx.get_bind().dialect.name == "sqlite":
        return newest(tx)
    settled = clock.now() - GAP_PATIENCE
    rows = tx.execute(
        select(Event.sequence, Event.at).where(Event.sequence > after).order_by(Event.sequence).limit(10 * CHUNK)
    )
    reached = after
    for sequence, at in rows:
        if sequence != reached + 1 and at > settled:
            break
        reached = sequence
    return reached


def events_after(tx: Tx, sequence: int, project_id: str | None = None) -> tuple[list[Event], int]:
    """Return the next events after ``sequence``, oldest first, and where to go on; of one project, unless None."""
    last = horizon(tx, sequence)
    statement = select(Event).where(Event.sequence > sequence, Event.sequence <= last)
    if project_id is not None:
        statement = statement.where(Event.project_id == project_id)
    found = list(tx.scalars(statement.order_by(Event.sequence).limit(CHUNK)))
    return found, found[-1].sequence if len(found) == CHUNK else max(last, sequence)


async def watch(runtime: "Runtime", project_id: str | None, after: int | None = None) -> AsyncIterator[Event]:
    """Yield events as they happen, from now on or from ``after`` on; for live pages and watch streams."""
    last = await runtime.db.read(newest) if after is None else after
    while True:
        seen = signals()
        found, last = await runtime.db.read(events_after, last, project_id)
        for event in found:
            yield event
        if len(found) < CHUNK:
            await changed(5, seen)


def ensure_cursors(tx: Tx) -> None:
    """Have every consumer that is new begin here, before the first request: what happens from now on is its own."""
    known = set(tx.scalars(select(EventCursor.consumer)))
    last = newest(tx)
    tx.add_all(EventCursor(consumer=name, sequence=last) for name in CONSUMERS if name not in known)


def follow_from_now(tx: Tx, name: str) -> None:
    """Have a consumer that is new see every event from now on, not only those after its first look."""
    if tx.get(EventCursor, name) is None:
        tx.add(EventCursor(consumer=name, sequence=newest(tx)))


@dataclass(frozen=True)
class _Chunk:
    """What comes next for a consumer, and from where to where it takes it; ``begin`` None: it is new."""

    begin: int | None
    end: int
    events: list[Event]


@functools.cache
def _chunk_of(kinds: tuple[str, ...]) -> Select[Event]:
    """Return the statement that reads the next events of some kinds."""
    there = Event.sequence > bindparam("after"), Event.sequence <= bindparam("last"), _chosen(kinds)
    return select(Event).where(*there).order_by(Event.sequence).limit(CHUNK)


def _next_chunk(tx: Tx, consumer: Consumer) -> _Chunk:
    """Read on a snapshot: a serializable transaction would lock the end of the table, where everybody writes."""
    cursor = tx.get(EventCursor, consumer.name)
    if cursor is None:
        return _Chunk(None, newest(tx), [])
    last = horizon(tx, cursor.sequence)
    events = load(tx, Event, _chunk_of(tuple(sorted(consumer.kinds))), {"after": cursor.sequence, "last": last})
    return _Chunk(cursor.sequence, events[-1].sequence if len(events) == CHUNK else last, events)


def _consume(tx: Tx, consumer: Consumer, chunk: _Chunk) -> tuple[bool, int]:
    """Handle one chunk for one consumer; return whether there may be more, and how far it has come."""
    if chunk.begin is None:
        follow_from_now(tx, consumer.name)
        return False, chunk.end
    # The cursor moves first, so that of two processes one waits here, before any handler has done its work.
    step = {"name": consumer.name, "begin": chunk.begin, "end": chunk.end}
    if tx.connection().execute(_MOVE, step).rowcount != 1:  # another process was faster
        return True, chunk.begin
    for event in chunk.events:
        consumer.handle(tx, event)
    return len(chunk.events) == CHUNK, chunk.end


def _kinds_after(tx: Tx, sequence: int) -> tuple[int, set[str]]:
    """Return up to where events are complete, and the kinds of those after ``sequence``."""
    last = horizon(tx, sequence)
    return last, set(tx.connection().execute(_KINDS, {"after": sequence, "last": last}).scalars())


def forget(tx: Tx, kind: str, consumer: str, older_than: timedelta, limit: int) -> int:
    """Remove events of a kind of which there are many, sooner than others, once their consumer is past them.

    At most ``limit``, oldest first; return how many.
    """
    cursor = tx.get(EventCursor, consumer)
    if cursor is None:
        return 0
    past = Event.kind == kind, Event.sequence <= cursor.sequence, Event.at < clock.now() - older_than
    old = list(tx.scalars(select(Event.sequence).where(*past).order_by(Event.sequence).limit(limit)))
    if old:
        tx.execute(delete(Event).where(Event.sequence.in_(old)))
    return len(old)


async def consume_forever(runtime: "Runtime") -> None:
    """Feed every durable consumer, whatever fails in between; a cursor moves in one transaction with its work, so
    that several processes may do this side by side."""
    positions: dict[str, int] = {}
    while True:
        seen = signals()
        try:
            await consume_once(runtime, positions)
        except Exception:
            log.exception("events could not be read; they are tried again in %s s", RETRY_S)
            await clock.sleep(RETRY_S)
            continue
        await changed(10, seen)
        await clock.sleep(GATHER_S)


async def consume_once(runtime: "Runtime", positions: dict[str, int] | None = None) -> None:
    """Bring every consumer up to date; a consumer that fails is logged and tried again later.

    ``positions`` remembers between calls up to where there was nothing for a consumer, so that events of no
    interest to it cost one read for all consumers and no write.
    """
    positions = {} if positions is None else positions
    known = [positions[name] for name in CONSUMERS if name in positions]
    last, kinds = await runtime.db.read(_kinds_after, min(known)) if known else (0, set())
    for consumer in CONSUMERS.values():
        if consumer.name in positions and not consumer.wants(kinds):
            positions[consumer.name] = last
            continue
        try:
            more = True
            while more:
                chunk = await runtime.db.read(_next_chunk, consumer)
                more, positions[consumer.name] = await runtime.db.write(_consume, consumer, chunk)
        except Exception:
            positions.pop(consumer.name, None)
            log.exception("event consumer %s failed; it will be tried again", consumer.name)
