"""Mapping rules: their form, and what they make of what a provider says of somebody.

Rule: this file knows no database; it turns an assertion (attribute to values) into a description of who that is.
"""

import re
from collections.abc import Mapping as MappingType
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Annotated, Any, Literal

import msgspec

from pileus.kernel.errors import Invalid, Unauthenticated

VERSIONS = ("1.0", "2.0")
"""Of the form of the rules; in 2.0 users and projects may be in a domain that the rule names."""
Assertion = MappingType[str, Sequence[str]]
_WITH_DOMAIN = "JSON:"
_BLANK = re.compile(r"\{(\d+)\}")


class _Part(msgspec.Struct, kw_only=True, forbid_unknown_fields=True, omit_defaults=True):
    pass


class Domain(_Part):
    """A domain by id or by name."""

    id: str | None = None
    name: str | None = None


class UserRule(_Part):
    id: str | None = None
    name: str | None = None
    email: str | None = None
    domain: Domain | None = None
    type: Literal["ephemeral", "local"] | None = None


class GroupRule(_Part):
    """A group by id, or by name and domain."""

    id: str | None = None
    name: str | None = None
    domain: Domain | None = None


class RoleRule(_Part):
    name: str


class ProjectRule(_Part):
    name: str
    roles: list[RoleRule]
    domain: Domain | None = None


class Local(_Part):
    user: UserRule | None = None
    group: GroupRule | None = None
    groups: str | None = None
    group_ids: str | None = None
    projects: list[ProjectRule] | None = None
    domain: Domain | None = None


class Remote(_Part):
    type: str
    any_one_of: list[str] | None = None
    not_any_of: list[str] | None = None
    whitelist: list[str] | None = None
    blacklist: list[str] | None = None
    regex: bool = False

    @property
    def conditions(self) -> list[list[str]]:
        """Return the conditions it has: one at most makes sense."""
        given = (self.any_one_of, self.not_any_of, self.whitelist, self.blacklist)
        return [values for values in given if values is not None]


class MappingRule(_Part):
    local: list[Local]
    remote: Annotated[list[Remote], msgspec.Meta(min_length=1)]


Rules = Annotated[list[MappingRule], msgspec.Meta(min_length=1)]


@dataclass(slots=True)
class Mapped:
    """Who somebody is here, by the rules that applied."""

    user: UserRule | None = None
    group_ids: set[str] = field(default_factory=set)
    groups: list[tuple[str, Domain]] = field(default_factory=list)
    """By name and domain."""
    projects: list[ProjectRule] = field(default_factory=list)
    user_domain: Domain | None = None


def check_rules(rules: Any, version: str) -> None:
    """Raise Invalid when rules have not the form of their version."""
    if version not in VERSIONS:
        raise Invalid(f"There is no schema version {version!r} of mappings: use {' or '.join(VERSIONS)}.")
    try:
        found = msgspec.convert(rules, Rules)
    except msgspec.ValidationError as error:
        raise Invalid(f"Invalid input for mapping.rules: {error}.") from None
    for rule in found:
        for remote in rule.remote:
            _check_remote(remote)
        for local in rule.local:
            _check_local(local, version)


def _check_remote(remote: Remote) -> None:
    if len(remote.conditions) > 1:
        raise Invalid(
            f"The remote rule for {remote.type} has more than one of any_one_of, not_any_of, whitelist and blacklist: "
            "write several remote rules."
        )
    if not remote.regex:
        return
    if not remote.conditions:
        raise Invalid(f"The remote rule for {remote.type} has regex but nothing to compare with.")
    for pattern in remote.conditions[0]:
        try:
            re.compile(pattern)
        except re.error as error:
            raise Invalid(
                f"{pattern!r} in the remote rule for {remote.type} is no regular expression: {error}."
            ) from None


def _check_local(local: Local, version: str) -> None:
    group = local.group
    if group is not None and ((group.id is None) == (group.name is None) or (group.name and group.domain is None)):
        raise Invalid("A group in a local rule has either an id, or a name and a domain.")
    if version == "1.0" and any(project.domain is not None for project in local.projects or ()):
        raise Invalid("Projects of a local rule have a domain only in schema version 2.0.")


def apply(rules: Any, version: str, assertion: Assertion) -> Mapped:
    """Return who the rules make of an assertion; raise Unauthenticated when none of them applies."""
    mapped, applied = Mapped(), False
    for rule in msgspec.convert(rules, Rules):
        values = _matches(rule.remote, assertion)
        if values is None:
            continue
        for local in rule.local:
            applied = True
            _collect(mapped, _filled(local, values), version)
    if not applied:
        raise Unauthenticated(
            "No rule of the mapping applies to what the identity provider said, so it is not known who this is here. "
            "An administrator can compare the mapping's remote rules with the attributes that the provider sends."
        )
    return mapped


