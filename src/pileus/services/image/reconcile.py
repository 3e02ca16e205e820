"""Work without input.  Rule: a task that has ended is forgotten two days later, as upstream does."""

from pileus.kernel import clock
from pileus.kernel.reconcile import World, reconciler
from pileus.services.image import store
from pileus.services.image.model import TASKS_KEPT


@reconciler("image.tasks", every_s=3600)
async def forget_tasks(world: World) -> None:
    """Remove imports that ended long enough ago."""
    await world.forget(store.forget_tasks, clock.now() - TASKS_KEPT)
