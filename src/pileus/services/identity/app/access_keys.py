"""Tokens for requests signed with an EC2 access key, asked for by the services that received them.

Rule: a signature counts for a while only; what it earns is bounded by whatever its credential was made from.
"""

import hmac
from collections.abc import Callable
from datetime import UTC, datetime

from pileus.kernel import clock
from pileus.kernel.db import Tx
from pileus.kernel.errors import Invalid, NotFound, Unauthenticated
from pileus.kernel.runtime import Runtime
from pileus.services.identity.app import secrets, signatures, trusts
from pileus.services.identity.app.issuing import issue
from pileus.services.identity.app.scope import Chosen
from pileus.services.identity.app.signatures import SignedRequest, Unsigned
from pileus.services.identity.app.validation import Token
from pileus.services.identity.model import Credential, IdentitySettings
from pileus.services.identity.store import application_credentials, credentials

METHOD = "ec2credential"
"""Marks the tokens made here: Identity itself takes none of them."""


def by_request(tx: Tx, runtime: Runtime, request: SignedRequest) -> tuple[str, Token]:
    """Return a token for a signed EC2 request; some clients sign the host without its port."""
    hosts = dict.fromkeys((request.host, request.host.rpartition(":")[0] or request.host))
    return _by(tx, runtime, request, [lambda s, h=host: signatures.of_request(request, s, h) for host in hosts])


def by_text(tx: Tx, runtime: Runtime, request: SignedRequest) -> tuple[str, Token]:
    """Return a token for a signed S3 request, of which only the text that was signed is known."""
    if request.token is None:
        raise Invalid("credentials.token, the base64 of the text that was signed, is missing.")
    text = request.token
    return _by(tx, runtime, request, [lambda secret: signatures.of_text(text, secret)])


def _by(tx: Tx, runtime: Runtime, request: SignedRequest, expected: list[Callable[[str], str]]) -> tuple[str, Token]:
    row = credentials.get_credential(tx, secrets.id_of_access(request.access))
    if row is None or row.type != secrets.EC2:
        raise NotFound("EC2 access key not found.")
    parts = secrets.ec2_parts(secrets.blob_of(runtime, row))
    given = (request.signature or "").encode("utf-8", "surrogatepass")
    try:
        good = any(hmac.compare_digest(sign(parts["secret"]).encode(), given) for sign in expected)
        _check_time(request, runtime.config.get(IdentitySettings).signature_lifetime_s)
    except Unsigned as error:
        raise Unauthenticated(f"Invalid EC2 signature: {error}.") from None
    if not good:
        raise Unauthenticated("Invalid EC2 signature.")
    return issue(tx, runtime, _chosen(tx, row, parts), (METHOD,))


def _check_time(request: SignedRequest, lifetime_s: int) -> None:
    """Raise Unsigned unless the request was signed just now; one that says no time was meant to last."""
    headers = {name.lower(): value for name, value in request.headers.items()}
    params = request.params
    now = clock.now()
    stamp = params.get("Timestamp") or headers.get("x-amz-date") or params.get("X-Amz-Date")
    if stamp and abs((now - _moment(stamp)).total_seconds()) > lifetime_s:
        raise Unsigned(f"it was signed more than {lifetime_s} s ago, or in the future")
    if (until := params.get("Expires")) and now > _moment(until):
        raise Unsigned("it has expired")


def _moment(text: object) -> datetime:
    try:
        moment = datetime.fromisoformat(str(text))
    except ValueError:
        raise Unsigned("its time cannot be read") from None
    return moment.replace(tzinfo=UTC) if moment.tzinfo is None else moment


def _chosen(tx: Tx, row: Credential, parts: dict[str, object]) -> Chosen:
    """Return the scope of a credential; raise Unauthenticated when what it was made from is not its owner's."""
    project_id = row.project_id or ""
    trust_id, application_credential_id = parts.get("trust_id"), parts.get("app_cred_id")
    if isinstance(trust_id, str):
        trust = trusts.living(tx, trust_id)
        user_id = trust.trustor_user_id if trust.impersonation else trust.trustee_user_id
        if row.user_id not in (user_id, trust.trustee_user_id) or trust.project_id != project_id:
            raise Unauthenticated("The EC2 credential does not fit the trust it names.")
        return Chosen("p", project_id, user_id, trust_id=trust_id)
    if isinstance(application_credential_id, str):
        made_from = application_credentials.get_application_credential(tx, application_credential_id)
        if made_from is None or (made_from.user_id, made_from.project_id) != (row.user_id, project_id):
            raise Unauthenticated("The EC2 credential does not fit the application credential it names.")
        return Chosen("p", project_id, row.user_id, application_credential_id=application_credential_id)
    return Chosen("p", project_id, row.user_id)
