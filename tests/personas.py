"""``python -m tests.personas``: writes docs/personas.md, who may do what in the whole cloud, from the declarations.

Rule: the table is judged, not written: each rule's default, for each persona, on a thing of the persona's own project
and domain, and on a stranger's.
"""

import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from pileus.kernel.context import Caller, Context
from pileus.kernel.policy import RULES, Policy, Rule
from tests.everywhere import Way, ways
from tests.upstream import DIFFERENCES

TARGET_FILE = Path(__file__).parent.parent / "docs" / "personas.md"
CHAIN = ["admin", "manager", "member", "reader"]
PROJECT, DOMAIN, SOMEBODY = "p1", "d1", "u1"


def persona(role: str, scope: str, project: str = PROJECT, domain: str = DOMAIN, user: str = "u2") -> Caller:
    """Return a caller with a role, and those it implies, on a project, a domain or the system."""
    roles = CHAIN[CHAIN.index(role) :] if role in CHAIN else [role] if role else []
    return Caller(
        user_id=user,
        user_domain_id=domain,
        project_id=project if scope == "project" else None,
        project_domain_id=domain if scope == "project" else None,
        domain_id=domain if scope == "domain" else None,
        system=scope == "system",
        roles=frozenset(roles),
    )


PERSONAS = {
    **{f"project {role}": persona(role, "project") for role in (*CHAIN, "service")},
    **{f"domain {role}": persona(role, "domain") for role in (*CHAIN, "service")},
    **{f"system {role}": persona(role, "system") for role in (*CHAIN, "service")},
    "owner": persona("", "", user=SOMEBODY),
    "stranger": persona("manager", "project", "p2", "d2", "u3"),
    "stranger of a domain": persona("admin", "domain", "p2", "d2", "u3"),
}
"""``owner``: the user a thing belongs to, with no role; ``stranger``: a manager of another project, an admin of another
domain."""


class Thing(Mapping[str, Any]):
    """What rules are judged against: it belongs to project p1, domain d1 and user u1, whatever it is asked for."""

    def __getitem__(self, path: str) -> Any:
        words = path.replace("_id", ".id").split(".")
        if words[-1] == "read_project_access":
            return True
        if path in ("owner", "member_id"):
            return PROJECT
        if path.endswith("role.name"):
            return "member"
        if path.endswith("role.domain_id"):
            return ""
        for word, value in (("project", PROJECT), ("domain", DOMAIN)):
            if words[-2:] == [word, "id"] or (words[-2:-1] and words[-2].endswith(f"_{word}")):
                return value
        if words[-1] == "id" and words[-2].endswith(("user", "creator")):
            return SOMEBODY
        raise KeyError(path)

    def __contains__(self, path: object) -> bool:
        try:
            return isinstance(path, str) and self[path] is not None
        except (KeyError, IndexError):
            return False

    def __iter__(self) -> Any:
        return iter(())

    def __len__(self) -> int:
        return 0


def allowed(policy: Policy, rule: Rule) -> set[str]:
    """Return the personas whom a rule allows."""
    return {name for name, caller in PERSONAS.items() if Context(caller, policy).allows(rule, Thing())}


def by_rule() -> dict[str, list[Way]]:
    """Return the endpoints that each rule guards; a rule that is judged inside others guards none."""
    every = list(ways())  # declares the rules
    found: dict[str, list[Way]] = {name: [] for name in RULES}
    for way in every:
        if way.endpoint.route.rule is not None:
            found[way.endpoint.route.rule.name].append(way)
    return found


def differences() -> list[tuple[str, dict[str, set[str]]]]:
    """Return why and in which rules the projects' services differ from upstream's."""
    return [(reason.rstrip("."), rules) for reason, rules in DIFFERENCES.items()]


def document() -> str:
    """Return the table."""
    guarded, policy = by_rule(), Policy()
    count = sum(len(found) for found in guarded.values())
    lines = [
        "# Who may do what",
        f"Written by `python -m tests.personas` from the declarations: {len(guarded)} rules guard {count} endpoints.",
        "Each rule's default is judged for each persona: a role, with those it implies, in a token for the thing's own",
        "project, its domain, or the system. A: admin, M: manager, m: member, r: reader, s: service. *owner* is the",
        "user a thing belongs to, without any role; *stranger* a manager of another project, or an admin of another",
        "domain. `pileus policy explain` says the same of real people and things, with the operator's `policy.yaml`.",
        "A stranger's *yes* means that the request is answered, with what the stranger may see. Tests send every one",
        "of these requests without a token, which is refused, with tokens of the wrong scope, which is 403, and about",
        "things of another project, which is answered as if they were not there (in Key Manager, as upstream: 403).",
        "",
        "## Scopes",
        "Every rule says for which scopes a token may be, as upstream's `scope_types`, and this is always enforced.",
        "Everywhere but in Identity that is a project: the cloud's administrator works with a token for a project. In",
        "Identity a token for the system reads and administers all, one for a domain that domain only.",
        "",
        "## Where this differs from upstream",
        "Compared, rule by rule and persona by persona, with what oslo.policy answers for the newest Nova, Cinder,",
        "Glance, Neutron, Placement, Barbican and Keystone (`tests/api/test_upstream_personas.py`,",
        "`tests/api/identity/test_keystone_personas.py`):",
        "- Identity: an admin with a token for a domain is what a manager is, that domain's. Keystone's rule",
        "  `admin_required` makes it the administrator of every domain.",
        "- Block Storage: Cinder's rules name no scopes; here they are for projects, as every other service's.",
        *(f"- {reason}: {', '.join(f'`{name}`' for name in rules)}." for reason, rules in differences()),
        "- Rules of what upstream guards by no rule, or under a service's private name: `pileus:requests:show`,",
        "  `object_store:*`, `os_compute_api:flavors`, `os_compute_api:images`, `get_usage`, `get_extension`,",
        "  `volume:attachment_get`, `volume:attachment_get_all`,",
        "  `volume:availability_zone_list`, `volume:list_extensions`.",
    ]
    groups: dict[str, list[str]] = {}
    for name, found in sorted(guarded.items()):
        service = found[0].service.type if found else ""
        groups.setdefault(service, []).append(_line(name, found, allowed(policy, RULES[name])))
    head = [
        "| rule | requests | project | domain | system | owner | stranger |",
        "| --- | --- | --- | --- | --- | --- | --- |",
    ]
    for service, rows in sorted(groups.items(), key=lambda pair: (not pair[0], pair[0])):
        lines += ["", f"## {service.replace('_', ' ').capitalize() or 'Judged inside other requests'}", *head, *rows]
    return "\n".join(lines) + "\n"


def _line(name: str, found: list[Way], who: set[str]) -> str:
    letters = {"admin": "A", "manager": "M", "member": "m", "reader": "r", "service": "s"}
    cells = [
        "".join(letters[role] for role in (*CHAIN, "service") if f"{scope} {role}" in who)
        for scope in ("project", "domain", "system")
    ]
    first = f"`{found[0].name}`" if found else ""
    more = f" and {len(found) - 1} more" if len(found) > 1 else ""
    cells += ["yes" if "owner" in who else "", "yes" if any(one.startswith("stranger") for one in who) else ""]
    return f"| `{name}` | {first}{more} | {' | '.join(cells)} |"


if __name__ == "__main__":
    TARGET_FILE.write_text(document())
    sys.stdout.write(f"{TARGET_FILE}: {len(RULES)} rules\n")
