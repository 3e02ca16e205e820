"""Making tokens: what a client proves, what it asks for, what it gets.

Rule: until an identity is proven every refusal is the same sentence; after that it says what is missing.
"""

from dataclasses import dataclass
from datetime import timedelta
from typing import Any

import msgspec
from msgspec import UNSET, UnsetType

from pileus.kernel import clock
from pileus.kernel.context import Context
from pileus.kernel.db import Tx
from pileus.kernel.errors import Invalid, Unauthenticated
from pileus.kernel.runtime import Runtime
from pileus.services.identity.app import documents, scope
from pileus.services.identity.app.fernet import REFUSAL, Payload, microseconds, new_audit_id
from pileus.services.identity.app.passwords import Passwords
from pileus.services.identity.app.scope import DomainReference, Scope, find_domain
from pileus.services.identity.app.validation import Tokens
from pileus.services.identity.model import ApplicationCredential, User
from pileus.services.identity.store import application_credentials, projects, users


class UserProof(msgspec.Struct):
    """Who somebody says to be, and the password that proves it."""

    password: str | None = None
    id: str | None = None
    name: str | None = None
    domain: DomainReference | None = None


class PasswordMethod(msgspec.Struct):
    user: UserProof


class TokenMethod(msgspec.Struct):
    id: str


class CredentialMethod(msgspec.Struct):
    secret: str
    id: str | None = None
    name: str | None = None
    user: UserProof | None = None


class Identity(msgspec.Struct):
    methods: list[str]
    password: PasswordMethod | None = None
    token: TokenMethod | None = None
    application_credential: CredentialMethod | None = None


class Auth(msgspec.Struct):
    """The member ``auth`` of POST /auth/tokens."""

    identity: Identity
    scope: Scope | str | UnsetType | None = UNSET


@dataclass(slots=True)
class Proof:
    """What the methods showed so far."""

    user_id: str | None = None
    secret: str | None = None
    hashed: str | None = None
    needs_secret: bool = False
    credential_id: str | None = None
    parent: Payload | None = None


async def issue_token(runtime: Runtime, ctx: Context, auth: Auth, *, with_catalog: bool) -> tuple[str, dict[str, Any]]:
    """Return the text and the document of a new token; raise Unauthenticated when the proof fails."""
    proofs = await runtime.db.read(_gather, runtime, auth.identity)
    passwords = runtime.part(Passwords)
    for proof in proofs:
        if proof.needs_secret:
            good = await passwords.matches(proof.secret or "", proof.hashed)
            if not good or proof.user_id is None:
                raise Unauthenticated(REFUSAL)
    if len({proof.user_id for proof in proofs}) != 1:
        raise Unauthenticated(REFUSAL)
    uses_trust = isinstance(auth.scope, Scope) and auth.scope.trust is not None
    run = runtime.db.write if uses_trust else runtime.db.read  # a trust counts its uses
    return await run(_issue, runtime, ctx, auth, proofs, with_catalog)


def _gather(tx: Tx, runtime: Runtime, identity: Identity) -> list[Proof]:
    if not identity.methods:
        raise Invalid("auth.identity.methods must name at least one method: password, token, application_credential.")
    proofs = []
    for method in dict.fromkeys(identity.methods):
        match method:
            case "password":
                proofs.append(_by_password(tx, _given(identity.password, method).user))
            case "token":
                proofs.append(_by_token(tx, runtime, _given(identity.token, method).id))
            case "application_credential":
                proofs.append(_by_credential(tx, _given(identity.application_credential, method)))
            case _:
                raise Unauthenticated(f"Attempted to authenticate with an unsupported method: {method[:64]}.")
    return proofs


def _given(value: Any, method: str) -> Any:
    if value is None:
        raise Invalid(f"auth.identity.{method} is missing: methods names it, so it must be there.")
    return value


def _by_password(tx: Tx, given: UserProof) -> Proof:
    if given.password is None:
        raise Invalid("auth.identity.password.user.password is missing.")
    user = _find_user(tx, given)
    usable = user is not None and (user.password_expires_at is None or user.password_expires_at > clock.now())
    return Proof(user.id if user and usable else None, given.password, user.password_hash if user else None, True)


def _find_user(tx: Tx, given: UserProof) -> User | None:
    if given.id:
        return users.get_user(tx, given.id)
    if not given.name:
        raise Invalid("Who logs in must be named by user.id, or by user.name and user.domain.")
    if given.domain is None or not (given.domain.id or given.domain.name):
        raise Invalid("user.domain with an id or a name is needed beside user.name.")
    domain = find_domain(tx, given.domain)
    return users.find_user(tx, given.name, domain.id) if domain is not None else None


def _by_token(tx: Tx, runtime: Runtime, text: str) -> Proof:
    payload = runtime.part(Tokens).caller(tx, text).token.payload
    return Proof(payload.user_id, parent=payload, credential_id=payload.application_credential_id)


def _by_credential(tx: Tx, given: CredentialMethod) -> Proof:
    row: ApplicationCredential | None = None
    if given.id:
        row = application_credentials.get_application_credential(tx, given.id)
    elif given.name and given.user is not None:
        user = _find_user(tx, given.user)
        row = application_credentials.find_application_credential(tx, user.id, given.name) if user else None
    else:
        raise Invalid("An application credential must be named by its id, or by its name and its user.")
    if row is None:
        return Proof(None, given.secret, None, True)
    return Proof(row.user_id, given.secret, row.secret_hash, True, credential_id=row.id)


def _issue(
    tx: Tx, runtime: Runtime, ctx: Context, auth: Auth, proofs: list[Proof], with_catalog: bool
) -> tuple[str, dict[str, Any]]:
    user = users.get_user(tx, proofs[0].user_id or "")
    domain = projects.get_domain(tx, user.domain_id) if user else None
    if user is None or domain is None or not user.enabled or not domain.enabled:
        raise Unauthenticated(REFUSAL)
    _still_true(tx, user, proofs)
    credential_id = next((proof.credential_id for proof in proofs if proof.credential_id), None)
    parent = next((proof.parent for proof in proofs if proof.parent), None)
    chosen = scope.choose(tx, user, auth.scope, credential_id, parent)
    now, issuer = clock.now(), runtime.part(Tokens)
    expires_us = microseconds(now + timedelta(seconds=issuer.lifetime_s))
    methods = tuple(dict.fromkeys(auth.identity.methods))
    audit_ids: tuple[str, ...] = (new_audit_id(),)
    if parent is not None:
        expires_us = min(expires_us, parent.expires_us)
        methods = tuple(dict.fromkeys((*methods, *parent.methods)))
        audit_ids = (*audit_ids, parent.audit_ids[-1])
    payload = Payload(
        1,
        chosen.user_id,
        methods,
        chosen.kind,
        chosen.id,
        microseconds(now),
        expires_us,
        audit_ids,
        chosen.application_credential_id,
        chosen.trust_id,
    )
    token = issuer.look_up(tx, payload)
    return issuer.keys.seal(payload), documents.token_document(tx, runtime, ctx, token, with_catalog=with_catalog)


def _still_true(tx: Tx, user: User, proofs: list[Proof]) -> None:
    """Raise Unauthenticated when a secret was changed while it was being checked."""
    for proof in proofs:
        if not proof.needs_secret:
            continue
        if proof.credential_id is None:
            now = user.password_hash
        else:
            row = application_credentials.get_application_credential(tx, proof.credential_id)
            now = row.secret_hash if row is not None else None
        if now != proof.hashed:
            raise Unauthenticated(REFUSAL)
