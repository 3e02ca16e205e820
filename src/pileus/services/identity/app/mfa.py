"""The rules by which one way to prove who one is may not be enough.

Rule: as upstream's. A rule is met when all of its methods were shown; methods this program does not have are passed
over, and a rule or a list that says nothing then locks nobody out.
"""

from collections.abc import Collection
from typing import Any

from pileus.services.identity.model import User

ENABLED = "multi_factor_auth_enabled"
RULES = "multi_factor_auth_rules"


def rules_of(user: User) -> list[list[str]]:
    """Return the rules a user set up, those that are none left out."""
    given: Any = user.options.get(RULES)
    if user.options.get(ENABLED) is False or not isinstance(given, list):
        return []
    return [list(dict.fromkeys(rule)) for rule in given if _is_rule(rule)]


def _is_rule(rule: Any) -> bool:
    return isinstance(rule, list) and bool(rule) and all(isinstance(name, str) for name in rule)


def enough(rules: list[list[str]], shown: Collection[str], known: Collection[str]) -> bool:
    """Tell whether the methods shown meet one of the rules."""
    wanted = [needed for rule in rules if (needed := set(rule).intersection(known))]
    return not wanted or any(needed.issubset(shown) for needed in wanted)
