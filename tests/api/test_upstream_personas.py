"""Every rule that has an upstream name, against upstream's own default.

data/upstream_personas.json is what oslo.policy answers for every rule of the newest Nova, Cinder, Glance, Neutron,
Placement and Barbican and every persona: role, scope of the token, own or another's project; one digit for each
persona.  The thing judged belongs to project p1, and so does the network it is on; checks of Neutron that look at a
row's fields (shared, external) are taken for false.  Where and why answers differ stands in tests/upstream.py.
Identity has a table of its own (test_keystone_personas).
"""

import json
from pathlib import Path

import pytest

from pileus.kernel.context import Caller, Context
from pileus.kernel.policy import RULES, Policy
from tests.everywhere import ways
from tests.upstream import DIFFERENCES

RECORDED = json.loads((Path(__file__).parent / "data" / "upstream_personas.json").read_text())
PERSONAS = RECORDED["personas"]
IMPLIED = ["admin", "manager", "member", "reader"]
list(ways())  # declares every rule
NAMES = [(service, name) for service, rules in RECORDED["rules"].items() for name in rules if name in RULES]
TARGET = {
    "project_id": "p1",
    "user_id": "u1",
    "owner": "p1",
    "member_id": "p1",
    "network_project_id": "p1",
    "target_project": "p3",
    "action": "access_as_shared",
    "network_device": False,
    "target": {
        kind: {"project_id": "p1", "creator_id": "u9", "read_project_access": True}
        for kind in ("secret", "container", "order")
    },
}
DIFFERENT = {name: whom for rules in DIFFERENCES.values() for name, whom in rules.items()}


def caller(persona: str) -> Caller:
    """Return who a persona is."""
    role, scope, whose = persona.split("/")
    number = "1" if whose == "own" else "2"
    roles = IMPLIED[IMPLIED.index(role) :] if role in IMPLIED else [role]
    return Caller(
        user_id=f"u{number}",
        project_id=f"p{number}" if scope == "project" else None,
        domain_id=f"d{number}" if scope == "domain" else None,
        system=scope == "system",
        roles=frozenset(roles),
    )


@pytest.mark.parametrize(("service", "name"), NAMES)
def test_a_rule_answers_each_persona_as_upstreams_does(service: str, name: str) -> None:
    policy, rule = Policy(), RULES[name]
    allowed = {one for one in PERSONAS if Context(caller(one), policy).allows(rule, TARGET)}
    digits = RECORDED["rules"][service][name]
    theirs = {one for one, digit in zip(PERSONAS, digits, strict=True) if digit == "1"}
    if service == "cinder":
        # Cinder declares no scopes; its requests are those of a project all the same.
        theirs = {one for one in theirs if "/project/" in one or name == "context_is_admin"} - {"admin/system/own"}
        allowed -= {"admin/system/own"}
    assert allowed ^ theirs == DIFFERENT.get(name, set())


def test_most_rules_have_upstreams_name() -> None:
    assert len({name for _, name in NAMES}) > 390
