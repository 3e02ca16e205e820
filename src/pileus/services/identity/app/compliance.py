"""Rules for accounts and passwords, as PCI-DSS asks for: lockout, expiry, history, strength, age, inactivity.

Rule: an answer to a guess counts only once it is recorded, and recording is one after the other.  So however many
guesses race, no more are answered than the rule allows; a right password that comes after them is refused too.
"""

import re
from collections.abc import Iterable
from datetime import date, timedelta

from pileus.kernel import clock
from pileus.kernel.config import ConfigError
from pileus.kernel.db import Tx
from pileus.kernel.errors import Invalid, Unauthenticated
from pileus.kernel.runtime import Runtime
from pileus.services.identity.app.fernet import REFUSAL
from pileus.services.identity.model import IdentitySettings, User
from pileus.services.identity.model.accounts import Account
from pileus.services.identity.store import accounts, users

NO_LOCKOUT = "ignore_lockout_failure_attempts"
NO_EXPIRY = "ignore_password_expiry"
NO_FIRST_CHANGE = "ignore_change_password_upon_first_use"
NO_INACTIVITY = "ignore_user_inactivity"


class Rules:
    """The table ``[identity.security_compliance]``, ready for use."""

    def __init__(self, runtime: Runtime) -> None:
        self.settings = settings = runtime.config.get(IdentitySettings).security_compliance
        self.attempts = settings.lockout_failure_attempts
        self.remembered = max(settings.unique_last_password_count - 1, 0)
        """Passwords kept beside the present one."""
        self.days_inactive = settings.disable_user_account_days_inactive
        try:
            self._strong = re.compile(settings.password_regex) if settings.password_regex else None
        except re.error as error:
            raise ConfigError(f"table [identity.security_compliance]: password_regex: {error}") from error

    @property
    def records_logins(self) -> bool:
        """Whether a log-in that succeeds changes anything."""
        return self.attempts is not None or self.days_inactive is not None

    def check_strength(self, password: str) -> None:
        """Raise Invalid for a password that the expression does not match."""
        if self._strong is not None and not self._strong.match(password):
            wanted = self.settings.password_regex_description or f"it must match {self.settings.password_regex}"
            raise Invalid(f"The password does not match the requirements: {wanted}.")


def is_locked(rules: Rules, user: User, account: Account | None) -> bool:
    """Tell whether too many wrong passwords came for a user."""
    if rules.attempts is None or account is None or user.options.get(NO_LOCKOUT) or account.failed_at is None:
        return False
    lasts = rules.settings.lockout_duration
    over = lasts is not None and account.failed_at + timedelta(seconds=lasts) <= clock.now()
    return account.failures >= rules.attempts and not over


def count_failure(tx: Tx, rules: Rules, user_id: str) -> None:
    """Record a wrong password; a lock that lasts is not made longer."""
    user = users.get_user(tx, user_id)
    if user is None:
        return
    account = accounts.get_account(tx, user_id)
    if is_locked(rules, user, account):
        return
    if rules.attempts is not None and account.failures >= rules.attempts:
        account.failures = 0
    account.failures += 1
    account.failed_at = clock.now()


def check_password_counts(tx: Tx, rules: Rules, user: User) -> None:
    """Raise Unauthenticated when the right password of a user does not count: locked out, or expired."""
    if rules.attempts is not None and is_locked(rules, user, accounts.find_account(tx, user.id)):
        raise Unauthenticated(REFUSAL)
    if is_expired(user):
        raise Unauthenticated(f"The password is expired and needs to be changed for user: {user.id}.")


def check_unlocked(tx: Tx, rules: Rules, user_id: str) -> None:
    """Raise Unauthenticated for a user who is locked out."""
    if rules.attempts is None:
        return
    user = users.get_user(tx, user_id)
    if user is None or is_locked(rules, user, accounts.find_account(tx, user_id)):
        raise Unauthenticated(REFUSAL)


