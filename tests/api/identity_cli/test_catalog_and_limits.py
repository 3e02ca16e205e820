"""The catalog, what of it projects see, policies, and limits."""

import json

import pytest


@pytest.fixture
def toys(admin):
    """A service of its own with one endpoint; the endpoint's id."""
    admin("service create --name toybox --description Toys toys")
    yield admin("endpoint create --region RegionOne toys public http://toys.example/v1")["id"]
    admin("service delete toys")


def test_regions(admin):
    made = admin("region create --parent-region RegionOne --description Cold North")
    assert (made["region"], made["parent_region"], made["description"]) == ("North", "RegionOne", "Cold")
    admin("region set --description Colder North")
    assert admin("region show North")["description"] == "Colder"
    assert {row["Region"] for row in admin("region list")} == {"RegionOne", "North"}
    admin("region delete North")
    assert {row["Region"] for row in admin("region list")} == {"RegionOne"}


def test_services(admin):
    made = admin("service create --name toybox --description Toys --disable toys")
    assert (made["name"], made["type"], made["enabled"]) == ("toybox", "toys", False)
    admin("service set --name chest --enable --description Chest toys")
    shown = admin("service show toys")
    assert (shown["id"], shown["name"], shown["enabled"]) == (made["id"], "chest", True)
    assert ("chest", "toys") in {(row["Name"], row["Type"]) for row in admin("service list")}
    admin("service delete chest")
    assert "toys" not in {row["Type"] for row in admin("service list")}


def test_endpoints_and_the_catalog(admin, toys):
    shown = admin(f"endpoint show {toys}")
    assert (shown["url"], shown["interface"], shown["service_type"]) == ("http://toys.example/v1", "public", "toys")
    admin(f"endpoint set --url http://toys.example/v2/%(project_id)s {toys}")
    assert {row["ID"] for row in admin("endpoint list --service toys")} == {toys}
    project = admin("project show admin")["id"]
    (found,) = [row for row in admin("catalog list") if row["Type"] == "toys"]
    assert f"http://toys.example/v2/{project}" in str(found["Endpoints"])
    assert f"http://toys.example/v2/{project}" in str(admin("catalog show toys")["endpoints"])
    admin(f"endpoint delete {toys}")
    assert admin("endpoint list --service toys") == []


def test_a_project_sees_the_endpoints_it_is_tied_to(admin, demo, toys):
    admin(f"endpoint add project {toys} demo")
    assert {row["ID"] for row in admin("endpoint list --project demo")} == {toys}
    assert {row["Name"] for row in admin(f"endpoint list --endpoint {toys}")} == {"demo"}
    assert {row["Type"] for row in demo("catalog list")} == {"toys"}
    admin(f"endpoint remove project {toys} demo")
    assert {row["Type"] for row in demo("catalog list")} == {"identity", "toys"}


def test_endpoint_groups(admin, demo, toys, tmp_path):
    filters = tmp_path / "filters.json"
    filters.write_text(json.dumps({"interface": "public"}))
    made = admin(f"endpoint group create --description Open open {filters}")
    assert (made["name"], made["filters"]) == ("open", {"interface": "public"})
    filters.write_text(json.dumps({"service_id": admin("service show toys")["id"]}))
    admin(f"endpoint group set --name toys-only --filters {filters} open")
    assert admin("endpoint group show toys-only")["id"] == made["id"]
    admin("endpoint group add project toys-only demo")
    assert {row["Name"] for row in admin("endpoint group list --project demo")} == {"toys-only"}
    assert {row["Type"] for row in demo("catalog list")} == {"toys"}
    admin("endpoint group remove project toys-only demo")
    assert admin("endpoint group list --project demo") == []
    admin("endpoint group delete toys-only")
    assert admin("endpoint group list") == []


def test_policies(admin, tmp_path):
    rules = tmp_path / "rules.json"
    rules.write_text('{"a": "@"}')
    made = admin(f"policy create --type application/json {rules}")
    assert made["rules"] == '{"a": "@"}'
    rules.write_text('{"a": "!"}')
    admin(f"policy set --rules {rules} {made['id']}")
    assert admin(f"policy show {made['id']}")["rules"] == '{"a": "!"}'
    assert {row["ID"] for row in admin("policy list --long")} == {made["id"]}
    admin(f"policy delete {made['id']}")
    assert admin("policy list") == []


def test_limits(admin, toys):
    registered = admin("registered limit create --service toys --region RegionOne --default-limit 10 balls")
    assert (registered["resource_name"], registered["default_limit"]) == ("balls", 10)
    changed = admin(f"registered limit set --default-limit 12 --description Round {registered['id']}")
    assert changed["default_limit"] == 12
    assert admin(f"registered limit show {registered['id']}")["description"] == "Round"
    assert {row["Resource Name"] for row in admin("registered limit list --service toys")} == {"balls"}
    made = admin("limit create --service toys --region RegionOne --project demo --resource-limit 3 balls")
    assert (made["resource_limit"], made["project_id"]) == (3, admin("project show demo")["id"])
    assert admin(f"limit set --resource-limit 4 {made['id']}")["resource_limit"] == 4
    assert admin(f"limit show {made['id']}")["resource_limit"] == 4
    assert {row["ID"] for row in admin("limit list --project demo")} == {made["id"]}
    assert "409" in admin(f"registered limit delete {registered['id']}", fails=True) or admin(
        f"limit show {made['id']}"
    )
    admin(f"limit delete {made['id']}")
    admin(f"registered limit delete {registered['id']}")
    assert admin("registered limit list") == []
