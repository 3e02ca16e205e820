"""Why a rule holds for somebody, or what is missing for it to hold.

Rule: an explanation is worked out from the same tree and the same comparisons that requests are judged by.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from pileus.kernel.policy import Policy, Rule, in_words, scope_of
from pileus.kernel.policy_language import AllOf, Always, AnyOf, HasRole, Matches, Never, Node, Not, SeeRule

MOST_WAYS = 200
"""Ways of satisfying a rule that are looked at; no rule of today's has a quarter of it."""
DEEPEST = 20
"""How far ``rule:`` may lead on to ``rule:``."""


@dataclass(frozen=True)
class Verdict:
    """Whether a rule holds; if so by which way, otherwise what each of the nearer ways lacks, the nearest first."""

    allowed: bool
    way: str
    lacking: tuple[tuple[str, ...], ...] = ()


def explain(policy: Policy, rule: Rule, caller: Any, target: object) -> Verdict:
    """Judge, and say why: ``lacking`` holds one tuple of sentences for each way that lacks little."""
    if scope_of(caller) not in rule.scopes:
        return Verdict(False, "", ((f"a token for {rule.scopes_in_words}, not for {in_words(scope_of(caller))}",),))
    ways = _ways(policy, policy.tree(rule.name))
    found: list[tuple[str, ...]] = []
    for way in ways:
        unmet = [part for part in way if not part.compile(policy.named)(caller, target)]
        if not unmet:
            return Verdict(True, " and ".join(str(part) for part in way) or "@")
        found.append(tuple(dict.fromkeys(_missing(part, caller, target) for part in unmet)))
    return Verdict(False, "", nearest(found))


def nearest(ways: Iterable[tuple[str, ...]]) -> tuple[tuple[str, ...], ...]:
    """Return the ways that lack least, or one thing more; not those that need all that another needs, and more."""
    found = sorted(dict.fromkeys(ways), key=len)
    kept = [way for way in found if len(way) <= len(found[0]) + 1]
    return tuple(way for way in kept if not any(set(other) < set(way) for other in kept))


def _ways(policy: Policy, node: Node, depth: int = 0) -> list[tuple[Node, ...]]:
    """Return every way to satisfy a check, each as the conditions that must all hold."""
    if depth > DEEPEST:
        return [(Never(),)]
    match node:
        case Always():
            return [()]
        case SeeRule(name):
            return _ways(policy, policy.tree(name), depth + 1)
        case AnyOf(parts):
            return [way for part in parts for way in _ways(policy, part, depth)][:MOST_WAYS]
        case AllOf(parts):
            ways: list[tuple[Node, ...]] = [()]
            for part in parts:
                ways = [(*way, *more) for way in ways for more in _ways(policy, part, depth)][:MOST_WAYS]
            return ways
    return [(node,)]


_SCOPES = {"project_id": "a token for project", "domain_id": "a token for domain", "user_id": "to be user"}


def _missing(part: Node, caller: Any, target: object) -> str:
    """Return what would satisfy one condition, in words."""
    match part:
        case HasRole(name):
            return f"the role {name}"
        case Never():
            return "nothing: the rule forbids it to all"
        case Not(inner):
            return f"that this does not hold: {inner}"
        case Matches(left="domain_id", right="None"):
            return "a token that is not for a domain"
        case Matches(left="system_scope"):
            return "a token for the system"
        case Matches(left, _) if left in _SCOPES:
            theirs = part.theirs(target)
            if theirs is None:
                return f"a target with {part.wanted}, which this one has not"
            return f"{_SCOPES[left]} {theirs}"
    return f"that this holds: {part}"
