"""Trusts: a user lets another act with some of its roles, for a time or a number of uses.

Rule: a trust grants nothing its trustor does not have at the moment of use.
"""

from pileus.kernel import clock
from pileus.kernel.db import Tx
from pileus.kernel.errors import Forbidden, Unauthenticated
from pileus.services.identity.app import roles
from pileus.services.identity.app.fernet import REFUSAL
from pileus.services.identity.model import Trust, User
from pileus.services.identity.store import projects, users
from pileus.services.identity.store import trusts as trust_rows


def use(tx: Tx, user: User, id: str) -> Trust:
    """Return the trust its trustee logs in with, one use fewer; raise Forbidden for anybody else's."""
    trust = trust_rows.get_trust(tx, id)
    if trust is None or trust.trustee_user_id != user.id:
        raise Forbidden("There is no such trust for this user.")
    living(tx, id)
    if not set(trust.role_ids) <= _held(tx, trust):
        raise Forbidden("The trustor has lost a role of this trust: ask for a new one.")
    if trust.remaining_uses is not None and not trust_rows.take_use(tx, id):
        raise Forbidden("This trust has no uses left: ask for a new one.")
    return trust


def living(tx: Tx, id: str) -> Trust:
    """Return a trust that is not over; raise Unauthenticated when it or either of its people is gone or disabled."""
    trust = trust_rows.get_trust(tx, id)
    if trust is None or (trust.expires_at is not None and trust.expires_at <= clock.now()):
        raise Unauthenticated(REFUSAL)
    people = users.users_by_id(tx, {trust.trustor_user_id, trust.trustee_user_id})
    domains = projects.projects_by_id(tx, {row.domain_id for row in people.values()})
    wanted = {trust.trustor_user_id, trust.trustee_user_id}
    if people.keys() != wanted or not all(row.enabled for row in (*people.values(), *domains.values())):
        raise Unauthenticated(REFUSAL)
    return trust


def granted(tx: Tx, trust: Trust) -> set[str]:
    """Return the ids of the roles a trust grants now: none once its trustor has lost one of them."""
    wanted = set(trust.role_ids)
    return wanted if wanted <= _held(tx, trust) else set()


def _held(tx: Tx, trust: Trust) -> set[str]:
    return roles.held_on_project(tx, trust.trustor_user_id, trust.project_id)
