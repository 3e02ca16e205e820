"""Identity providers, protocols, mappings and service providers as an administrator sees them."""

import pytest

IDP = "OS-FEDERATION/identity_providers/corp"
MAPPING = "OS-FEDERATION/mappings/people"
SP = "OS-FEDERATION/service_providers/beta"
RULES = [{"local": [{"user": {"name": "{0}"}}], "remote": [{"type": "OIDC-sub"}]}]
BETA = {"auth_url": "https://beta.test/v3/OS-FEDERATION/x/auth", "sp_url": "https://beta.test/ecp"}


async def make(http, path, **attributes):
    noun = path.split("/")[-2].removesuffix("s")
    return await http.put(path, json={noun: attributes})


@pytest.fixture
async def provider(admin):
    answer = await make(admin, IDP, remote_ids=["https://corp.test"])
    assert answer.status_code == 201, answer.text
    return answer.json()["identity_provider"]


@pytest.fixture
async def mapping(admin):
    answer = await make(admin, MAPPING, rules=RULES)
    assert answer.status_code == 201, answer.text
    return answer.json()["mapping"]


async def test_a_provider_is_disabled_at_first_and_gets_a_domain_of_its_own(admin, provider):
    assert provider["enabled"] is False
    assert provider["description"] is None
    assert provider["authorization_ttl"] is None
    assert provider["remote_ids"] == ["https://corp.test"]
    assert provider["links"]["protocols"].endswith("/identity/v3/OS-FEDERATION/identity_providers/corp/protocols")
    assert (await admin.get(f"domains/{provider['domain_id']}")).status_code == 200
    assert (await admin.get(IDP)).json()["identity_provider"] == provider


async def test_a_provider_can_be_changed_but_stays_in_its_domain(admin, provider):
    changed = await admin.patch(
        IDP, json={"identity_provider": {"enabled": True, "authorization_ttl": 5, "remote_ids": ["b", "a"]}}
    )
    assert changed.status_code == 200
    shown = (await admin.get(IDP)).json()["identity_provider"]
    assert (shown["enabled"], shown["authorization_ttl"], shown["remote_ids"]) == (True, 5, ["b", "a"])
    moved = await admin.patch(IDP, json={"identity_provider": {"domain_id": "default"}})
    assert moved.status_code == 400
    assert (await admin.patch(IDP, json={"identity_provider": {}})).status_code == 400


async def test_a_remote_id_belongs_to_one_provider_only(admin, provider):
    other = await make(admin, "OS-FEDERATION/identity_providers/other", remote_ids=["https://corp.test"])
    assert other.status_code == 409
    assert (await admin.get("OS-FEDERATION/identity_providers/other")).status_code == 404
    twice = await admin.patch(IDP, json={"identity_provider": {"remote_ids": ["a", "a"]}})
    assert twice.status_code == 400


async def test_providers_are_listed_by_id_and_enabled(admin, provider):
    await make(admin, "OS-FEDERATION/identity_providers/other", enabled=True)
    listed = (await admin.get("OS-FEDERATION/identity_providers")).json()["identity_providers"]
    assert [row["id"] for row in listed] == ["corp", "other"]
    enabled = (await admin.get("OS-FEDERATION/identity_providers", params={"enabled": "true"})).json()
    assert [row["id"] for row in enabled["identity_providers"]] == ["other"]


@pytest.mark.parametrize(
    "attributes",
    [{"enabled": "yes"}, {"colour": 1}, {"authorization_ttl": -1}, {"remote_ids": "x"}, {"domain_id": 7}],
)
async def test_malformed_providers_are_refused_and_leave_no_domain(admin, attributes):
    before = (await admin.get("domains")).json()["domains"]
    assert (await make(admin, IDP, **attributes)).status_code == 400
    assert (await admin.get("domains")).json()["domains"] == before


async def test_a_provider_is_made_once_and_in_a_domain_that_is_there(admin, provider):
    assert (await make(admin, IDP)).status_code == 409
    assert (await make(admin, "OS-FEDERATION/identity_providers/x", domain_id="nowhere")).status_code == 404


async def test_a_protocol_needs_a_mapping_and_goes_with_its_provider(admin, provider, mapping):
    missing = await make(admin, f"{IDP}/protocols/openid", mapping_id="none")
    assert missing.status_code == 400
    made = await make(admin, f"{IDP}/protocols/openid", mapping_id="people")
    assert made.status_code == 201
    assert made.json()["protocol"]["mapping_id"] == "people"
    assert made.json()["protocol"]["links"]["identity_provider"].endswith("identity_providers/corp")
    assert (await make(admin, f"{IDP}/protocols/openid", mapping_id="people")).status_code == 409
    changed = await admin.patch(f"{IDP}/protocols/openid", json={"protocol": {"remote_id_attribute": "iss"}})
    assert changed.json()["protocol"]["remote_id_attribute"] == "iss"
    listed = (await admin.get(f"{IDP}/protocols")).json()["protocols"]
    assert [(row["id"], row["idp_id"], row["remote_id_attribute"]) for row in listed] == [("openid", "corp", "iss")]
    assert (await admin.delete(IDP)).status_code == 204
    assert (await admin.get(f"{IDP}/protocols/openid")).status_code == 404


