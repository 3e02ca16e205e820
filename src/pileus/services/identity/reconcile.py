"""Work without input.  Rule: a revocation is forgotten only when every token it could end has ended by itself."""

from datetime import timedelta

from pileus.kernel import clock
from pileus.kernel.reconcile import World, reconciler
from pileus.services.identity.model import LONGEST_LIFETIME_S
from pileus.services.identity.store import credentials, tokens


@reconciler("identity.revocations", every_s=3600)
async def forget_revocations(world: World) -> None:
    """Remove the revocations that no token can meet any more."""
    await world.db.write(tokens.delete_revocations_before, clock.now() - timedelta(seconds=2 * LONGEST_LIFETIME_S))


@reconciler("identity.passcodes", every_s=3600)
async def forget_passcodes(world: World) -> None:
    """Remove what is known of the passcodes of credentials that are gone."""
    await world.db.write(credentials.forget_spent)
