"""OAuth 2.0 client credentials (RFC 6749, RFC 8705): programs get tokens as other clouds hand them out.

Rule: the client is an application credential with its secret, or a user with a client certificate whose names the
mapping ``oauth2_mapping`` finds to be the user's; a token got by a certificate works with that certificate only.
"""

import logging

from pileus.kernel import clock
from pileus.kernel.db import Tx
from pileus.kernel.errors import ApiError, Invalid, Unauthenticated
from pileus.kernel.runtime import Runtime
from pileus.services.identity.app.authentication import Auth, issue_token
from pileus.services.identity.app.certificates import Certificate
from pileus.services.identity.app.federation import mapping
from pileus.services.identity.app.issuing import issue
from pileus.services.identity.app.methods.proof import Attempt
from pileus.services.identity.app.scope import Chosen
from pileus.services.identity.model import IdentitySettings, Project, User
from pileus.services.identity.store import federation, projects, users

log = logging.getLogger(__name__)

METHOD = "oauth2_credential"
GRANT = "client_credentials"


class OAuth2Error(ApiError):
    """A refusal in the words of RFC 6749: ``kind`` is its code."""


def refused(why: str) -> OAuth2Error:
    """Return the one refusal of all clients; the log says why."""
    log.info("an OAuth 2.0 client was refused: %s", why)
    return OAuth2Error("Client authentication failed.", kind="invalid_client", status=401)


async def by_secret(attempt: Attempt, client_id: str, secret: str) -> tuple[str, int]:
    """Return a token for an application credential, and for how many seconds it is good."""
    given = {"methods": ["application_credential"], "application_credential": {"id": client_id, "secret": secret}}
    try:
        text, _ = await issue_token(attempt, Auth(given), with_catalog=False)
    except Unauthenticated as error:
        raise refused(error.message) from None
    except Invalid as error:
        raise OAuth2Error(error.message, kind="invalid_request", status=400) from None
    return text, attempt.runtime.config.get(IdentitySettings).token_lifetime_s


def by_certificate(tx: Tx, runtime: Runtime, client_id: str, certificate: Certificate) -> tuple[str, int]:
    """Return a token for a user's default project, bound to its certificate."""
    settings = runtime.config.get(IdentitySettings)
    user = users.get_user(tx, client_id)
    domain = projects.get_domain(tx, user.domain_id) if user else None
    if user is None or domain is None:
        raise refused(f"there is no user {client_id[:64]!r}")
    if user.default_project_id is None:
        raise refused(f"user {user.id} has no default project")
    row = federation.get_mapping(tx, settings.oauth2_mapping)
    if row is None:
        raise refused(f"there is no mapping {settings.oauth2_mapping!r}, which says whose certificates are whose")
    try:
        mapped = mapping.apply(row.rules, row.schema_version, certificate.names())
    except (Invalid, Unauthenticated) as error:
        raise refused(error.message) from None
    _check(user, domain, mapped)
    chosen = Chosen("p", user.default_project_id, user.id, thumbprint=certificate.thumbprint)
    try:
        text, token = issue(tx, runtime, chosen, (METHOD,))
    except Unauthenticated:
        raise refused(f"user {user.id} is disabled or has no role on its default project") from None
    return text, int((token.payload.expires_at - clock.now()).total_seconds() + 0.5)


def _check(user: User, domain: Project, mapped: mapping.Mapped) -> None:
    """Raise unless the user is the one that the mapping makes of the certificate."""
    said, place = mapped.user, mapped.user_domain
    if said is None or not (said.id or said.name):
        raise refused("the mapping makes no user of the certificate")
    pairs = [
        (said.id, user.id),
        (said.name, user.name),
        (said.email, user.extra.get("email")),
        (place.id if place else None, domain.id),
        (place.name if place else None, domain.name),
    ]
    for wanted, there in pairs:
        if wanted and wanted != there:
            raise refused(f"the certificate is of {wanted!r}, the user has {there!r}")
