"""What a client of /allocation_candidates asks for, read from the URL's parameters.

Rule: parameters with one suffix are one group, met by one provider; those without may be met by several of a tree.
Format: https://docs.openstack.org/api-ref/placement/#list-allocation-candidates
"""

import re
from collections.abc import Iterable
from dataclasses import dataclass, field

from pileus.kernel import ids
from pileus.kernel.context import Version
from pileus.kernel.db import Tx
from pileus.kernel.errors import Invalid
from pileus.services.placement.app import inventory

_GROUP = re.compile(r"^(resources|required|member_of|in_tree)(|[1-9][0-9]*|[a-zA-Z0-9_-]{1,64})$")
_NUMBER = re.compile(r"^[1-9][0-9]*$")
CLASS = re.compile(r"^[A-Z0-9_]{1,255}$")


@dataclass(slots=True)
class Group:
    """One group of a request.  Of each set in ``required`` and ``member_of`` one must be there."""

    suffix: str
    resources: dict[str, int] = field(default_factory=dict)
    required: list[set[str]] = field(default_factory=list)
    forbidden: set[str] = field(default_factory=set)
    member_of: list[set[str]] = field(default_factory=list)
    not_member_of: set[str] = field(default_factory=set)
    in_tree: str | None = None


@dataclass(slots=True)
class Wanted:
    """A whole request."""

    groups: dict[str, Group] = field(default_factory=dict)
    isolate: bool = False
    limit: int | None = None
    root_required: set[str] = field(default_factory=set)
    root_forbidden: set[str] = field(default_factory=set)
    same_subtrees: list[set[str]] = field(default_factory=list)

    @property
    def classes(self) -> set[str]:
        return {name for group in self.groups.values() for name in group.resources}


def parse_resources(text: str) -> dict[str, int]:
    """Return ``VCPU:1,MEMORY_MB:512`` as a mapping; raise Invalid."""
    found: dict[str, int] = {}
    for part in text.split(","):
        name, _, amount = part.partition(":")
        if not CLASS.match(name) or not amount.isascii() or not amount.isdigit() or int(amount) < 1 or name in found:
            raise Invalid(
                f"Badly formed resources parameter. Expected resources query string parameter in form: "
                f"?resources=VCPU:2,MEMORY_MB:1024. Got: {text[:200]}."
            )
        found[name] = int(amount)
    return found


def add_traits(group: Group, text: str, version: Version) -> None:
    """Add ``A,!B`` or ``in:A,B`` to a group; raise Invalid."""
    if text.startswith("in:"):
        if version < (1, 39):
            raise Invalid("The syntax 'required=in:...' is only supported since microversion 1.39.")
        group.required.append(_words(text.removeprefix("in:"), text))
        return
    for word in _words(text, text):
        if word.startswith("!"):
            if version < (1, 22):
                raise Invalid("Forbidden traits ('!TRAIT') are only supported since microversion 1.22.")
            group.forbidden.add(word[1:])
        else:
            group.required.append({word})


def _words(text: str, whole: str) -> set[str]:
    words = {word.strip() for word in text.split(",")}
    if "" in words or "!" in words:
        raise Invalid(f"Invalid query string parameters: Expected a comma-separated list, got: {whole[:200]!r}.")
    return words


def add_aggregates(group: Group, text: str, version: Version) -> None:
    """Add ``uuid``, ``in:u1,u2``, ``!uuid`` or ``!in:u1,u2`` to a group; raise Invalid."""
    negated = text.startswith("!")
    if negated and version < (1, 32):
        raise Invalid("Forbidden member_of parameters are only supported since microversion 1.32.")
    rest = text.removeprefix("!")
    uuids = set(rest.removeprefix("in:").split(",")) if rest.startswith("in:") else {rest}
    if not all(ids.is_uuid(uuid) for uuid in uuids):
        raise Invalid(f"Expected 'member_of' parameter to contain valid UUID(s), got: {text[:200]}.")
    if negated:
        group.not_member_of |= uuids
    else:
        group.member_of.append(uuids)