async def test_a_protocol_of_no_provider_is_not_found(admin, mapping):
    assert (await make(admin, f"{IDP}/protocols/openid", mapping_id="people")).status_code == 404
    assert (await admin.get(f"{IDP}/protocols")).status_code == 404


async def test_a_mapping_keeps_its_rules_and_version(admin, mapping):
    assert mapping["rules"] == RULES
    assert mapping["schema_version"] == "1.0"
    rules = [{"local": [{"user": {"name": "x"}, "domain": {"id": "default"}}], "remote": [{"type": "a"}]}]
    changed = await admin.patch(MAPPING, json={"mapping": {"rules": rules, "schema_version": "2.0"}})
    assert changed.status_code == 200
    shown = (await admin.get(MAPPING)).json()["mapping"]
    assert (shown["rules"], shown["schema_version"]) == (rules, "2.0")
    refused = await admin.patch(MAPPING, json={"mapping": {"rules": []}})
    assert refused.status_code == 400
    assert (await admin.get(MAPPING)).json()["mapping"]["rules"] == rules
    assert [row["id"] for row in (await admin.get("OS-FEDERATION/mappings")).json()["mappings"]] == ["people"]
    assert (await admin.delete(MAPPING)).status_code == 204
    assert (await admin.get(MAPPING)).status_code == 404


async def test_a_service_provider_has_two_addresses(admin):
    made = await make(admin, SP, **BETA)
    assert made.status_code == 201
    shown = made.json()["service_provider"]
    assert (shown["enabled"], shown["relay_state_prefix"]) == (False, "ss:mem:")
    changed = await admin.patch(SP, json={"service_provider": {"enabled": True, "description": "west"}})
    assert (changed.json()["service_provider"]["enabled"], changed.json()["service_provider"]["description"]) == (
        True,
        "west",
    )
    listed = await admin.get("OS-FEDERATION/service_providers", params={"enabled": "true"})
    assert [row["id"] for row in listed.json()["service_providers"]] == ["beta"]
    assert (await admin.delete(SP)).status_code == 204
    assert (await admin.get(SP)).status_code == 404


@pytest.mark.parametrize(
    "attributes", [{}, {**BETA, "sp_url": "nowhere"}, {**BETA, "x": 1}, {"sp_url": BETA["sp_url"]}]
)
async def test_malformed_service_providers_are_refused(admin, attributes):
    assert (await make(admin, SP, **attributes)).status_code == 400


async def test_only_administrators_see_and_change_them(admin, demo, provider, mapping):
    for path in (IDP, MAPPING, f"{IDP}/protocols", f"{IDP}/protocols/none", SP):
        assert (await demo.get(path)).status_code == 403, path
        assert (await demo.delete(path)).status_code in (403, 405), path
    assert (await make(demo, SP, **BETA)).status_code == 403


async def test_a_domain_takes_its_providers_with_it(admin, provider):
    domain = f"domains/{provider['domain_id']}"
    await admin.patch(domain, json={"domain": {"enabled": False}})
    assert (await admin.delete(domain)).status_code == 204
    assert (await admin.get(IDP)).status_code == 404


async def test_an_administrator_may_say_beforehand_what_a_provider_calls_a_user(admin, provider, mapping):
    await make(admin, f"{IDP}/protocols/openid", mapping_id="people")
    linked = [{"idp_id": "corp", "protocols": [{"protocol_id": "openid", "unique_id": "jane@corp"}]}]
    made = await admin.post("users", json={"user": {"name": "jane", "federated": linked}})
    assert made.status_code == 201, made.text
    user = made.json()["user"]
    assert user["federated"] == linked
    assert (await admin.get(f"users/{user['id']}")).json()["user"]["federated"] == linked
    for filters in ({"unique_id": "jane@corp"}, {"idp_id": "corp", "protocol_id": "openid"}):
        assert [row["id"] for row in (await admin.get("users", params=filters)).json()["users"]] == [user["id"]]
    assert (await admin.get("users", params={"idp_id": "other"})).json()["users"] == []
    assert (await admin.post("users", json={"user": {"name": "john", "federated": linked}})).status_code == 409
    unknown = [{"idp_id": "corp", "protocols": [{"protocol_id": "none", "unique_id": "x"}]}]
    assert (await admin.patch(f"users/{user['id']}", json={"user": {"federated": unknown}})).status_code == 400
    assert (await admin.get(f"users/{user['id']}")).json()["user"]["federated"] == linked
    assert (await admin.patch(f"users/{user['id']}", json={"user": {"federated": []}})).status_code == 200
    assert "federated" not in (await admin.get(f"users/{user['id']}")).json()["user"]
    for wrong in ("x", [{"idp_id": "corp"}], [{"idp_id": 1, "protocols": []}]):
        assert (await admin.post("users", json={"user": {"name": "x", "federated": wrong}})).status_code == 400
