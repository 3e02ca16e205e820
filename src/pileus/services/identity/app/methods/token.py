"""A token makes another, for another scope.  Rule: the new one ends no later, and remembers where it came from."""

import msgspec

from pileus.kernel.db import Tx
from pileus.kernel.errors import Forbidden, NotFound, Unauthenticated
from pileus.services.identity.app.delegation import is_delegated
from pileus.services.identity.app.fernet import Payload
from pileus.services.identity.app.methods.proof import Attempt, Proof
from pileus.services.identity.app.validation import Tokens


class TokenMethod(msgspec.Struct):
    """``auth.identity.token``."""

    id: str


def prove(tx: Tx, attempt: Attempt, given: TokenMethod) -> Proof:
    """Return whose token it is; raise NotFound, as upstream does here, for one that is not good (any more)."""
    try:
        payload: Payload = attempt.runtime.part(Tokens).caller(tx, given.id).token.payload
    except Unauthenticated:
        raise NotFound(
            "Could not find the token in auth.identity.token: it has ended, was revoked or is none."
        ) from None
    if is_delegated(payload.methods):
        raise Forbidden("A delegated token (application credential, EC2, OAuth) makes no other tokens.")
    return Proof(user_id=payload.user_id, parent=payload, credential_id=payload.application_credential_id)
