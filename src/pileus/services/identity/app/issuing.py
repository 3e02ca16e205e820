"""The token itself, once it is known who it is for and for what.

Rule: a token that comes of another ends no later than that one, and carries its audit id.
"""

from datetime import timedelta

from pileus.kernel import clock
from pileus.kernel.db import Tx
from pileus.kernel.runtime import Runtime
from pileus.services.identity.app.fernet import Payload, microseconds, new_audit_id
from pileus.services.identity.app.scope import Chosen
from pileus.services.identity.app.validation import Token, Tokens


def issue(
    tx: Tx,
    runtime: Runtime,
    chosen: Chosen,
    methods: tuple[str, ...],
    parent: Payload | None = None,
    *,
    whence: tuple[str, str] | None = None,
) -> tuple[str, Token]:
    """Return the text of a new token and what it proves; raise Unauthenticated when that would be nothing."""
    now, issuer = clock.now(), runtime.part(Tokens)
    expires_us = microseconds(now + timedelta(seconds=issuer.lifetime_s))
    audit_ids: tuple[str, ...] = (new_audit_id(),)
    if parent is not None:
        expires_us = min(expires_us, parent.expires_us)
        methods = tuple(dict.fromkeys((*methods, *parent.methods)))
        audit_ids = (*audit_ids, parent.audit_ids[-1])
        whence = parent.whence
    payload = Payload(
        1,
        chosen.user_id,
        methods,
        chosen.kind,
        chosen.id,
        microseconds(now),
        expires_us,
        audit_ids,
        application_credential_id=chosen.application_credential_id,
        trust_id=chosen.trust_id,
        access_token_id=chosen.access_token_id,
        thumbprint=chosen.thumbprint,
        whence=whence,
    )
    # Nothing can have ended a token that rests on no other.
    token = issuer.look_up(tx, payload) if parent is not None else issuer.standing(tx, payload)
    return issuer.seal(payload), token
