"""Work without input.  Rule: a revocation is forgotten only when every token it could end has ended by itself."""

from datetime import datetime, timedelta

from pileus.kernel import clock, events
from pileus.kernel.db import Tx
from pileus.kernel.reconcile import World, reconciler
from pileus.services.identity.model import LONGEST_LIFETIME_S
from pileus.services.identity.model.audit import ATTEMPTS_KEPT, AUTHENTICATE, CONSUMER, REFUSED
from pileus.services.identity.store import credentials, federation, oauth1, tokens


@reconciler("identity.revocations", every_s=3600)
async def forget_revocations(world: World) -> None:
    """Remove the revocations that no token can meet any more."""
    await world.db.write(tokens.delete_revocations_before, clock.now() - timedelta(seconds=2 * LONGEST_LIFETIME_S))


@reconciler("identity.passcodes", every_s=3600)
async def forget_passcodes(world: World) -> None:
    """Remove what is known of the passcodes of credentials that are gone."""
    await world.db.write(credentials.forget_spent)


@reconciler("identity.memberships", every_s=30)
async def end_memberships(world: World) -> None:
    """Let tokens be looked up again once a membership that an identity provider gave has ended."""
    now = clock.now()
    if await world.db.read(federation.any_expired, now):
        await world.db.write(_end_memberships, now)


def _end_memberships(tx: Tx, now: datetime) -> None:
    if federation.delete_expired_memberships(tx, now):
        tokens.move_revision(tx)


@reconciler("identity.oauth1", every_s=3600)
async def forget_oauth1(world: World) -> None:
    """Remove the tokens of OAuth 1 that have expired, and the nonces of signatures too old to count."""
    await world.db.write(oauth1.forget_past, clock.now())


@reconciler("identity.attempts", every_s=600)
async def forget_attempts(world: World) -> None:
    """Remove the events of log-ins, of which there may be thousands a minute, once they are in the audit."""
    for kind in (AUTHENTICATE, REFUSED):
        await world.forget(events.forget, kind, CONSUMER, ATTEMPTS_KEPT)
