"""The options of users, projects, domains and roles, and their types; an unknown one is refused.

Rule: an option set to null is forgotten.
"""

from typing import Annotated, Any

from msgspec import UNSET, UnsetType

from pileus.kernel.errors import Invalid
from pileus.kernel.rest import Body, Name, at_most, changes

Flag = bool | UnsetType | None


Rules = Annotated[list[Annotated[list[Name], at_most(10, 1)]], at_most(100)]


class UserOptions(Body):
    """What a user is exempt from, and how many proofs it has to bring."""

    ignore_change_password_upon_first_use: Flag = UNSET
    ignore_password_expiry: Flag = UNSET
    ignore_lockout_failure_attempts: Flag = UNSET
    lock_password: Flag = UNSET
    ignore_user_inactivity: Flag = UNSET
    multi_factor_auth_rules: Rules | UnsetType | None = UNSET
    multi_factor_auth_enabled: Flag = UNSET


class Immutable(Body):
    """Whether something is safe from changes until the option is taken off."""

    immutable: Flag = UNSET


def given(options: Body) -> dict[str, Any]:
    """Return the options to set and, as None, those to forget; raise Invalid for rules that repeat themselves."""
    found = changes(options)
    rules = found.get("multi_factor_auth_rules") or []
    for position, rule in enumerate(rules):
        if rule in rules[:position] or len(set(rule)) != len(rule):
            raise Invalid("multi_factor_auth_rules must not have the same rule, or the same method in a rule, twice.")
    return found


def new(options: Body) -> dict[str, Any]:
    """Return the options of something that is made."""
    return {name: value for name, value in given(options).items() if value is not None}
