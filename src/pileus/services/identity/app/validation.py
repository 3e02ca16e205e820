"""From the text of a token to who it stands for.

Rule: what is remembered of a token is used only while the revision in the database is the one it was learned at,
so that a revocation counts at once on every node; otherwise everything is looked up again.
"""

import dataclasses
import logging
from dataclasses import dataclass
from datetime import datetime

from pileus.kernel import clock
from pileus.kernel.config import ConfigError
from pileus.kernel.context import ANONYMOUS, Caller
from pileus.kernel.db import Tx
from pileus.kernel.errors import Forbidden, Unauthenticated
from pileus.kernel.rest import Request
from pileus.kernel.runtime import Runtime
from pileus.services.identity.app import access, certificates, compliance, federated, oauth1, roles, trusts
from pileus.services.identity.app.access import Allowed
from pileus.services.identity.app.compliance import Rules
from pileus.services.identity.app.fernet import REFUSAL, Payload, TokenKeys, microseconds
from pileus.services.identity.app.jws import JwsKeys
from pileus.services.identity.app.memory import NEVER, Memory
from pileus.services.identity.model import LONGEST_LIFETIME_S, NO_DOMAIN, ApplicationCredential, IdentitySettings, Trust
from pileus.services.identity.model.oauth1 import AccessToken
from pileus.services.identity.store import application_credentials, facts, projects
from pileus.services.identity.store import roles as role_rows
from pileus.services.identity.store.facts import ProjectFacts

log = logging.getLogger(__name__)

ROTATION_CHECK_S = 3600


@dataclass(frozen=True, slots=True)
class Named:
    """What a token shows of a user, a project, a domain or a role; rows belong to one transaction, this does not."""

    id: str
    name: str
    domain_id: str = ""
    is_domain: bool = False


@dataclass(frozen=True, slots=True)
class Trusted:
    """The trust a token was made by."""

    id: str
    trustor_user_id: str
    trustee_user_id: str
    impersonation: bool


@dataclass(frozen=True, slots=True)
class Token:
    """What a good token proves, with the names that its document shows."""

    payload: Payload
    user: Named
    password_expires_at: datetime | None
    user_domain: Named
    project: Named | None
    domain: Named | None
    """Of a project's token the project's own, of a domain's token the one it is for."""
    roles: tuple[Named, ...]
    application_credential: Named | None
    restricted: bool
    """It came of an application credential that may make no other."""
    access_rules: tuple[Allowed, ...] | None
    trust: Trusted | None = None
    federated_groups: tuple[str, ...] | None = None
    """The groups that an identity provider put its user into."""
    consumer_id: str | None = None
    """Of the OAuth 1 access token it was made by."""
    made_until_us: int = NEVER
    """When what it was made by ends."""

    @property
    def until_us(self) -> int:
        """Return when it ends, or what it was made by does."""
        return min(self.payload.expires_us, self.made_until_us)


class RoleBook:
    """The global roles and what all roles imply, as of one revision."""

    def __init__(self, tx: Tx) -> None:
        rows = role_rows.all_roles(tx)
        self._named = {id: Named(id, row.name) for id, row in rows.items() if row.domain_id == NO_DOMAIN}
        self._implied = role_rows.implications(tx)

    def expanded(self, ids: set[str]) -> tuple[Named, ...]:
        """Return the roles that these stand for, by name; a domain's own role counts by what it implies."""
        found = (self._named[id] for id in roles.expand(ids, self._implied) if id in self._named)
        return tuple(sorted(found, key=lambda role: role.name))


