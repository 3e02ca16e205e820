"""A user gives itself a new password.

Rule: the old one is proven as in a log-in, so wrong guesses count the same; only an expired one still serves here.
"""

from dataclasses import dataclass

from pileus.kernel.context import Context
from pileus.kernel.db import Tx
from pileus.kernel.errors import Forbidden, Invalid, Unauthenticated
from pileus.kernel.runtime import Runtime
from pileus.services.identity.app import compliance, people
from pileus.services.identity.app.compliance import Rules
from pileus.services.identity.app.fernet import REFUSAL
from pileus.services.identity.app.log_in_rates import LogInRates
from pileus.services.identity.app.passwords import Passwords
from pileus.services.identity.model import User
from pileus.services.identity.store import accounts, projects, users


@dataclass(frozen=True)
class Known:
    """What the change rests on."""

    hashed: str | None
    former: tuple[str, ...] = ()


def _look(tx: Tx, rules: Rules, user_id: str) -> Known:
    user = users.get_user(tx, user_id)
    if user is None or not _usable(tx, rules, user):
        return Known(None)
    return Known(user.password_hash, tuple(compliance.last_passwords(tx, rules, user)))


def _usable(tx: Tx, rules: Rules, user: User) -> bool:
    domain = projects.get_domain(tx, user.domain_id)
    enabled = user.enabled and domain is not None and domain.enabled
    return enabled and not compliance.inactive(tx, rules, [user])


async def change_password(runtime: Runtime, ctx: Context, user_id: str, original: str, new: str) -> None:
    """Give a user who knows the old password a new one, and end the tokens there are."""
    rules, passwords, rates = runtime.part(Rules), runtime.part(Passwords), runtime.part(LogInRates)
    rates.check([user_id], ctx.source_ip)
    known = await runtime.db.read(_look, rules, user_id)
    if not await passwords.matches(original, known.hashed):
        if rules.attempts is not None:
            await runtime.db.write(compliance.count_failure, rules, user_id)
        rates.failed([user_id], ctx.source_ip)
        raise Unauthenticated(REFUSAL)
    rates.succeeded([user_id], ctx.source_ip)
    await runtime.db.read(_check, rules, user_id, known)
    if original == new:
        raise Invalid("The new password cannot be identical to the one it replaces.")
    rules.check_strength(new)
    for former in known.former:
        if await passwords.matches(new, former):
            count = rules.settings.unique_last_password_count
            raise Invalid(f"The new password cannot be identical to a previous password: the last {count} are kept.")
    fresh = await passwords.hash(new)
    await runtime.db.write(_change, ctx, rules, user_id, known, fresh)


def _check(tx: Tx, rules: Rules, user_id: str, known: Known) -> User:
    """Return the user; raise what forbids a change although the old password is right."""
    user = users.get_user(tx, user_id)
    if user is None or not _usable(tx, rules, user) or user.password_hash != known.hashed:
        raise Unauthenticated(REFUSAL)
    if compliance.is_locked(rules, user, accounts.find_account(tx, user_id)):
        raise Unauthenticated(REFUSAL)
    if user.options.get("lock_password"):
        raise Forbidden("This user's password is locked: only an administrator may change it.")
    compliance.check_age(tx, rules, user)
    return user


def _change(tx: Tx, ctx: Context, rules: Rules, user_id: str, known: Known, fresh: str) -> None:
    user = _check(tx, rules, user_id, known)
    people.replace_password(tx, ctx, rules, user, fresh)
