"""A name and a password.  Rule: the password itself is compared later, off the event loop."""

from functools import partial

import msgspec

from pileus.kernel.db import Tx
from pileus.kernel.errors import Invalid, Unauthenticated
from pileus.services.identity.app import compliance
from pileus.services.identity.app.compliance import Rules
from pileus.services.identity.app.fernet import REFUSAL
from pileus.services.identity.app.methods.proof import Attempt, Proof, UserReference, find_user
from pileus.services.identity.model import User


class UserWithPassword(UserReference):
    password: str | None = None


class PasswordMethod(msgspec.Struct):
    """``auth.identity.password``."""

    user: UserWithPassword


def prove(tx: Tx, attempt: Attempt, given: PasswordMethod) -> Proof:
    """Return who is named, and the hash that the password must fit."""
    if given.user.password is None:
        raise Invalid("auth.identity.password.user.password is missing.")
    user = find_user(tx, given.user)
    user_id, hashed = (user.id, user.password_hash) if user else (None, None)
    rules = attempt.runtime.part(Rules)

    def settle(tx: Tx, user: User) -> None:
        if user.password_hash != hashed:
            raise Unauthenticated(REFUSAL)  # it was changed while it was being checked
        compliance.check_password_counts(tx, rules, user)

    return Proof(
        user_id=user_id,
        secret=given.user.password,
        hashed=hashed,
        needs_secret=True,
        failed=partial(compliance.count_failure, rules=rules, user_id=user_id or "") if rules.attempts else None,
        settle=settle,
    )
