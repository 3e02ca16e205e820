"""What operators do on the cloud itself, without a token: mend the first administrator, unlock, reset, rotate keys.

Rule: each may be done again at any time, while the cloud runs or not; each leaves its event for the audit.
"""

from collections.abc import Iterable
from dataclasses import dataclass

from sqlalchemy import select

from pileus.kernel import clock, events, ids
from pileus.kernel.db import Row, Tx
from pileus.kernel.errors import NotFound
from pileus.kernel.runtime import Runtime
from pileus.services.identity.app import compliance
from pileus.services.identity.app.compliance import Rules
from pileus.services.identity.app.passwords import hash_now
from pileus.services.identity.app.people import update_user
from pileus.services.identity.app.secrets import CredentialKeys
from pileus.services.identity.app.standings import find_user_row
from pileus.services.identity.app.validation import Tokens
from pileus.services.identity.model import (
    BASE_ROLES,
    DEFAULT_DOMAIN,
    IMPLIED,
    NO_DOMAIN,
    SYSTEM,
    Assignment,
    Credential,
    IdentitySettings,
    ImpliedRole,
    Project,
    Role,
    User,
)
from pileus.services.identity.model.domain_configs import SECRET, DomainOption
from pileus.services.identity.model.oauth1 import AccessToken, Consumer, RequestToken
from pileus.services.identity.store import accounts, projects, roles, tokens, users

ADMIN = "admin"
SEALED: tuple[tuple[type[Row], str], ...] = (
    (Credential, "sealed"),
    (Consumer, "sealed_secret"),
    (RequestToken, "sealed_secret"),
    (AccessToken, "sealed_secret"),
)
"""Columns that hold what the credential keys have sealed."""


@dataclass(frozen=True)
class Hindrance:
    """A user who cannot log in with the right password, and why."""

    user_id: str
    name: str
    domain: str
    why: str


def list_hindered(tx: Tx, runtime: Runtime) -> list[Hindrance]:
    """Return the users whose right password does not count: locked out, expired, inactive or disabled."""
    rules = Rules(runtime)
    people = list(tx.scalars(select(User).order_by(User.domain_id, User.name)))
    known = accounts.accounts_by_id(tx, (row.id for row in people))
    domains = projects.projects_by_id(tx, (row.domain_id for row in people))
    idle = compliance.inactive(tx, rules, people)
    found = []
    for row in people:
        account = known.get(row.id)
        reasons = []
        if account is not None and compliance.is_locked(rules, row, account):
            reasons.append(
                f"locked after {account.failures} wrong passwords, the last at {account.failed_at:%F %T} UTC"
            )
        if compliance.is_expired(row):
            reasons.append("the password has expired")
        if row.id in idle:
            reasons.append("has not logged in for too long")
        if not row.enabled:
            reasons.append("disabled")
        if reasons:
            domain = domains.get(row.domain_id)
            found.append(Hindrance(row.id, row.name, domain.name if domain else row.domain_id, "; ".join(reasons)))
    return found


def _user(tx: Tx, text: str) -> User:
    row = find_user_row(tx, text)
    if row is None:
        raise NotFound(f"There is no user {text}: name one by id, by name, or as name@domain.")
    return row


def unlock(tx: Tx, runtime: Runtime, text: str) -> str:
    """Let a user who was locked out or idle for too long log in again; return its name."""
    row = _user(tx, text)
    compliance.reinstate(tx, Rules(runtime), row)
    tokens.move_revision(tx)
    events.emit(tx, "identity.user.updated", row.id, ctx=runtime.internal(), changed="unlocked by an operator")
    return row.name


def reset_password(tx: Tx, runtime: Runtime, text: str, password: str) -> str:
    """Give a user a password, enable and unlock it, and end its tokens; return its name."""
    row = _user(tx, text)
    rounds = runtime.config.get(IdentitySettings).password_hash_rounds
    given = {"password_hash": hash_now(password, rounds), "enabled": True}
    update_user(tx, runtime.internal(), Rules(runtime), row, given, {})
    row.password_expires_at = None
    return row.name


