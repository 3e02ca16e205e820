"""How long deleted servers are remembered.  Rule: nobody asks for one of them any more, and nothing of it is left."""

from datetime import datetime, timedelta

from sqlalchemy import delete, select

from pileus.kernel import clock
from pileus.kernel.db import Tx
from pileus.kernel.reconcile import World, reconciler
from pileus.kernel.runtime import runtime_of
from pileus.services.compute.model import Migration, Server
from pileus.services.compute.settings import ComputeSettings


def forget(tx: Tx, before: datetime, limit: int) -> int:
    """Remove servers deleted before a moment, with their migrations, at most ``limit``; return how many."""
    # What was deleted long ago was changed long ago; that there is an index for.
    old = list(tx.scalars(select(Server.id).where(Server.updated_at < before, Server.deleted_at < before).limit(limit)))
    if old:
        tx.execute(delete(Migration).where(Migration.server_id.in_(old)))
        tx.execute(delete(Server).where(Server.id.in_(old)))
    return len(old)


@reconciler("compute.history", every_s=3600)
async def prune_servers(world: World) -> None:
    """Forget servers that were deleted long ago."""
    days = runtime_of(world.db).config.get(ComputeSettings).keep_deleted_days
    if days <= 0:
        return
    await world.forget(forget, clock.now() - timedelta(days=days))
