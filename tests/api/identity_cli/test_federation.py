"""Who is known elsewhere: providers, mappings, protocols, and where federated people may go."""

import json


def test_mappings(admin, tmp_path):
    rules = tmp_path / "rules.json"
    rules.write_text(json.dumps([{"local": [{"user": {"name": "{0}"}}], "remote": [{"type": "UserName"}]}]))
    made = admin(f"mapping create --rules {rules} words")
    assert made["id"] == "words"
    changed = [{"local": [{"user": {"name": "{0}"}}], "remote": [{"type": "sub"}]}]
    rules.write_text(json.dumps(changed))
    admin(f"mapping set --rules {rules} words")
    assert admin("mapping show words")["rules"] == changed
    assert {row["ID"] for row in admin("mapping list")} == {"words"}
    admin("mapping delete words")
    assert admin("mapping list") == []


def test_identity_providers_and_protocols(admin, tmp_path):
    rules = tmp_path / "rules.json"
    rules.write_text(json.dumps([{"local": [{"user": {"name": "{0}"}}], "remote": [{"type": "UserName"}]}]))
    admin(f"mapping create --rules {rules} corp-words")
    made = admin("identity provider create --remote-id https://corp.example --domain default --enable corp")
    assert (made["id"], made["remote_ids"], made["enabled"]) == ("corp", ["https://corp.example"], True)
    admin("identity provider set --disable --description Old corp")
    shown = admin("identity provider show corp")
    assert (shown["enabled"], shown["description"]) == (False, "Old")
    assert {row["ID"] for row in admin("identity provider list")} == {"corp"}
    tied = admin("federation protocol create --identity-provider corp --mapping corp-words openid")
    assert (tied["id"], tied["mapping"]) == ("openid", "corp-words")
    admin(f"mapping create --rules {rules} other-words")
    admin("federation protocol set --identity-provider corp --mapping other-words openid")
    assert admin("federation protocol show --identity-provider corp openid")["mapping"] == "other-words"
    assert [row["id"] for row in admin("federation protocol list --identity-provider corp")] == ["openid"]
    admin("federation protocol delete --identity-provider corp openid")
    assert admin("federation protocol list --identity-provider corp") == []
    admin("identity provider delete corp")
    assert admin("identity provider list") == []
    admin("mapping delete corp-words other-words")


def test_service_providers(admin):
    urls = "--auth-url https://beta.example/auth --service-provider-url https://beta.example/sp"
    made = admin(f"service provider create {urls} --description Beta beta")
    assert (made["id"], made["auth_url"], made["enabled"]) == ("beta", "https://beta.example/auth", True)
    admin("service provider set --disable --description Off beta")
    shown = admin("service provider show beta")
    assert (shown["enabled"], shown["description"]) == (False, "Off")
    assert {row["ID"] for row in admin("service provider list")} == {"beta"}
    admin("service provider delete beta")
    assert admin("service provider list") == []


def test_where_a_federated_token_may_go(admin, demo):
    assert {row["Name"] for row in demo("federation project list")} == {"demo", "invisible_to_admin"}
    assert {row["Name"] for row in admin("federation domain list")} == {"Default"}
