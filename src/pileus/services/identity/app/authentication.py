"""Making tokens: what a client proves, what it asks for, what it gets.

Rule: until an identity is proven every refusal is the same sentence; after that it says what is missing.
"""

from dataclasses import dataclass
from typing import Any

import msgspec
from msgspec import UNSET, UnsetType

from pileus.kernel.db import Tx
from pileus.kernel.errors import Invalid, Unauthenticated
from pileus.kernel.rest import Extra
from pileus.kernel.rest.schema import decode
from pileus.kernel.runtime import Runtime
from pileus.services.identity.app import compliance, documents, mfa, receipts, scope
from pileus.services.identity.app.compliance import Rules
from pileus.services.identity.app.fernet import REFUSAL, Payload
from pileus.services.identity.app.issuing import issue
from pileus.services.identity.app.log_in_rates import LogInRates
from pileus.services.identity.app.memory import Memory
from pileus.services.identity.app.methods import METHODS
from pileus.services.identity.app.methods.proof import Attempt, Proof, named_users
from pileus.services.identity.app.passwords import Passwords
from pileus.services.identity.app.scope import Chosen, Scope
from pileus.services.identity.app.validation import Named
from pileus.services.identity.model import IdentitySettings, User
from pileus.services.identity.store import projects, users

MOST_METHODS = 16
"""Methods in one log-in at most."""


class Auth(msgspec.Struct):
    """The member ``auth`` of POST /auth/tokens; what each method sends is decoded as its own struct."""

    identity: Extra
    scope: Scope | str | UnsetType | None = UNSET


@dataclass(frozen=True, slots=True)
class Person:
    """An enabled user, as far as all its log-ins need it."""

    id: str
    name: str
    domain: Named
    rules: list[list[str]]
    """Which methods must come together."""


async def issue_token(attempt: Attempt, auth: Auth, *, with_catalog: bool) -> tuple[str, dict[str, Any]]:
    """Return the text and the document of a new token; raise Unauthenticated when the proof fails."""
    given = _given(auth.identity)
    db, rates, source = attempt.runtime.db, attempt.runtime.part(LogInRates), attempt.ctx.source_ip
    rates.check((), source)
    uses_trust = isinstance(auth.scope, Scope) and auth.scope.trust is not None  # a trust counts its uses
    writes = uses_trust or attempt.runtime.part(Rules).records_logins
    users = named_users(given)
    try:
        proofs = await db.read(_prove, attempt, auth, given, with_catalog, at_once=not writes)
        if isinstance(proofs, tuple):
            return proofs
        users = [proof.user_id for proof in proofs if proof.user_id is not None] or users
        rates.check(users, source)
        await _hold(attempt, proofs)
    except Unauthenticated:
        rates.failed(users, source)
        raise
    rates.succeeded(users, source)
    for spend in [proof.spend for proof in proofs if proof.spend is not None]:
        await db.write(spend)
    run = db.write if writes or any(proof.writes for proof in proofs) else db.read
    return await run(_issue, attempt, auth, tuple(given), proofs, with_catalog)


async def _hold(attempt: Attempt, proofs: list[Proof]) -> None:
    """Raise Unauthenticated unless all proofs hold, and are of one user; what failed is recorded."""
    for proof in proofs:
        if proof.ask is not None:
            proof.user_id = await proof.ask()
            if proof.user_id is None:
                raise Unauthenticated(REFUSAL)
        if proof.needs_secret:
            good = await attempt.runtime.part(Passwords).matches(proof.secret or "", proof.hashed)
            if not good or proof.user_id is None:
                if proof.failed is not None:
                    await attempt.runtime.db.write(proof.failed)
                raise Unauthenticated(REFUSAL)
    await _require_one_user(attempt, proofs)


async def _require_one_user(attempt: Attempt, proofs: list[Proof]) -> None:
    """Raise Unauthenticated unless all proofs are of one user; what failed is recorded."""
    if len({proof.user_id for proof in proofs}) == 1 and proofs[0].user_id is not None:
        return
    for proof in proofs:
        if proof.user_id is None and proof.failed is not None:
            await attempt.runtime.db.write(proof.failed)
    raise Unauthenticated(REFUSAL)


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