def parse(items: Iterable[tuple[str, str]], version: Version) -> Wanted:
    """Return what the parameters ask for; raise Invalid, naming the parameter."""
    wanted = Wanted()
    policy = None
    seen: set[str] = set()
    for key, value in items:
        if key in seen and not _may_repeat(key, version):
            raise Invalid(f"Invalid query string parameters: '{key}' was given more than once.")
        seen.add(key)
        if key == "limit" and version >= (1, 16):
            wanted.limit = _limit(value)
        elif key == "group_policy" and version >= (1, 25):
            policy = _policy(value)
        elif key == "root_required" and version >= (1, 35):
            _root(wanted, value)
        elif key == "same_subtree" and version >= (1, 36):
            wanted.same_subtrees.append(set(value.split(",")))
        else:
            _group_parameter(wanted, key, value, version)
    wanted.isolate = policy == "isolate"
    _check(wanted, policy, version)
    return wanted


def _may_repeat(key: str, version: Version) -> bool:
    if key.startswith("member_of"):
        return version >= (1, 24)
    return key == "same_subtree" or (key.startswith("required") and version >= (1, 39))


def _limit(value: str) -> int:
    if not _NUMBER.match(value):
        raise Invalid(f"Invalid query string parameters: limit must be a number of 1 or more, not {value[:40]!r}.")
    return int(value)


def _policy(value: str) -> str:
    if value not in ("none", "isolate"):
        raise Invalid(f"Invalid query string parameters: group_policy must be 'none' or 'isolate', not {value[:40]!r}.")
    return value


def _root(wanted: Wanted, value: str) -> None:
    group = Group("")
    add_traits(group, value, (1, 38))
    wanted.root_required = {trait for words in group.required for trait in words}
    wanted.root_forbidden = group.forbidden
    if wanted.root_required & wanted.root_forbidden:
        raise Invalid("Conflicting required and forbidden traits in root_required.")


def _group_parameter(wanted: Wanted, key: str, value: str, version: Version) -> None:
    match = _GROUP.match(key)
    suffix = match.group(2) if match else ""
    named = suffix != "" and not _NUMBER.match(suffix)
    if match is None or (suffix and version < (1, 25)) or (named and version < (1, 33)):
        raise Invalid(f"Invalid query string parameters: Additional properties are not allowed ('{key}').")
    group = wanted.groups.setdefault(suffix, Group(suffix))
    match match.group(1):
        case "resources":
            group.resources = parse_resources(value)
        case "required" if version >= (1, 17):
            add_traits(group, value, version)
        case "member_of" if version >= (1, 21):
            add_aggregates(group, value, version)
        case "in_tree" if version >= (1, 31):
            if not ids.is_uuid(value):
                raise Invalid(f"Expected '{key}' parameter to be a UUID, got: {value[:200]}.")
            group.in_tree = value
        case other:
            raise Invalid(f"Invalid query string parameters: '{other}' came with a later microversion.")


def _check(wanted: Wanted, policy: str | None, version: Version) -> None:
    if not wanted.classes:
        raise Invalid("Invalid query string parameters: 'resources' is a required property.")
    together = set().union(*wanted.same_subtrees)
    for suffix in together - wanted.groups.keys() - {""}:
        raise Invalid(f"Real suffixes should be specified in same_subtree: {suffix[:64]!r} is none.")
    if "" in together:
        raise Invalid("Empty string (unsuffixed group) can not be specified in 'same_subtree'.")
    for group in wanted.groups.values():
        if not group.resources and group.suffix not in together:
            raise Invalid(
                f"All member_of, required and in_tree parameters must be used together with resources: "
                f"the group '{group.suffix}' has none."
            )
        if any(words <= group.forbidden for words in group.required):
            raise Invalid(f"Conflicting required and forbidden traits in the group '{group.suffix}'.")
    if sum(1 for group in wanted.groups.values() if group.suffix and group.resources) > 1 and policy is None:
        raise Invalid('The "group_policy" parameter is required when specifying more than one "resources{N}" group.')


def check_names(tx: Tx, wanted: Wanted) -> None:
    """Raise Invalid for classes and traits that do not exist."""
    unknown = inventory.unknown_classes(tx, wanted.classes)
    if unknown:
        raise Invalid(f"Invalid resource class in resources parameter: No such resource class {', '.join(unknown)}.")
    traits = {trait for group in wanted.groups.values() for words in group.required for trait in words}
    traits |= {trait for group in wanted.groups.values() for trait in group.forbidden}
    inventory.require_traits(tx, traits | wanted.root_required | wanted.root_forbidden)
