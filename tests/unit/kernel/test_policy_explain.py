"""An explanation says by which way a rule holds, and otherwise what would make it hold."""

import pytest

from pileus.kernel.context import Caller
from pileus.kernel.policy import Policy, PolicyError, Rule
from pileus.kernel.policy_explain import explain
from pileus.kernel.policy_language import parse

EDIT = Rule(
    "toys:edit",
    "role:admin or (role:manager and domain_id:%(target.toy.domain_id)s) or (role:member and not system_scope:all"
    " and project_id:%(target.toy.project_id)s)",
)
TOY = {"target": {"toy": {"project_id": "p1", "domain_id": "d1"}}}


def caller(*roles: str, **where: object) -> Caller:
    return Caller(user_id="u1", roles=frozenset(roles), **where)  # pyright: ignore[reportArgumentType]


def test_it_names_the_way_that_allows():
    verdict = explain(Policy(), EDIT, caller("member", "reader", project_id="p1"), TOY)
    assert verdict.allowed
    assert verdict.way == "role:member and not system_scope:all and project_id:%(target.toy.project_id)s"


def test_it_names_what_the_nearest_ways_lack():
    verdict = explain(Policy(), EDIT, caller("member", project_id="p2"), TOY)
    assert not verdict.allowed
    assert set(verdict.lacking) == {
        ("the role admin",),
        ("a token for project p1",),
        ("the role manager", "a token for domain d1"),
    }


def test_a_way_that_needs_more_than_another_is_not_named():
    verdict = explain(Policy({"toys:edit": "role:admin or (role:admin and system_scope:all)"}), EDIT, caller(), TOY)
    assert verdict.lacking == (("the role admin",),)


def test_a_target_without_the_attribute_is_said_so():
    verdict = explain(Policy({"toys:edit": "project_id:%(project_id)s"}), EDIT, caller(project_id="p1"), {})
    assert verdict.lacking == (("a target with project_id, which this one has not",),)


def test_rules_that_lead_to_rules_are_followed_and_circles_end():
    policy = Policy({"toys:edit": "rule:a", "a": "rule:b or role:tinker", "b": "rule:a"})
    assert explain(policy, EDIT, caller("tinker"), TOY).allowed
    assert policy.unknown() == []
    with pytest.raises(PolicyError, match="unknown rule gone"):
        explain(Policy({"toys:edit": "rule:gone"}), EDIT, caller(), TOY)


def test_a_rule_that_is_forbidden_to_all_is_said_so():
    assert explain(Policy({"toys:edit": "!"}), EDIT, caller("admin"), TOY).lacking == (
        ("nothing: the rule forbids it to all",),
    )


@pytest.mark.parametrize("text", ["@", "!", "role:a", "role:a and (role:b or not x:%(y)s)", "'v':%(target.a.b)s"])
def test_a_tree_is_written_as_it_was_read(text):
    assert str(parse(text)) == text


def test_the_file_s_useless_names_are_found():
    assert Policy({"toys:edit": "@", "toys:edti": "@"}).unknown() == ["toys:edti"]
