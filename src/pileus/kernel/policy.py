"""Rules that say who may do what, in the language of OpenStack's policy files.

Rule: a rule is declared beside the handler it guards; an operator's ``policy.yaml`` overrides it by name.
Grammar: https://docs.openstack.org/oslo.policy/latest/reference/api/oslo_policy.policy.html
"""

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import yaml

ADMIN = "role:admin"
READER = "role:reader and project_id:%(project_id)s"
MEMBER = "role:member and project_id:%(project_id)s"
MANAGER = "role:manager and project_id:%(project_id)s"
ADMIN_OR_READER = f"role:admin or ({READER})"
ADMIN_OR_MEMBER = f"role:admin or ({MEMBER})"
ADMIN_OR_MANAGER = f"role:admin or ({MANAGER})"
ADMIN_OR_SERVICE = "role:admin or role:service"
ANYONE = "@"
NOBODY = "!"


class Credentials(Protocol):
    """What a check looks at: the request's context fits."""

    @property
    def caller(self) -> Any: ...


Check = Callable[[Any, object], bool]
"""``check(caller, target)``"""

RULES: dict[str, "Rule"] = {}


@dataclass(frozen=True)
class Rule:
    """A rule and its default check; ``scope`` is for the reader of the sample file."""

    name: str
    check: str
    description: str = ""

    def __post_init__(self) -> None:
        known = RULES.setdefault(self.name, self)
        if known != self:
            raise ValueError(f"policy rule {self.name} is declared twice with different checks")


class PolicyError(ValueError):
    """A check that cannot be read: says where."""


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
        data = yaml.safe_load(path.read_text()) or {}
        if not isinstance(data, dict):
            raise PolicyError(f"{path}: expected a mapping of rule names to checks")
        return cls({str(name): str(text) for name, text in data.items()})

    def allows(self, rule: Rule, context: Credentials, target: object) -> bool:
        """Tell whether ``rule`` holds for this caller and target."""
        check = self._compiled.get(rule.name)
        if check is None:
            check = self._compiled[rule.name] = self._compile(rule.name, rule.check)
        return check(context.caller, target)

    def check_of(self, rule: Rule) -> str:
        """Return the check in force, as text."""
        return self._overrides.get(rule.name, rule.check)

    def _compile(self, name: str, text: str) -> Check:
        try:
            return _Parser(text, self).parse()
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


_TOKEN = re.compile(r"\s*(\(|\)|'[^']*'\s*:\s*(?:%\([^)]*\)s|[^\s()])+|(?:%\([^)]*\)s|[^\s()])+)")
_TARGET = re.compile(r"%\(([^)]+)\)s")


class _Parser:
    """Recursive descent: or < and < not < ( ... )."""

    def __init__(self, text: str, policy: Policy) -> None:
        self._tokens = [match.group(1) for match in _TOKEN.finditer(text)]
        self._at = 0
        self._policy = policy

    def parse(self) -> Check:
        if not self._tokens:
            return _always
        check = self._or()
        if self._peek() is not None:
            raise PolicyError(f"unexpected {self._peek()!r}")
        return check

    def _peek(self) -> str | None:
        return self._tokens[self._at] if self._at < len(self._tokens) else None

    def _take(self) -> str:
        token = self._peek()
        if token is None:
            raise PolicyError("unexpected end")
        self._at += 1
        return token

    def _or(self) -> Check:
        checks = [self._and()]
        while (self._peek() or "").lower() == "or":
            self._take()
            checks.append(self._and())
        return checks[0] if len(checks) == 1 else lambda c, t: any(check(c, t) for check in checks)

    def _and(self) -> Check:
        checks = [self._not()]
        while (self._peek() or "").lower() == "and":
            self._take()
            checks.append(self._not())
        return checks[0] if len(checks) == 1 else lambda c, t: all(check(c, t) for check in checks)

    def _not(self) -> Check:
        if (self._peek() or "").lower() == "not":
            self._take()
            inner = self._not()
            return lambda c, t: not inner(c, t)
        if self._peek() == "(":
            self._take()
            inner = self._or()
            if self._take() != ")":
                raise PolicyError("missing )")
            return inner
        return self._atom(self._take())

    def _atom(self, text: str) -> Check:
        if text == "@":
            return _always
        if text == "!":
            return _never
        kind, colon, match = text.partition(":")
        if not colon:
            raise PolicyError(f"{text!r} is not a check")
        if kind == "rule":
            return self._policy.named(match)
        if kind == "role":
            return lambda c, t: match in c.roles
        return _comparison(kind.strip(), match.strip())


def _comparison(left: str, right: str) -> Check:
    """``project_id:%(project_id)s``, ``system_scope:all``, ``'literal':%(attribute)s``, ``is_admin:True``."""
    found = _TARGET.fullmatch(right)
    target_of = found.group(1) if found else None

    def value_of_caller(caller: Any) -> object:
        if left.startswith("'"):
            return left.strip("'")
        if left == "system_scope":
            return "all" if caller.system else None
        if left == "is_admin":
            return str("admin" in caller.roles)
        return getattr(caller, left, None)

    def check(caller: Any, target: object) -> bool:
        mine = value_of_caller(caller)
        theirs = attribute(target, target_of) if target_of else right
        return mine is not None and theirs is not None and str(mine) == str(theirs)

    return check


def attribute(target: object, path: str) -> object:
    """Return ``target.path`` of a row, a struct or a mapping; absent is None.

    Upstream's ``target.user.domain_id`` walks down nested mappings; of a single row it is the last word that counts.
    """
    if isinstance(target, Mapping):
        if path in target:
            return target[path]
        head, dot, rest = path.partition(".")
        if dot and head in target:
            return attribute(target[head], rest)
        return target.get(path.rpartition(".")[2]) if path.startswith("target.") else None
    return getattr(target, path.rpartition(".")[2], None)


def _always(caller: Any, target: object) -> bool:
    return True


def _never(caller: Any, target: object) -> bool:
    return False
