"""The language of policy checks: from text to a tree, and from a tree to a function that judges.

Rule: a tree says what a check asks for, so that it can be explained; the function it compiles to is what requests use.
Grammar: https://docs.openstack.org/oslo.policy/latest/reference/api/oslo_policy.policy.html
"""

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

Check = Callable[[Any, object], bool]
"""``check(caller, target)``"""
Named = Callable[[str], Check]
"""Finds the check that ``rule:name`` stands for."""


class PolicyError(ValueError):
    """A check that cannot be read: says where."""


@dataclass(frozen=True)
class Always:
    """``@``, and the empty check."""

    def compile(self, named: Named) -> Check:
        return lambda caller, target: True

    def __str__(self) -> str:
        return "@"


@dataclass(frozen=True)
class Never:
    """``!``"""

    def compile(self, named: Named) -> Check:
        return lambda caller, target: False

    def __str__(self) -> str:
        return "!"


@dataclass(frozen=True)
class HasRole:
    """``role:name``"""

    name: str

    def compile(self, named: Named) -> Check:
        name = self.name
        return lambda caller, target: name in caller.roles

    def __str__(self) -> str:
        return f"role:{self.name}"


@dataclass(frozen=True)
class SeeRule:
    """``rule:name``, looked up when it is used."""

    name: str

    def compile(self, named: Named) -> Check:
        return named(self.name)

    def __str__(self) -> str:
        return f"rule:{self.name}"


@dataclass(frozen=True)
class Matches:
    """``project_id:%(project_id)s``, ``system_scope:all``, ``'literal':%(attribute)s``, ``is_admin:True``.

    ``True:%(attribute)s`` asks for a truth of the target's, ``domain_id:None`` holds for tokens that are not for a
    domain, as in upstream's language.
    """

    left: str
    right: str

    @property
    def wanted(self) -> str | None:
        """The attribute of the target that is compared, None where the right side is a literal."""
        found = _TARGET.fullmatch(self.right)
        return found.group(1) if found else None

    def mine(self, caller: Any) -> object:
        """Return the caller's side."""
        if self.left.startswith("'"):
            return self.left.strip("'")
        if self.left in _LITERALS:
            return self.left
        if self.left == "system_scope":
            return "all" if caller.system else None
        return getattr(caller, self.left, None)

    def theirs(self, target: object) -> object:
        """Return the target's side."""
        wanted = self.wanted
        return attribute(target, wanted) if wanted else self.right

    def compile(self, named: Named) -> Check:
        wanted, right, value_of_caller = self.wanted, self.right, self.mine
        if self.left == "is_admin":
            admin = named("context_is_admin")
            return lambda caller, target: str(caller.domain_id is None and admin(caller, target)) == right
        if right == "None":
            return lambda caller, target: value_of_caller(caller) is None

        def check(caller: Any, target: object) -> bool:
            mine = value_of_caller(caller)
            theirs = attribute(target, wanted) if wanted else right
            return mine is not None and theirs is not None and str(mine) == str(theirs)

        return check

    def __str__(self) -> str:
        return f"{self.left}:{self.right}"


@dataclass(frozen=True)
class Not:
    """``not check``"""

    inner: "Node"

    def compile(self, named: Named) -> Check:
        inner = self.inner.compile(named)
        return lambda caller, target: not inner(caller, target)

    def __str__(self) -> str:
        return f"not {self.inner}"


@dataclass(frozen=True)
class AllOf:
    """``check and check``"""

    parts: tuple["Node", ...]

    def compile(self, named: Named) -> Check:
        checks = [part.compile(named) for part in self.parts]
        return lambda caller, target: all(check(caller, target) for check in checks)

    def __str__(self) -> str:
        return " and ".join(f"({part})" if isinstance(part, AnyOf) else str(part) for part in self.parts)


@dataclass(frozen=True)
class AnyOf:
    """``check or check``"""

    parts: tuple["Node", ...]

    def compile(self, named: Named) -> Check:
        checks = [part.compile(named) for part in self.parts]
        return lambda caller, target: any(check(caller, target) for check in checks)

    def __str__(self) -> str:
        return " or ".join(str(part) for part in self.parts)


Node = Always | Never | HasRole | SeeRule | Matches | Not | AllOf | AnyOf

_TOKEN = re.compile(r"\s*(\(|\)|'[^']*'\s*:\s*(?:%\([^)]*\)s|[^\s()])+|(?:%\([^)]*\)s|[^\s()])+)")
_LITERALS = ("True", "False")
_TARGET = re.compile(r"%\(([^)]+)\)s")


def parse(text: str) -> Node:
    """Return the tree of a check; raise PolicyError when it cannot be read."""
    return _Parser(text).parse()


class _Parser:
    """Recursive descent: or < and < not < ( ... )."""

    def __init__(self, text: str) -> None:
        self._tokens = [match.group(1) for match in _TOKEN.finditer(text)]
        self._at = 0

    def parse(self) -> Node:
        if not self._tokens:
            return Always()
        node = self._or()
        if self._peek() is not None:
            raise PolicyError(f"unexpected {self._peek()!r}")
        return node

    def _peek(self) -> str | None:
        return self._tokens[self._at] if self._at < len(self._tokens) else None

    def _take(self) -> str:
        token = self._peek()
        if token is None:
            raise PolicyError("unexpected end")
        self._at += 1
        return token

    def _or(self) -> Node:
        parts = [self._and()]
        while (self._peek() or "").lower() == "or":
            self._take()
            parts.append(self._and())
        return parts[0] if len(parts) == 1 else AnyOf(tuple(parts))

    def _and(self) -> Node:
        parts = [self._not()]
        while (self._peek() or "").lower() == "and":
            self._take()
            parts.append(self._not())
        return parts[0] if len(parts) == 1 else AllOf(tuple(parts))

    def _not(self) -> Node:
        if (self._peek() or "").lower() == "not":
            self._take()
            return Not(self._not())
        if self._peek() == "(":
            self._take()
            inner = self._or()
            if self._take() != ")":
                raise PolicyError("missing )")
            return inner
        return _atom(self._take())


def _atom(text: str) -> Node:
    if text == "@":
        return Always()
    if text == "!":
        return Never()
    kind, colon, match = text.partition(":")
    if not colon:
        raise PolicyError(f"{text!r} is not a check")
    if kind == "rule":
        return SeeRule(match)
    if kind == "role":
        return HasRole(match)
    return Matches(kind.strip(), match.strip())


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