class Tokens:
    """What this process remembers of tokens."""

    def __init__(self, runtime: Runtime) -> None:
        settings = runtime.config.get(IdentitySettings)
        self.keys = TokenKeys(runtime)
        self.signs = settings.token_provider == "jws"
        self.jws = JwsKeys(runtime) if self.signs or JwsKeys.are_in(runtime.config.state) else None
        """Also where tokens are sealed now but were signed before: they live on."""
        if not 0 < settings.token_lifetime_s + settings.allow_expired_window_s <= LONGEST_LIFETIME_S:
            raise ConfigError(
                f"table [identity]: token_lifetime_s and allow_expired_window_s together may be {LONGEST_LIFETIME_S} "
                "seconds at most"
            )
        self._rules = runtime.part(Rules)
        self.lifetime_s = settings.token_lifetime_s
        self._rotation_s = settings.key_rotation_s
        self.window_us = settings.allow_expired_window_s * 1_000_000
        self.memory = runtime.part(Memory)

    def caller(self, tx: Tx, text: str, *, allow_expired: bool = False) -> Caller:
        """Return who a token stands for; raise Unauthenticated when it is not good (any more)."""

        def learn() -> Caller:
            payload = self.open(text)
            if microseconds(clock.now()) >= payload.expires_us + (self.window_us if allow_expired else 0):
                raise Unauthenticated(REFUSAL)
            return caller_of(self.look_up(tx, payload))

        return self.memory.recall(tx, text, learn, lambda caller: caller.token.until_us)

    def seal(self, payload: Payload) -> str:
        """Return a token's text, by the provider that is configured."""
        return self.jws.seal(payload) if self.jws is not None and self.signs else self.keys.seal(payload)

    def open(self, text: str) -> Payload:
        """Return what a token says, whichever provider made it; raise Unauthenticated for what none of ours did."""
        if text.count(".") == 2:
            if self.jws is None:
                raise Unauthenticated(REFUSAL)
            return self.jws.open(text)
        return self.keys.open(text)

    async def rotate_keys_forever(self) -> None:
        """Let a new key sign whenever the present one has signed for long enough."""
        while True:
            for keys in (self.keys, self.jws):
                if keys is not None and keys.rotate(self._rotation_s):
                    log.info("keys rotated: %s", keys.folder)
            await clock.sleep(min(ROTATION_CHECK_S, self._rotation_s))

    def look_up(self, tx: Tx, payload: Payload) -> Token:
        """Return what a payload proves now; raise Unauthenticated when anything it rests on is gone or disabled."""
        token = self.standing(tx, payload)
        if is_revoked(tx, token):
            raise Unauthenticated(REFUSAL)
        return token

    def standing(self, tx: Tx, payload: Payload) -> Token:
        """Return what a payload proves, revocations left aside: the same for all tokens of a user for one scope."""
        compliance.check_active(tx, self._rules, payload.user_id)
        made_by = payload.application_credential_id, payload.trust_id, payload.access_token_id, payload.whence
        key = "standing", payload.user_id, payload.scope, payload.scope_id, *made_by

        def learn() -> Token:
            return look_up(tx, payload, self.memory.recall(tx, "roles", lambda: RoleBook(tx)))

        token = self.memory.recall(tx, key, learn, lambda token: token.made_until_us)
        return token if token.payload is payload else dataclasses.replace(token, payload=payload)


def authenticate(tx: Tx, request: Request, runtime: Runtime) -> Caller:
    """Return who the request's token stands for; raise Unauthenticated for a bad one.

    Object Store clients of old send X-Storage-Token, those of OAuth 2.0 a bearer token.
    """
    text = request.headers.get("x-auth-token") or request.headers.get("x-storage-token") or _bearer(request)
    if not text:
        return ANONYMOUS
    caller = runtime.part(Tokens).caller(tx, text)
    token: Token = caller.token
    if "ec2credential" in token.payload.methods and request.path.startswith("/identity"):
        raise Forbidden("A token of an EC2 or S3 credential is not for Identity itself: log in as the user.")
    if token.payload.thumbprint is not None:
        _require_certificate(request, runtime, token.payload.thumbprint)
    if token.access_rules is not None:
        access.check(token.access_rules, request, runtime)
    return caller


def _bearer(request: Request) -> str | None:
    scheme, _, text = request.headers.get("authorization", "").partition(" ")
    return text.strip() if scheme.lower() == "bearer" else None


def _require_certificate(request: Request, runtime: Runtime, thumbprint: str) -> None:
    """Raise Unauthenticated unless the request came with the client certificate that its token is bound to."""
    shown = certificates.presented(request, runtime.config.get(IdentitySettings).client_certificate_header)
    if shown is None or shown.thumbprint != thumbprint:
        raise Unauthenticated(REFUSAL)


