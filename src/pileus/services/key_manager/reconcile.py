"""What is looked after all the time: contents move from retired keys to those in use.

Rule: what is left to do stands in the rows, so that whoever is interrupted goes on where the last one ended.
"""

from pileus.kernel.reconcile import World, reconciler
from pileus.services.key_manager.store import keys


@reconciler("key_manager.keys", every_s=3600)
async def settle_keys(world: World) -> None:
    """Seal anew what retired keys and master keys sealed."""
    await world.forget(keys.reseal_some)
    await world.forget(keys.forget_keys)
    after: str | None = ""
    while after is not None:
        after = await world.db.write(keys.reseal_keys, after)
