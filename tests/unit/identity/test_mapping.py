"""Mapping rules: whom they make of what a provider says."""

import pytest

from pileus.kernel.errors import Invalid, Unauthenticated
from pileus.services.identity.app.federation.mapping import Domain, apply, check_rules

CORP = {"name": "Corp"}


def rule(local, *remote):
    return {"local": local, "remote": list(remote)}


def mapped(rules, assertion, version="1.0"):
    check_rules(rules, version)
    return apply(rules, version, assertion)


def user_of(found):
    assert found.user is not None
    return found.user


def test_blanks_are_filled_in_order_from_the_remote_rules_that_yield_values():
    rules = [
        rule(
            [{"user": {"name": "{0} {1}", "email": "{2}"}}],
            {"type": "first"},
            {"type": "kind", "any_one_of": ["staff"]},  # a condition yields no value
            {"type": "last"},
            {"type": "mail"},
        )
    ]
    said = {"first": ["Jane"], "kind": ["staff"], "last": ["Doe"], "mail": ["j@x.test"]}
    user = user_of(mapped(rules, said))
    assert (user.name, user.email) == ("Jane Doe", "j@x.test")


@pytest.mark.parametrize(
    ("condition", "values", "applies"),
    [
        ({"any_one_of": ["a", "b"]}, ["b"], True),
        ({"any_one_of": ["a"]}, ["ab"], False),
        ({"any_one_of": ["^a"], "regex": True}, ["ab"], True),
        ({"not_any_of": ["a"]}, ["b"], True),
        ({"not_any_of": ["a"]}, ["b", "a"], False),
        ({"not_any_of": ["a$"], "regex": True}, ["ba"], False),
        ({}, [], False),
    ],
)
def test_conditions_decide_whether_a_rule_applies(condition, values, applies):
    rules = [rule([{"user": {"name": "x"}}], {"type": "t", **condition})]
    if applies:
        assert user_of(mapped(rules, {"t": values})).name == "x"
    else:
        with pytest.raises(Unauthenticated):
            mapped(rules, {"t": values})


@pytest.mark.parametrize(
    ("filter", "left"),
    [
        ({"whitelist": ["a", "c"]}, ["a", "c"]),
        ({"blacklist": ["a"]}, ["b", "c"]),
        ({"whitelist": ["[ab]"], "regex": True}, ["a", "b"]),
        ({"blacklist": ["[ab]"], "regex": True}, ["c"]),
    ],
)
def test_lists_of_groups_can_be_narrowed(filter, left):
    rules = [
        rule([{"user": {"name": "{0}"}}, {"groups": "{1}", "domain": CORP}], {"type": "u"}, {"type": "g", **filter})
    ]
    found = mapped(rules, {"u": ["jane"], "g": ["a", "b", "c"]})
    assert found.groups == [(name, Domain(name="Corp")) for name in left]


def test_the_first_user_counts_and_groups_of_all_rules_add_up():
    rules = [
        rule([{"user": {"name": "{0}"}, "group": {"id": "g1"}}], {"type": "u"}),
        rule([{"user": {"name": "other"}, "group_ids": "{0}"}], {"type": "ids"}),
        rule([{"group": {"name": "staff", "domain": CORP}}], {"type": "absent"}),
    ]
    found = mapped(rules, {"u": ["jane"], "ids": ["g2", "g3"]})
    assert user_of(found).name == "jane"
    assert found.group_ids == {"g1", "g2", "g3"}
    assert found.groups == []


def test_what_a_provider_says_is_never_taken_for_a_rule():
    rules = [rule([{"user": {"name": "{0}"}, "groups": "{1}", "domain": CORP}], {"type": "u"}, {"type": "g"})]
    found = mapped(rules, {"u": ["{1}"], "g": ["['admins']", "{0.__class__}"]})
    assert user_of(found).name == "{1}"
    assert [name for name, _ in found.groups] == ["['admins']", "{0.__class__}"]


def test_version_2_puts_projects_and_users_into_a_named_domain():
    local = {
        "user": {"name": "{0}"},
        "domain": CORP,
        "projects": [{"name": "p", "roles": [{"name": "member"}]}, {"name": "q", "roles": [], "domain": {"id": "d"}}],
    }
    found = mapped([rule([local], {"type": "u"})], {"u": ["jane"]}, "2.0")
    assert found.user_domain == Domain(name="Corp")
    assert [project.domain for project in found.projects] == [Domain(name="Corp"), Domain(id="d")]


def test_a_blank_beyond_the_values_is_refused_with_its_number():
    rules = [rule([{"user": {"name": "{3}"}}], {"type": "u"})]
    with pytest.raises(Unauthenticated, match=r"\{3\}"):
        mapped(rules, {"u": ["jane"]})


@pytest.mark.parametrize(
    "rules",
    [
        [],
        [{"local": []}],
        [rule([], *[])],
        [rule([{"user": {"name": "x", "type": "robot"}}], {"type": "u"})],
        [rule([{"nonsense": 1}], {"type": "u"})],
        [rule([], {"type": "u", "any_one_of": ["a"], "not_any_of": ["b"]})],
        [rule([], {"type": "u", "regex": True})],
        [rule([], {"type": "u", "any_one_of": ["("], "regex": True})],
        [rule([], {"type": "u", "whitelist": "a"})],
        [rule([{"group": {"name": "g"}}], {"type": "u"})],
        [rule([{"group": {"id": "g", "name": "g", "domain": CORP}}], {"type": "u"})],
        [rule([{"projects": [{"name": "p", "roles": [], "domain": CORP}]}], {"type": "u"})],
        "rules",
    ],
)
def test_malformed_rules_are_refused(rules):
    with pytest.raises(Invalid):
        check_rules(rules, "1.0")


def test_unknown_schema_versions_are_refused():
    with pytest.raises(Invalid, match=r"3\.0"):
        check_rules([rule([], {"type": "u"})], "3.0")
