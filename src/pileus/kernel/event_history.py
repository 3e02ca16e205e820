"""How long events are remembered.  Rule: it does not matter whether anybody has read them."""

from datetime import timedelta

from sqlalchemy import delete, select

from pileus.kernel import clock
from pileus.kernel.db import Tx
from pileus.kernel.events import Event
from pileus.kernel.history import HistorySettings
from pileus.kernel.reconcile import World, reconciler


def forget(tx: Tx, kept: HistorySettings, limit: int) -> int:
    """Delete events that are old enough, at most ``limit``; return how many there were.

    They are numbered as they come, so the old ones are the first: no index on their moments is needed.
    """
    first = select(Event.sequence, Event.at).order_by(Event.sequence).limit(limit)
    oldest = clock.now() - timedelta(days=kept.events_days)
    old = [sequence for sequence, at in tx.execute(first) if at < oldest]
    if old:
        tx.execute(delete(Event).where(Event.sequence.in_(old)))
    return len(old)


@reconciler("kernel.event_history", every_s=3600)
async def prune_events(world: World) -> None:
    """Forget old events."""
    await world.forget(forget, world.settings(HistorySettings))