def _matches(remotes: list[Remote], assertion: Assertion) -> list[list[str]] | None:
    """Return the values for ``{0}``, ``{1}`` and so on; None when a remote rule does not hold."""
    found: list[list[str]] = []
    for remote in remotes:
        values = list(assertion.get(remote.type, ()))
        if not values:
            return None
        if remote.any_one_of is not None:
            if not any(_is_one_of(value, remote.any_one_of, remote.regex) for value in values):
                return None
        elif remote.not_any_of is not None:
            if any(_is_one_of(value, remote.not_any_of, remote.regex) for value in values):
                return None
        elif remote.blacklist is not None:
            found.append([value for value in values if not _is_one_of(value, remote.blacklist, remote.regex)])
        elif remote.whitelist is not None:
            found.append([value for value in values if _is_one_of(value, remote.whitelist, remote.regex)])
        else:
            found.append(values)
    return found


def _is_one_of(value: str, wanted: list[str], regex: bool) -> bool:
    return any(re.search(pattern, value) for pattern in wanted) if regex else value in wanted


@dataclass(slots=True)
class _Filled:
    local: Local
    groups: list[str] | None
    group_ids: list[str]


def _filled(local: Local, values: list[list[str]]) -> _Filled:
    """Return a local rule with its blanks filled in; a blank alone in groups or group_ids stands for a list."""
    plain = {name: value for name, value in msgspec.to_builtins(local).items() if name not in ("groups", "group_ids")}
    return _Filled(
        msgspec.convert(_fill(plain, values), Local),
        None if local.groups is None else _names(local.groups, values),
        [] if local.group_ids is None else _names(local.group_ids, values),
    )


def _fill(part: Any, values: list[list[str]]) -> Any:
    if isinstance(part, dict):
        return {name: _fill(value, values) for name, value in part.items()}
    if isinstance(part, list):
        return [_fill(value, values) for value in part]
    return _text(part, values) if isinstance(part, str) else part


def _text(template: str, values: list[list[str]]) -> str:
    return _BLANK.sub(lambda match: ";".join(_value(int(match.group(1)), values)), template)


def _value(number: int, values: list[list[str]]) -> list[str]:
    if number >= len(values):
        raise Unauthenticated(
            f"The mapping has the blank {{{number}}} in a local rule, but its remote rules yield {len(values)} values. "
            "An administrator has to mend the mapping."
        )
    return values[number]


def _names(template: str, values: list[list[str]]) -> list[str]:
    alone = _BLANK.fullmatch(template.strip())
    if alone is not None:
        return [name for name in _value(int(alone.group(1)), values) if name]
    text = _text(template, values)
    return [name for name in text.split(";") if name] if _BLANK.search(template) else [text]


def _collect(mapped: Mapped, filled: _Filled, version: str) -> None:
    local = filled.local
    domain = local.domain if version == "2.0" else None
    if local.user is not None and mapped.user is None:
        mapped.user = local.user
        mapped.user_domain = local.user.domain or domain
    if local.group is not None:
        if local.group.id is not None:
            mapped.group_ids.add(local.group.id)
        elif local.group.name is not None and local.group.domain is not None:
            mapped.groups.append((local.group.name, local.group.domain))
    if filled.groups is not None:
        own = [group for name in filled.groups if (group := _group_with_domain(name)) is not None]
        if local.domain is None and len(own) == len(filled.groups):
            mapped.groups.extend(own)
        elif local.domain is None:
            raise Unauthenticated(
                "The mapping names groups without their domain. An administrator has to add one to that local rule."
            )
        else:
            mapped.groups.extend((name, local.domain) for name in filled.groups)
    mapped.group_ids.update(filled.group_ids)
    for project in local.projects or ():
        mapped.projects.append(msgspec.structs.replace(project, domain=project.domain or domain))


def _group_with_domain(text: str) -> tuple[str, Domain] | None:
    """Return a group that another cloud names with its domain: ``JSON:{"name": ..., "domain": {"name": ...}}``.

    It counts only where the rule names no domain: else a provider could reach into others.
    """
    if not text.startswith(_WITH_DOMAIN):
        return None
    try:
        found = msgspec.json.decode(text.removeprefix(_WITH_DOMAIN), type=GroupRule)
    except msgspec.DecodeError:
        return None
    return (found.name, found.domain) if found.name is not None and found.domain is not None else None
