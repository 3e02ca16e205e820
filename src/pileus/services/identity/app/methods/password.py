"""A name and a password.  Rule: the password itself is compared later, off the event loop."""

from functools import partial

import msgspec

from pileus.kernel.db import Tx
from pileus.kernel.errors import Invalid, Unauthenticated
from pileus.services.identity.app import compliance
from pileus.services.identity.app.compliance import Rules
from pileus.services.identity.app.directories import Directories
from pileus.services.identity.app.fernet import REFUSAL
from pileus.services.identity.app.methods.proof import Attempt, Proof, UserReference, find_user
from pileus.services.identity.app.scope import find_domain
from pileus.services.identity.model import User
from pileus.services.identity.store import directories, tokens, users


class UserWithPassword(UserReference):
    password: str | None = None


class PasswordMethod(msgspec.Struct):
    """``auth.identity.password``."""

    user: UserWithPassword


def prove(tx: Tx, attempt: Attempt, given: PasswordMethod) -> Proof:
    """Return who is named, and the hash that the password must fit."""
    if given.user.password is None:
        raise Invalid("auth.identity.password.user.password is missing.")
    revision = tokens.revision(tx)  # first, because then it is often known without a query
    user = find_user(tx, given.user)
    if (elsewhere := _of_directory(tx, attempt, given.user, user)) is not None:
        return elsewhere
    user_id, hashed = (user.id, user.password_hash) if user else (None, None)
    rules = attempt.runtime.part(Rules)

    def settle(tx: Tx) -> None:
        now = user if tokens.revision(tx) == revision else users.get_user(tx, user_id or "")
        if now is None or now.password_hash != hashed:
            raise Unauthenticated(REFUSAL)  # it was changed while it was being checked
        compliance.check_password_counts(tx, rules, now)

    return Proof(
        user_id=user_id,
        secret=given.user.password,
        hashed=hashed,
        needs_secret=True,
        failed=partial(compliance.count_failure, rules=rules, user_id=user_id or "") if rules.attempts else None,
        settle=settle,
    )


def _of_directory(tx: Tx, attempt: Attempt, given: UserWithPassword, user: User | None) -> Proof | None:
    """Return the proof of somebody whose password a directory knows; None for everybody else."""
    if user is not None and user.password_hash is not None:
        return None
    known = directories.get_entry(tx, user.id) if user is not None else None
    if user is not None and known is None:
        return None  # made here, before the domain had a directory
    domain_id = user.domain_id if user is not None else None
    if user is None and given.domain is not None:
        domain = find_domain(tx, given.domain)
        domain_id = domain.id if domain is not None else None
    part = attempt.runtime.part(Directories)
    if domain_id is None or part.find(tx, domain_id) is None:
        return None
    name, local_id = (None, known.local_id) if known is not None else (given.name, None)
    return Proof(ask=partial(part.log_in, attempt.ctx, domain_id, given.password or "", name=name, local_id=local_id))