def look_up(tx: Tx, payload: Payload, book: RoleBook) -> Token:
    """Return what a payload proves now; raise Unauthenticated when anything it rests on is gone or disabled."""
    user = facts.user_facts(tx, payload.user_id)
    if user is None or not user.enabled or not user.domain_enabled:
        raise Unauthenticated(REFUSAL)
    project = facts.project_facts(tx, payload.scope_id) if payload.scope == "p" else None
    if payload.scope == "p" and (project is None or not project.enabled or not project.domain_enabled):
        raise Unauthenticated(REFUSAL)
    domain = Named(project.domain_id, project.domain_name) if project is not None else _domain(tx, payload)
    groups = federated.groups(tx, payload.user_id, payload.whence) if payload.whence is not None else None
    trust = trusts.living(tx, payload.trust_id) if payload.trust_id is not None else None
    access_token = oauth1.living(tx, payload.access_token_id) if payload.access_token_id is not None else None
    credential, rules = _application_credential(tx, payload)
    granted = book.expanded(_roles(tx, payload, project, credential, trust, access_token))
    if payload.scope and not granted:
        raise Unauthenticated(REFUSAL)
    return Token(
        payload,
        Named(user.id, user.name, user.domain_id),
        user.password_expires_at,
        Named(user.domain_id, user.domain_name),
        Named(project.id, project.name, project.domain_id, project.is_domain) if project else None,
        domain,
        granted,
        Named(credential.id, credential.name) if credential else None,
        credential is not None and not credential.unrestricted,
        rules,
        Trusted(trust.id, trust.trustor_user_id, trust.trustee_user_id, trust.impersonation) if trust else None,
        groups,
        access_token.consumer_id if access_token else None,
        _until(credential, trust, access_token),
    )


def is_revoked(tx: Tx, token: Token) -> bool:
    """Tell whether a token was ended before its time."""
    payload, trust = token.payload, token.trust
    return facts.is_revoked(
        tx,
        audit_id=payload.audit_ids[0],
        audit_chain_id=payload.audit_ids[-1],
        user_ids={token.user.id} | ({trust.trustor_user_id, trust.trustee_user_id} if trust else set()),
        project_id=payload.project_id,
        domain_ids={token.user_domain.id} | ({token.domain.id} if token.domain else set()),
        issued_at=payload.issued_at,
    )


def _until(*made_by: ApplicationCredential | Trust | AccessToken | None) -> int:
    """Return when the first ends of what a token was made by."""
    ends = [microseconds(row.expires_at) for row in made_by if row is not None and row.expires_at is not None]
    return min(ends, default=NEVER)


def _domain(tx: Tx, payload: Payload) -> Named | None:
    """Return the domain a token is for, if it is for one."""
    if payload.domain_id is None:
        return None
    row = projects.get_domain(tx, payload.domain_id)
    if row is None or not row.enabled:
        raise Unauthenticated(REFUSAL)
    return Named(row.id, row.name)


def _application_credential(
    tx: Tx, payload: Payload
) -> tuple[ApplicationCredential | None, tuple[Allowed, ...] | None]:
    if payload.application_credential_id is None:
        return None, None
    row = application_credentials.get_application_credential(tx, payload.application_credential_id)
    if row is None or (row.expires_at is not None and row.expires_at <= clock.now()):
        raise Unauthenticated(REFUSAL)
    if row.access_rule_ids is None:
        return row, None
    rules = application_credentials.access_rules_by_id(tx, row.access_rule_ids).values()
    return row, tuple(Allowed(rule.id, rule.service, rule.path, rule.method) for rule in rules)


def _roles(
    tx: Tx,
    payload: Payload,
    project: ProjectFacts | None,
    credential: ApplicationCredential | None,
    trust: Trust | None,
    access_token: AccessToken | None,
) -> set[str]:
    if trust is not None:
        return trusts.granted(tx, trust)
    if access_token is not None:
        return oauth1.granted(tx, access_token)
    if project is not None:
        given = roles.on_project(tx, payload.user_id, project)
        if credential is not None:
            held = {role.id for role in roles.with_implied(tx, given)} | given
            given = held.intersection(credential.role_ids)
        return given
    if payload.scope == "d":
        return roles.on_domain(tx, payload.user_id, payload.scope_id)
    return roles.on_system(tx, payload.user_id) if payload.scope == "s" else set()


def caller_of(token: Token) -> Caller:
    """Return a token's facts in the kernel's form."""
    project, payload = token.project, token.payload
    return Caller(
        user_id=token.user.id,
        user_name=token.user.name,
        user_domain_id=token.user.domain_id,
        project_id=project.id if project else None,
        project_name=project.name if project else None,
        project_domain_id=project.domain_id if project else None,
        domain_id=payload.domain_id,
        system=payload.scope == "s",
        roles=frozenset(role.name for role in token.roles),
        expires_at=payload.expires_at,
        token=token,
    )
