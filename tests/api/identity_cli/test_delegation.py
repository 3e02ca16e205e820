"""Other ways in: credentials, access keys, application credentials, trusts."""

import json


def test_credentials(admin, demo):
    made = admin('credential create --type totp --project demo demo "first blob"')
    assert (made["type"], made["project_id"]) == ("totp", admin("project show demo")["id"])
    admin(f'credential set --type totp --user demo --data "second blob" --project demo {made["id"]}')
    shown = demo(f"credential show {made['id']}")
    assert (shown["type"], shown["blob"]) == ("totp", "second blob")
    assert made["id"] in {row["ID"] for row in admin("credential list --user demo")}
    admin(f"credential delete {made['id']}")
    assert admin("credential list --user demo --type totp") == []


def test_access_keys(demo):
    made = demo("ec2 credentials create")
    assert demo(f"ec2 credentials show {made['access']}")["secret"] == made["secret"]
    assert {row["Access"] for row in demo("ec2 credentials list")} == {made["access"]}
    demo(f"ec2 credentials delete {made['access']}")
    assert demo("ec2 credentials list") == []


def test_application_credentials_and_access_rules(demo, admin):
    rules = json.dumps([{"service": "identity", "method": "POST", "path": "/v3/auth/tokens"}])
    made = demo(
        f"application credential create --secret hush --role reader --expiration 2040-01-01T00:00:00"
        f" --description Robot --access-rules '{rules}' robot"
    )
    assert (made["Name"], made["Description"], made["Secret"]) == ("robot", "Robot", "hush")
    shown = demo("application credential show robot")
    assert (shown["ID"], shown["Unrestricted"]) == (made["ID"], False)
    assert "hush" not in str(shown)
    assert {row["Name"] for row in demo("application credential list")} == {"robot"}
    (rule,) = demo("access rule list")
    assert (rule["Service"], rule["Method"], rule["Path"]) == ("identity", "POST", "/v3/auth/tokens")
    assert demo(f"access rule show {rule['ID']}")["Path"] == "/v3/auth/tokens"
    robot = admin.as_user(
        auth_type="v3applicationcredential",
        application_credential_id=made["ID"],
        application_credential_secret="hush",
        username="",
        password="",
        user_domain_id="",
        project_name="",
        project_domain_id="",
    )
    assert robot("token issue")["project_id"] == admin("project show demo")["id"]
    assert "access rules do not allow" in robot("project list --my-projects", fails=True)
    assert "in use" in demo(f"access rule delete {rule['ID']}", fails=True)
    demo("application credential delete robot")
    demo(f"access rule delete {rule['ID']}")
    assert demo("access rule list") == []
    assert "401" in robot("token issue", fails=True)


def test_trusts(demo, admin):
    """Somebody with a project only names all by id: looking names up is for administrators."""
    trustor, trustee = admin("user show demo")["id"], admin("user show alt_demo")["id"]
    project, role = admin("project show demo")["id"], admin("role show member")["id"]
    terms = f"--project {project} --role {role} --impersonate --expiration 2040-01-01T00:00:00"
    made = demo(f"trust create {terms} {trustor} {trustee}")
    assert (made["is_impersonation"], made["trustee_user_id"]) == (True, trustee)
    assert {row["ID"] for row in admin("trust list --trustor demo")} == {made["id"]}
    assert demo(f"trust show {made['id']}")["project_id"] == project
    demo(f"trust delete {made['id']}")
    assert admin("trust list --trustor demo") == []


def test_oauth_consumers_and_their_tokens(admin):
    made = admin("consumer create --description Printer")
    assert made["description"] == "Printer"
    key, secret = made["id"], made["secret"]
    admin(f"consumer set --description Plotter {key}")
    shown = admin(f"consumer show {key}")
    assert (shown["description"], "secret" in shown) == ("Plotter", False)
    assert key in {row["ID"] for row in admin("consumer list")}
    proof = f"--consumer-key {key} --consumer-secret {secret}"
    asked = admin(f"request token create {proof} --project demo")
    verifier = admin(f"request token authorize --request-key {asked['id']} --role member")["oauth_verifier"]
    given = admin(
        f"access token create {proof} --request-key {asked['id']} --request-secret {asked['secret']}"
        f" --verifier {verifier}"
    )
    assert given["id"]
    assert given["secret"]
    admin(f"consumer delete {key}")
    assert key not in {row["ID"] for row in admin("consumer list")}