def _prove(
    tx: Tx, attempt: Attempt, auth: Auth, given: dict[str, msgspec.Struct], with_catalog: bool, *, at_once: bool
) -> list[Proof] | tuple[str, dict[str, Any]]:
    """Return what the methods show, or the token itself where that is all there is to do."""
    proofs = [METHODS[name].prove(tx, attempt, body) for name, body in given.items()]
    user_id = proofs[0].user_id
    open_end = any(
        proof.ask or proof.needs_secret or proof.spend or proof.writes or proof.user_id != user_id for proof in proofs
    )
    if not at_once or open_end or user_id is None:
        return proofs
    return _issue(tx, attempt, auth, tuple(given), proofs, with_catalog)


def _issue(
    tx: Tx, attempt: Attempt, auth: Auth, methods: tuple[str, ...], proofs: list[Proof], with_catalog: bool
) -> tuple[str, dict[str, Any]]:
    runtime, user_id = attempt.runtime, proofs[0].user_id or ""
    person = runtime.part(Memory).recall(tx, ("person", user_id), lambda: _person(tx, user_id))
    for proof in proofs:
        if proof.settle is not None:
            proof.settle(tx)
    parent = next((proof.parent for proof in proofs if proof.parent), None)
    methods = _shown(tx, attempt, person, (*methods, *(parent.methods if parent else ())))
    text, token = issue(tx, runtime, _scope(tx, runtime, auth, person, proofs, parent), methods, parent)
    if (rules := runtime.part(Rules)).records_logins:
        compliance.record_login(tx, rules, person.id)
    return text, documents.token_document(tx, runtime, attempt.ctx, token, with_catalog=with_catalog)


def _user(tx: Tx, id: str) -> User:
    user = users.get_user(tx, id)
    if user is None:
        raise Unauthenticated(REFUSAL)
    return user


def _person(tx: Tx, id: str) -> Person:
    user = _user(tx, id)
    domain = projects.get_domain(tx, user.domain_id)
    if domain is None or not user.enabled or not domain.enabled:
        raise Unauthenticated(REFUSAL)
    return Person(user.id, user.name, Named(domain.id, domain.name), mfa.rules_of(user))


def _scope(tx: Tx, runtime: Runtime, auth: Auth, person: Person, proofs: list[Proof], parent: Payload | None) -> Chosen:
    """Return what the token is for; what a user asked for before and still may have is remembered."""
    fixed = next((proof.chosen for proof in proofs if proof.chosen), None)
    if fixed is not None:
        return fixed
    if parent is not None:
        allowed = runtime.config.get(IdentitySettings).allow_rescope_scoped_token
        scope.check_rescoping(parent, auth.scope, scoped_allowed=allowed)
    credential_id = next((proof.credential_id for proof in proofs if proof.credential_id), None)

    def choose() -> Chosen:
        return scope.choose(tx, _user(tx, person.id), auth.scope, credential_id)

    if credential_id is not None or (isinstance(auth.scope, Scope) and auth.scope.trust is not None):
        return choose()
    asked = b"" if auth.scope is UNSET else msgspec.msgpack.encode(auth.scope)
    return runtime.part(Memory).recall(tx, ("scope", person.id, asked), choose)


def _shown(tx: Tx, attempt: Attempt, person: Person, methods: tuple[str, ...]) -> tuple[str, ...]:
    """Return all methods shown, by a receipt too; raise MoreMethodsNeeded when the user's rules ask for others."""
    receipt = attempt.request.headers.get(receipts.HEADER.lower())
    earlier = receipts.methods_of(tx, attempt.runtime, receipt, person.id, person.domain.id) if receipt else ()
    shown = tuple(dict.fromkeys((*methods, *earlier)))
    if not mfa.enough(person.rules, shown, METHODS):
        raise receipts.make(attempt.runtime, person.id, person.name, person.domain, shown, person.rules)
    return shown
