"""Rules that say who may do what, in the language of OpenStack's policy files.

Rule: a rule is declared beside the handler it guards; an operator's ``policy.yaml`` overrides it by name.
The language itself is in ``policy_language``.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from pileus.kernel.policy_language import AllOf, AnyOf, Check, Node, Not, PolicyError, SeeRule, attribute, parse

__all__ = ["CONTEXT_IS_ADMIN", "RULES", "Check", "Policy", "PolicyError", "Rule", "attribute"]

PROJECT = ("project",)
SYSTEM_OR_PROJECT = ("system", "project")
EVERY_SCOPE = ("system", "domain", "project")

ADMIN = "rule:context_is_admin"
READER = "role:reader and project_id:%(project_id)s"
MEMBER = "role:member and project_id:%(project_id)s"
MANAGER = "role:manager and project_id:%(project_id)s"
ADMIN_OR_READER = f"{ADMIN} or ({READER})"
ADMIN_OR_MEMBER = f"{ADMIN} or ({MEMBER})"
ADMIN_OR_MANAGER = f"{ADMIN} or ({MANAGER})"
ADMIN_OR_SERVICE = f"{ADMIN} or role:service"
ANYONE = "@"
NOBODY = "!"


class Credentials(Protocol):
    """What a check looks at: the request's context fits."""

    @property
    def caller(self) -> Any: ...


RULES: dict[str, "Rule"] = {}


@dataclass(frozen=True)
class Rule:
    """A rule and its default check; ``description`` is for the reader of the sample file.

    ``scopes`` are those a token must have one of, whatever the check says, as upstream's ``scope_types``.  All
    services but Identity act for projects, so a rule that names none is for tokens of projects.
    """

    name: str
    check: str
    description: str = ""
    scopes: tuple[str, ...] = PROJECT

    def __post_init__(self) -> None:
        known = RULES.setdefault(self.name, self)
        if known != self:
            raise ValueError(f"policy rule {self.name} is declared twice with different checks")

    @property
    def scopes_in_words(self) -> str:
        """What tokens the rule is for, such as ``the system or a project``."""
        return " or ".join(in_words(scope) for scope in self.scopes)


CONTEXT_IS_ADMIN = Rule(
    "context_is_admin",
    "role:admin",
    "Who is the cloud's administrator: sees every project's things. What a domain's token does is never that.",
    scopes=SYSTEM_OR_PROJECT,
)


def in_words(scope: str) -> str:
    """Return ``the system``, ``a domain`` or ``a project``."""
    return "the system" if scope == "system" else f"a {scope}"


def scope_of(caller: Any) -> str:
    """Return ``system``, ``domain`` or ``project``: a token for nothing counts as one for a project, as upstream's."""
    return "system" if caller.system else "domain" if caller.domain_id else "project"


def in_scope(rule: Rule, caller: Any) -> bool:
    """Tell whether the caller's token is for a scope that the rule is for; the cloud's own work is in every scope."""
    return caller.internal or scope_of(caller) in rule.scopes


class Policy:
    """The rules in force: each default, or what the operator's file says instead."""

    def __init__(self, overrides: Mapping[str, str] | None = None) -> None:
        self._overrides = dict(overrides or {})
        self._compiled: dict[str, Check] = {}
        for name, text in self._overrides.items():
            self._compiled[name] = self._compile(name, text)

    @classmethod
    def from_file(cls, path: Path) -> "Policy":
        """Read overrides from ``path`` (YAML or JSON: rule name to check); a missing file changes nothing."""
        if not path.exists():
            return cls()
        import yaml  # few clouds have such a file, and every start would pay

        data = yaml.safe_load(path.read_text()) or {}
        if not isinstance(data, dict):
            raise PolicyError(f"{path}: expected a mapping of rule names to checks")
        return cls({str(name): str(text) for name, text in data.items()})

    def allows(self, rule: Rule, context: Credentials, target: object) -> bool:
        """Tell whether ``rule`` holds for this caller and target; the cloud's own work is held to none."""
        if context.caller.internal:
            return True
        if not in_scope(rule, context.caller):
            return False
        check = self._compiled.get(rule.name)
        if check is None:
            check = self._compiled[rule.name] = self._compile(rule.name, rule.check)
        return check(context.caller, target)

    def check_of(self, rule: Rule) -> str:
        """Return the check in force, as text."""
        return self._overrides.get(rule.name, rule.check)

    def spelt_out(self, rule: Rule) -> str:
        """Return the check in force with the checks of the rules it names in their place."""
        return str(self._inlined(self.tree(rule.name), frozenset({rule.name})))

    def _inlined(self, node: Node, seen: frozenset[str]) -> Node:
        match node:
            case SeeRule(name) if name not in seen:
                return self._inlined(self.tree(name), seen | {name})
            case Not(inner):
                return Not(self._inlined(inner, seen))
            case AllOf(parts):
                return AllOf(tuple(self._inlined(part, seen) for part in parts))
            case AnyOf(parts):
                return AnyOf(tuple(self._inlined(part, seen) for part in parts))
        return node

    def is_overridden(self, rule: Rule) -> bool:
        """Tell whether the operator's file says something about a rule."""
        return rule.name in self._overrides

    def unknown(self) -> list[str]:
        """Return the names in the operator's file that nothing asks for: no rule, and no ``rule:name`` of the file."""
        used = " ".join(self._overrides.values())
        return [name for name in self._overrides if name not in RULES and f"rule:{name}" not in used]

    def tree(self, name: str) -> Node:
        """Return what a rule asks for, as a tree."""
        text = self._overrides.get(name)
        if text is None:
            if name not in RULES:
                raise PolicyError(f"unknown rule {name}")
            text = RULES[name].check
        return self._parse(name, text)

    def _compile(self, name: str, text: str) -> Check:
        return self._parse(name, text).compile(self.named)

    def _parse(self, name: str, text: str) -> Node:
        try:
            return parse(text)
        except PolicyError as error:
            raise PolicyError(f"policy rule {name}: {error} in {text!r}") from error

    def named(self, name: str) -> Check:
        """Return the check that ``rule:name`` stands for, looked up when it is used."""

        def check(caller: Any, target: object) -> bool:
            compiled = self._compiled.get(name)
            if compiled is None:
                if name not in RULES:
                    raise PolicyError(f"unknown rule {name}")
                compiled = self._compiled[name] = self._compile(name, RULES[name].check)
            return compiled(caller, target)

        return check