def restore_administrator(tx: Tx, runtime: Runtime, password: str | None) -> list[str]:
    """Put back whatever the first administrator needs and is not there; return what was done, in sentences."""
    done: list[str] = []
    role_ids = _restore_roles(tx, done)
    domain = projects.get_domain(tx, DEFAULT_DOMAIN)
    if domain is None:
        raise NotFound("The default domain is gone: restore the database from a backup.")
    if not domain.enabled:
        domain.enabled = True
        done.append("enabled the default domain")
    project = projects.find_project(tx, ADMIN, DEFAULT_DOMAIN)
    if project is None:
        project = Project(id=ids.new_hex_id(), domain_id=DEFAULT_DOMAIN, parent_id=DEFAULT_DOMAIN, name=ADMIN)
        tx.add(project)
        done.append("made project admin")
    elif not project.enabled:
        project.enabled = True
        done.append("enabled project admin")
    user = users.find_user(tx, ADMIN, DEFAULT_DOMAIN)
    if user is None:
        user = User(id=ids.new_hex_id(), domain_id=DEFAULT_DOMAIN, name=ADMIN, created_at=clock.now())
        tx.add(user)
        done.append("made user admin")
    tx.flush()
    for kind, target in (("project", project.id), ("domain", DEFAULT_DOMAIN), (SYSTEM, SYSTEM)):
        if roles.get_assignment(tx, user.id, target, role_ids[ADMIN], False) is None:
            grant = Assignment(actor_id=user.id, actor_kind="user", target_kind=kind, target_id=target)
            grant.role_id, grant.inherited = role_ids[ADMIN], False
            tx.add(grant)
            done.append(f"gave user admin the role admin on the {kind}")
    if password is not None:
        reset_password(tx, runtime, user.id, password)
        done.append("set the password of user admin, enabled it and ended its tokens")
    elif not user.enabled:
        user.enabled = True
        done.append("enabled user admin")
    if done:
        tokens.move_revision(tx)
        events.emit(tx, "identity.user.updated", user.id, ctx=runtime.internal(), changed="restored by an operator")
    return done


def _restore_roles(tx: Tx, done: list[str]) -> dict[str, str]:
    found = {name: roles.find_role(tx, name, NO_DOMAIN) for name in BASE_ROLES}
    for name, row in found.items():
        if row is None:
            found[name] = Role(id=ids.new_hex_id(), name=name, options={"immutable": True})
            tx.add(found[name])
            done.append(f"made role {name}")
    role_ids = {name: row.id for name, row in found.items() if row is not None}
    tx.flush()
    for prior, implied in IMPLIED.items():
        for name in implied:
            if roles.get_implied(tx, role_ids[prior], role_ids[name]) is None:
                tx.add(ImpliedRole(prior_role_id=role_ids[prior], implied_role_id=role_ids[name]))
                done.append(f"let role {prior} imply {name}")
    return role_ids


def rotate_token_keys(runtime: Runtime) -> None:
    """Let the next key sign tokens from now on; running servers notice by themselves."""
    issuer = runtime.part(Tokens)
    for keys in (issuer.keys, issuer.jws):
        if keys is not None:
            keys.rotate()


def rotate_credential_keys(runtime: Runtime) -> None:
    """Have a new key for what is sealed from now on; none of the old is forgotten."""
    runtime.part(CredentialKeys).rotate()


def seal_anew(tx: Tx, runtime: Runtime) -> int:
    """Seal every secret with the newest credential key; return how many there are."""
    keys, count = runtime.part(CredentialKeys), 0
    for row, column in _sealed(tx):
        plain = keys.decrypt(getattr(row, column).encode())
        setattr(row, column, keys.encrypt(plain).decode())
        count += 1
    events.emit(tx, "identity.credential_keys.rotated", "credential-keys", ctx=runtime.internal())
    return count


def _sealed(tx: Tx) -> Iterable[tuple[Row, str]]:
    for kind, column in SEALED:
        for row in tx.scalars(select(kind)):
            yield row, column
    for option in tx.scalars(select(DomainOption)):
        if option.name in SECRET.get(option.section, ()):
            yield option, "value"