def is_expired(user: User) -> bool:
    """Tell whether a user has to change its password before it logs in."""
    ends = user.password_expires_at
    return ends is not None and ends <= clock.now() and not user.options.get(NO_EXPIRY)


def record_login(tx: Tx, rules: Rules, user_id: str) -> None:
    """Record that a user logged in."""
    account = accounts.find_account(tx, user_id)
    if rules.days_inactive is not None:
        account = account or accounts.get_account(tx, user_id)
        account.active_on = clock.now().date()
    if account is not None and account.failures:
        account.failures, account.failed_at = 0, None


def inactive(tx: Tx, rules: Rules, found: Iterable[User]) -> set[str]:
    """Return the ids of the users who count as disabled because they have not logged in for too long."""
    if rules.days_inactive is None:
        return set()
    people = list(found)
    known = accounts.accounts_by_id(tx, (user.id for user in people))
    last = clock.now().date() - timedelta(days=rules.days_inactive)
    return {user.id for user in people if _active_on(user, known.get(user.id)) <= last and not _exempt(user)}


def _active_on(user: User, account: Account | None) -> date:
    return account.active_on if account is not None and account.active_on is not None else user.created_at.date()


def _exempt(user: User) -> bool:
    return bool(user.options.get(NO_INACTIVITY))


def check_active(tx: Tx, rules: Rules, user_id: str) -> None:
    """Raise Unauthenticated for a user who has not logged in for too long."""
    if rules.days_inactive is not None:
        user = users.get_user(tx, user_id)
        if user is None or inactive(tx, rules, [user]):
            raise Unauthenticated(REFUSAL)


def reinstate(tx: Tx, rules: Rules, user: User) -> None:
    """Unlock a user whom an administrator enables, and start its days anew."""
    account = accounts.find_account(tx, user.id)
    if rules.days_inactive is not None:
        account = account or accounts.get_account(tx, user.id)
        account.active_on = clock.now().date()
    if account is not None:
        account.failures, account.failed_at = 0, None


def set_password(tx: Tx, rules: Rules, user: User, hashed: str | None, *, chosen: bool) -> None:
    """Give a user a password; ``chosen`` when the user itself did."""
    now = clock.now()
    if rules.remembered and user.password_hash is not None:
        accounts.insert_former_password(tx, user.id, user.password_hash, rules.remembered)
    user.password_hash = hashed
    user.password_changed_at = now if hashed is not None else None
    user.password_expires_at = None
    days = rules.settings.password_expires_days
    if hashed is not None and days is not None and not user.options.get(NO_EXPIRY):
        user.password_expires_at = (now + timedelta(days=days)).replace(microsecond=0)
    first_change = rules.settings.change_password_upon_first_use and not user.options.get(NO_FIRST_CHANGE)
    if hashed is not None and first_change and not chosen:
        user.password_expires_at = now
    if rules.settings.minimum_password_age:
        accounts.get_account(tx, user.id).chose_password = chosen


def check_age(tx: Tx, rules: Rules, user: User) -> None:
    """Raise Invalid when a user chose its password too short a time ago to choose another."""
    days = rules.settings.minimum_password_age
    account = accounts.find_account(tx, user.id) if days else None
    if account is None or not account.chose_password or user.password_changed_at is None:
        return
    left = user.password_changed_at + timedelta(days=days) - clock.now()
    if left > timedelta(0):
        raise Invalid(
            "You cannot change your password at this time due to the minimum password age: once chosen, it must be "
            f"used for {days} days. Try again in {left.days + 1} days, or have an administrator reset it."
        )


def last_passwords(tx: Tx, rules: Rules, user: User) -> list[str]:
    """Return the hashes that a new password must not fit, the present one's first."""
    if not rules.settings.unique_last_password_count or user.password_hash is None:
        return []
    former = accounts.former_passwords(tx, user.id, rules.remembered) if rules.remembered else []
    return [user.password_hash, *(row.hashed for row in former)]
