"""A user whom the web server in front has recognised (Kerberos and the like), named in a header.

Rule: off unless ``external_user_header`` is set; it counts only from a trusted proxy, which must set or remove the
header on every request.
"""

from typing import Any

import msgspec

from pileus.kernel.db import Tx
from pileus.kernel.errors import Unauthenticated
from pileus.services.identity.app.methods.proof import Attempt, Proof
from pileus.services.identity.app.scope import DomainReference, find_domain
from pileus.services.identity.model import DEFAULT_DOMAIN, IdentitySettings
from pileus.services.identity.store import users


class ExternalMethod(msgspec.Struct):
    """``auth.identity.external``: nothing, the header says it all."""


def prove(tx: Tx, attempt: Attempt, given: Any) -> Proof:
    """Return who the web server says it is; raise Unauthenticated when nobody may say so here."""
    settings, request = attempt.runtime.config.get(IdentitySettings), attempt.request
    if settings.external_user_header is None:
        raise Unauthenticated("Attempted to authenticate with an unsupported method: external.")
    if not request.through_proxy:
        return Proof()
    name = request.headers.get(settings.external_user_header.lower(), "")
    domain_name = request.headers.get((settings.external_domain_header or "").lower(), "")
    wanted = DomainReference(name=domain_name) if domain_name else DomainReference(id=DEFAULT_DOMAIN)
    domain = find_domain(tx, wanted)
    user = users.find_user(tx, name, domain.id) if name and domain is not None else None
    return Proof(user_id=user.id if user is not None else None)
