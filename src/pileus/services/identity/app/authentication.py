"""Making tokens: what a client proves, what it asks for, what it gets.

Rule: until an identity is proven every refusal is the same sentence; after that it says what is missing.
"""

from typing import Any

import msgspec
from msgspec import UNSET, UnsetType

from pileus.kernel.db import Tx
from pileus.kernel.errors import Invalid, Unauthenticated
from pileus.kernel.rest.schema import decode
from pileus.services.identity.app import compliance, documents, mfa, receipts, scope
from pileus.services.identity.app.compliance import Rules
from pileus.services.identity.app.fernet import REFUSAL
from pileus.services.identity.app.issuing import issue
from pileus.services.identity.app.methods import METHODS
from pileus.services.identity.app.methods.proof import Attempt, Proof
from pileus.services.identity.app.passwords import Passwords
from pileus.services.identity.app.scope import Scope
from pileus.services.identity.model import Project, User
from pileus.services.identity.store import projects, users

MOST_METHODS = 16
"""Methods in one log-in at most."""


class Auth(msgspec.Struct):
    """The member ``auth`` of POST /auth/tokens; what each method sends is decoded as its own struct."""

    identity: dict[str, Any]
    scope: Scope | str | UnsetType | None = UNSET


async def issue_token(attempt: Attempt, auth: Auth, *, with_catalog: bool) -> tuple[str, dict[str, Any]]:
    """Return the text and the document of a new token; raise Unauthenticated when the proof fails."""
    given = _given(auth.identity)
    db, passwords = attempt.runtime.db, attempt.runtime.part(Passwords)
    proofs = await db.read(_prove, attempt, given)
    for proof in proofs:
        if proof.ask is not None:
            proof.user_id = await proof.ask()
            if proof.user_id is None:
                raise Unauthenticated(REFUSAL)
        if proof.needs_secret:
            good = await passwords.matches(proof.secret or "", proof.hashed)
            if not good or proof.user_id is None:
                if proof.failed is not None:
                    await db.write(proof.failed)
                raise Unauthenticated(REFUSAL)
    if len({proof.user_id for proof in proofs}) != 1:
        raise Unauthenticated(REFUSAL)
    uses_trust = isinstance(auth.scope, Scope) and auth.scope.trust is not None  # a trust counts its uses
    for spend in [proof.spend for proof in proofs if proof.spend is not None]:
        await db.write(spend)
    writes = uses_trust or attempt.runtime.part(Rules).records_logins or any(proof.writes for proof in proofs)
    run = db.write if writes else db.read
    return await run(_issue, attempt, auth, tuple(given), proofs, with_catalog)


def _given(identity: dict[str, Any]) -> dict[str, msgspec.Struct]:
    """Return what was sent for each method; raise Invalid where a part is missing or malformed."""
    names = decode(identity.get("methods"), list[str], "auth.identity.methods")
    if not 0 < len(names) <= MOST_METHODS:
        raise Invalid(f"auth.identity.methods must name 1 to {MOST_METHODS} methods, such as password and token.")
    found: dict[str, msgspec.Struct] = {}
    for name in names:
        method = METHODS.get(name)
        if method is None:
            raise Unauthenticated(f"Attempted to authenticate with an unsupported method: {name[:64]}.")
        if name not in identity:
            raise Invalid(f"auth.identity.{name} is missing: methods names it, so it must be there.")
        found[name] = decode(identity[name], method.body, f"auth.identity.{name}")
    return found


def _prove(tx: Tx, attempt: Attempt, given: dict[str, msgspec.Struct]) -> list[Proof]:
    return [METHODS[name].prove(tx, attempt, body) for name, body in given.items()]


def _issue(
    tx: Tx, attempt: Attempt, auth: Auth, methods: tuple[str, ...], proofs: list[Proof], with_catalog: bool
) -> tuple[str, dict[str, Any]]:
    user = users.get_user(tx, proofs[0].user_id or "")
    domain = projects.get_domain(tx, user.domain_id) if user else None
    if user is None or domain is None or not user.enabled or not domain.enabled:
        raise Unauthenticated(REFUSAL)
    for proof in proofs:
        if proof.settle is not None:
            proof.settle(tx, user)
    parent = next((proof.parent for proof in proofs if proof.parent), None)
    methods = _shown(tx, attempt, user, domain, (*methods, *(parent.methods if parent else ())))
    credential_id = next((proof.credential_id for proof in proofs if proof.credential_id), None)
    chosen = next((proof.chosen for proof in proofs if proof.chosen), None)
    chosen = chosen or scope.choose(tx, user, auth.scope, credential_id, parent)
    text, token = issue(tx, attempt.runtime, chosen, methods, parent)
    if (rules := attempt.runtime.part(Rules)).records_logins:
        compliance.record_login(tx, rules, user.id)
    document = documents.token_document(tx, attempt.runtime, attempt.ctx, token, with_catalog=with_catalog)
    return text, document


def _shown(tx: Tx, attempt: Attempt, user: User, domain: Project, methods: tuple[str, ...]) -> tuple[str, ...]:
    """Return all methods shown, by a receipt too; raise MoreMethodsNeeded when the user's rules ask for others."""
    receipt = attempt.request.headers.get(receipts.HEADER.lower())
    earlier = receipts.methods_of(tx, attempt.runtime, receipt, user) if receipt else ()
    shown = tuple(dict.fromkeys((*methods, *earlier)))
    rules = mfa.rules_of(user)
    if not mfa.enough(rules, shown, METHODS):
        raise receipts.make(attempt.runtime, user, domain, shown, rules)
    return shown
