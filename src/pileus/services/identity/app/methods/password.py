"""A name and a password.  Rule: the password itself is compared later, off the event loop."""

import msgspec

from pileus.kernel.db import Tx
from pileus.kernel.errors import Invalid, Unauthenticated
from pileus.services.identity.app.fernet import REFUSAL
from pileus.services.identity.app.methods.proof import Attempt, Proof, UserReference, find_user, password_usable
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
    usable = user is not None and password_usable(user)
    hashed = user.password_hash if user else None

    def settle(tx: Tx, user: User) -> None:
        if user.password_hash != hashed:
            raise Unauthenticated(REFUSAL)  # it was changed while it was being checked

    return Proof(
        user_id=user.id if user and usable else None,
        secret=given.user.password,
        hashed=hashed,
        needs_secret=True,
        settle=settle,
    )
