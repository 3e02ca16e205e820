"""The personas of secure RBAC against the newest Keystone's own rules.

data/keystone_personas.json is what oslo.policy answers for every rule of Keystone 30.0.0 and every persona: role,
scope, own or another's project and domain, owner of the thing or not; one digit for each persona.
"""

import json
from pathlib import Path

import pytest

from pileus.kernel.context import Caller, Context
from pileus.kernel.policy import RULES, Policy
from pileus.services.identity import service

RECORDED = json.loads((Path(__file__).parent / "data" / "keystone_personas.json").read_text())
PERSONAS = RECORDED["personas"]
IMPLIED = ["admin", "manager", "member", "reader"]
NOT_ASKED = {
    "identity:revocation_list",  # of the PKI tokens of old
    "identity:list_projects_for_user",  # a name of the past for get_auth_projects
    "identity:list_domains_for_user",
    "identity:revoke_tokens_for_user",  # guards no request
}
DIFFERENT = {
    # Who gave an access token may take it back.
    "identity:delete_access_token": {"none/none/own/owner"},
}
"""Personas for whom a rule answers otherwise here, and why."""

TARGET = {
    "user_id": "u1",
    "project_id": "p1",
    "domain_id": "d1",
    "target": {
        "user": {"id": "u1", "domain_id": "d1"},
        "group": {"id": "g1", "domain_id": "d1"},
        "project": {"id": "p1", "domain_id": "d1"},
        "domain": {"id": "d1"},
        "role": {"name": "member", "domain_id": ""},
        "token": {"user_id": "u1"},
        "credential": {"user_id": "u1"},
        "trust": {"trustor_user_id": "u1", "trustee_user_id": "u1"},
        "limit": {
            "project_id": "p1",
            "project": {"id": "p1", "domain_id": "d1"},
            "domain": {"id": "d1"},
            "domain_id": "d1",
        },
        "domain_id": "d1",
    },
}


def caller(persona: str) -> Caller:
    """Who a persona is."""
    role, scope, whose, owner = persona.split("/")
    project, domain = ("p1", "d1") if whose == "own" else ("p2", "d2")
    return Caller(
        user_id="u1" if owner == "owner" else "u2",
        user_domain_id=domain,
        project_id=project if scope == "project" else None,
        project_domain_id=domain if scope == "project" else None,
        domain_id=domain if scope == "domain" else None,
        system=scope == "system",
        roles=frozenset(IMPLIED[IMPLIED.index(role) :] if role in IMPLIED else [role]),
    )


def test_every_rule_of_keystone_is_here():
    assert service.SERVICE.type == "identity"
    assert {name for name in RECORDED["rules"] if name not in RULES} == NOT_ASKED


@pytest.mark.parametrize("name", [name for name in RECORDED["rules"] if name not in NOT_ASKED])
def test_a_rule_answers_each_persona_as_keystones_does(name):
    policy, rule = Policy(), RULES[name]
    allowed = {one for one in PERSONAS if Context(caller(one), policy).allows(rule, TARGET)}
    theirs = {one for one, digit in zip(PERSONAS, RECORDED["rules"][name], strict=True) if digit == "1"}
    assert allowed ^ within_domains(theirs) == DIFFERENT.get(name, set())


def within_domains(theirs: set[str]) -> set[str]:
    """With a token for a domain an admin is what a manager is; Keystone's is administrator of every domain."""
    return {one for one in theirs if one.replace("admin/domain", "manager/domain") in theirs}
