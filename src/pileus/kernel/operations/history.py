"""How long ended operations are remembered.  Rule: live ones are never touched."""

from datetime import timedelta

from sqlalchemy import delete, select

from pileus.kernel import clock
from pileus.kernel.db import Tx
from pileus.kernel.history import HistorySettings
from pileus.kernel.operations.model import OperationRow, StepRow
from pileus.kernel.reconcile import World, reconciler


def forget(tx: Tx, kept: HistorySettings, limit: int) -> int:
    """Delete ended operations that are old enough, with their steps; return how many there were, at most ``limit``."""
    now = clock.now()
    old = [
        id
        for state, days in (("succeeded", kept.operations_days), ("failed", kept.failed_operations_days))
        for id in tx.scalars(
            select(OperationRow.id)
            .where(OperationRow.state == state, OperationRow.finished_at < now - timedelta(days=days))
            .order_by(OperationRow.finished_at)
            .limit(limit)
        )
    ][:limit]
    if old:
        tx.execute(delete(StepRow).where(StepRow.operation_id.in_(old)))
        tx.execute(delete(OperationRow).where(OperationRow.id.in_(old)))
    return len(old)


@reconciler("kernel.operation_history", every_s=3600)
async def prune_history(world: World) -> None:
    """Forget old operations."""
    await world.forget(forget, world.settings(HistorySettings))
