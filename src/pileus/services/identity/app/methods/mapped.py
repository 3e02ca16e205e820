"""A token of somebody whom an identity provider vouched for, as old clients show it.

Rule: what a provider says itself is taken at the address of its protocol only, where it can be checked.
"""

import msgspec

from pileus.kernel.db import Tx
from pileus.kernel.errors import Unauthenticated
from pileus.services.identity.app.methods import token
from pileus.services.identity.app.methods.proof import Attempt, Proof
from pileus.services.identity.app.methods.token import TokenMethod


class MappedMethod(msgspec.Struct):
    """``auth.identity.mapped``."""

    id: str | None = None
    identity_provider: str | None = None
    protocol: str | None = None


def prove(tx: Tx, attempt: Attempt, given: MappedMethod) -> Proof:
    """Return whose token it is; raise Unauthenticated for one that is not good, or for no token at all."""
    if given.id is None:
        raise Unauthenticated(
            "The method mapped takes the id of a token that a federated log-in gave. The log-in itself is at "
            "/v3/OS-FEDERATION/identity_providers/{id}/protocols/{id}/auth."
        )
    return token.prove(tx, attempt, TokenMethod(given.id))
