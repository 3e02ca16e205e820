"""Every rule that has an upstream name, against upstream's own default.

data/upstream_personas.json is what oslo.policy answers for every rule of the newest Nova, Cinder, Glance, Neutron and
Placement and every persona: role, scope of the token, own or another's project; one digit for each persona.  The thing
judged belongs to the persona's project or another's, and so does the network it is on.  Checks of Neutron that look
at a row's fields (shared, external) are taken for false.  Identity has a table of its own (test_keystone_personas).
"""

import json
from pathlib import Path

import pytest

from pileus.kernel.context import Caller, Context
from pileus.kernel.policy import RULES, Policy
from tests.everywhere import ways

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
}
READERS = {f"{role}/project/other" for role in ("manager", "member", "reader")}
SERVICES = {"service/project/own", "service/project/other"}
ADMINS = {"admin/project/own", "admin/project/other"}

SEEN_BY_ROW = {
    "get_address_scope": READERS | SERVICES,
    "get_floatingip": READERS | SERVICES,
    "get_floatingip:tags": READERS | SERVICES,
    "get_network": READERS,
    "get_network:tags": READERS | SERVICES,
    "get_port": READERS,
    "get_port:tags": READERS | SERVICES,
    "get_rbac_policy": READERS | SERVICES,
    "get_router": READERS | SERVICES,
    "get_router:tags": READERS | SERVICES,
    "get_security_group": READERS | SERVICES,
    "get_security_group:tags": READERS | SERVICES,
    "get_security_group_rule": READERS | SERVICES,
    "get_subnet": READERS,
    "get_subnet:tags": READERS | SERVICES,
    "get_subnetpool": READERS | SERVICES,
    "get_subnetpool:tags": READERS | SERVICES,
    "download_image": READERS - {"reader/project/other"},
    "get_image": READERS,
    "get_images": READERS,
    "get_member": READERS,
    "get_members": READERS,
    "volume_extension:type_get": READERS,
    "volume_extension:types_extra_specs:index": READERS,
    "volume_extension:types_extra_specs:show": READERS,
    "os_compute_api:os-flavor-extra-specs:index": READERS,
    "os_compute_api:os-flavor-extra-specs:show": READERS,
}
"""Reads: the rule says which roles read, and the query which rows are there for them (own, shared, public); what is
not is 404.  Flavors and volume types belong to no project, and Networking's reads are for services too."""
DIFFERENT = {
    **SEEN_BY_ROW,
    # A token of a domain is never the cloud's administrator; upstream leaves that to the scopes of the rules.
    "context_is_admin": {"admin/domain/own", "admin/domain/other"},
    # The administrator may do by hand what upstream leaves to Nova alone.
    "create_port:binding:profile": ADMINS,
    "update_port:binding:profile": ADMINS,
    "placement:reshaper:reshape": ADMINS,
    # Services do in Networking what upstream's role advsvc does.
    "update_port:tags": SERVICES,
    "delete_port:tags": SERVICES,
    "get_availability_zone": SERVICES,
    "get_service_provider": SERVICES,
    # Who uses a project may read its quota; upstream decides that outside of the rule.
    "get_quota": {"member/project/own", "reader/project/own"},
}
"""The personas for whom a rule answers otherwise than upstream's, and why."""


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
