"""A request signed with an access token of OAuth 1.  Rule: its scope is the access token's, whatever is asked."""

from typing import Any

import msgspec

from pileus.kernel.db import Tx
from pileus.services.identity.app import oauth1, oauth1_signatures
from pileus.services.identity.app.methods.proof import Attempt, Proof
from pileus.services.identity.app.scope import Chosen
from pileus.services.identity.model import IdentitySettings
from pileus.services.identity.store import oauth1 as rows


class OAuth1Method(msgspec.Struct):
    """``auth.identity.oauth1``: nothing, the header Authorization says it all."""


def prove(tx: Tx, attempt: Attempt, given: Any) -> Proof:
    """Return whom the consumer acts for."""
    signed = oauth1_signatures.read(attempt.request, attempt.ctx.base_url)
    signed.require("oauth_token")
    row = rows.get_access_token(tx, signed.token_id)
    if not oauth1.secrets_fit(tx, attempt.runtime, signed, row) or row is None:
        return Proof()
    oauth1.living(tx, row.id)
    lifetime_s = attempt.runtime.config.get(IdentitySettings).signature_lifetime_s
    return Proof(
        user_id=row.authorizing_user_id,
        spend=lambda tx: oauth1_signatures.spend(tx, signed, lifetime_s),
        chosen=Chosen("p", row.project_id, row.authorizing_user_id, access_token_id=row.id),
    )
