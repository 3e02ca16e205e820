"""A token makes another, for another scope.  Rule: the new one ends no later, and remembers where it came from."""

import msgspec

from pileus.kernel.db import Tx
from pileus.services.identity.app.methods.proof import Attempt, Proof
from pileus.services.identity.app.validation import Tokens


class TokenMethod(msgspec.Struct):
    """``auth.identity.token``."""

    id: str


def prove(tx: Tx, attempt: Attempt, given: TokenMethod) -> Proof:
    """Return whose token it is; raise Unauthenticated for one that is not good (any more)."""
    payload = attempt.runtime.part(Tokens).caller(tx, given.id).token.payload
    return Proof(user_id=payload.user_id, parent=payload, credential_id=payload.application_credential_id)
