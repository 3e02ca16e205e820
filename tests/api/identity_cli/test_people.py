"""Users, groups, roles, and who has which where."""

import pytest


def names(rows, column="Name"):
    return {row[column] for row in rows}


def test_domains(admin):
    made = admin("domain create --description Anvils acme")
    assert (made["name"], made["description"], made["enabled"]) == ("acme", "Anvils", True)
    assert "acme" in names(admin("domain list"))
    admin("domain set --description Hammers --name tools acme")
    shown = admin("domain show tools")
    assert (shown["id"], shown["description"]) == (made["id"], "Hammers")
    assert "1 of 1 domains failed to delete" in admin("domain delete tools", fails=True)  # it is enabled
    admin("domain set --disable tools")
    assert admin("domain show tools")["enabled"] is False
    admin("domain delete tools")
    assert "tools" not in names(admin("domain list"))
    assert "No Domain found" in admin("domain show tools", fails=True)


def test_projects(admin, demo):
    made = admin("project create --description Site --property color=teal --tag blue web")
    assert (made["description"], made["color"], made["tags"]) == ("Site", "teal", ["blue"])
    child = admin("project create --parent web --disable web-test")
    assert (child["parent_id"], child["enabled"]) == (made["id"], False)
    admin("project set --name www --tag green --property color=red web")
    shown = admin("project show --children www")
    assert (shown["color"], set(shown["tags"])) == ("red", {"blue", "green"})
    assert child["id"] in str(shown["subtree"])
    assert names(admin("project list --parent www")) == {"web-test"}
    assert names(admin("project list --tags blue,green")) == {"www"}
    assert names(demo("project list --my-projects")) == {"demo", "invisible_to_admin"}
    assert "1 of 1 projects failed to delete" in admin("project delete www", fails=True)  # another is below it
    admin("project delete web-test www")
    assert "www" not in names(admin("project list"))


def test_users(admin, demo):
    made = admin("user create --password first --email ada@example.org --project demo --description Count ada")
    assert (made["name"], made["email"], made["enabled"]) == ("ada", "ada@example.org", True)
    assert made["default_project_id"] == admin("project show demo")["id"]
    assert "first" not in str(made)
    admin("user set --name countess --disable --email c@example.org ada")
    shown = admin("user show countess")
    assert (shown["id"], shown["enabled"], shown["email"]) == (made["id"], False, "c@example.org")
    rows = {row["Name"]: row for row in admin("user list --long")}
    assert rows["countess"]["Email"] == "c@example.org"
    assert names(admin("user list --disabled")) == {"countess"}
    assert "Forbidden" in demo("user list", fails=True) or "403" in demo("user list", fails=True)
    admin("user delete countess")
    assert "countess" not in names(admin("user list"))


def test_a_user_changes_its_password(admin):
    admin("user create --password before --project demo eve")
    admin("role add --user eve --project demo member")
    eve = admin.as_user(username="eve", password="before", project_name="demo")
    eve("user password set --original-password before --password after")
    assert "401" in eve("token issue", fails=True)
    assert eve.as_user(password="after")("token issue")["user_id"] == admin("user show eve")["id"]
    admin("user delete eve")


def test_groups(admin):
    made = admin("group create --description Night ops")
    assert made["description"] == "Night"
    admin("group add user ops demo alt_demo")
    assert "demo in group ops" in admin("group contains user ops demo")
    assert names(admin("user list --group ops")) == {"demo", "alt_demo"}
    assert names(admin("group list --user demo")) == {"ops"}
    admin("group remove user ops alt_demo")
    assert names(admin("user list --group ops")) == {"demo"}
    admin("group set --name watch --description Day ops")
    assert admin("group show watch")["description"] == "Day"
    assert "watch" in names(admin("group list"))
    admin("group delete watch")
    assert "watch" not in names(admin("group list"))


def test_roles_and_what_they_imply(admin):
    made = admin("role create --description Mends tinker")
    assert made["description"] == "Mends"
    admin("role set --name smith tinker")
    assert admin("role show smith")["id"] == made["id"]
    assert {"admin", "manager", "member", "reader", "service", "smith"} <= names(admin("role list"))
    implied = admin("implied role create --implied-role reader smith")
    assert (implied["prior_role"], implied["implies"]) == (made["id"], admin("role show reader")["id"])
    rows = {(row["Prior Role Name"], row["Implied Role Name"]) for row in admin("implied role list")}
    assert {("smith", "reader"), ("admin", "manager")} <= rows
    admin("implied role delete --implied-role reader smith")
    assert "smith" not in names(admin("implied role list"), "Prior Role Name")
    admin("role delete smith")
    assert "smith" not in names(admin("role list"))


@pytest.mark.parametrize("where", ["--project demo", "--domain default", "--system all"])
def test_assignments(admin, where):
    admin("group create keepers")
    admin(f"role add --group keepers {where} reader")
    rows = admin(f"role assignment list --names --group keepers {where}")
    assert [(row["Role"], row["Group"]) for row in rows] == [("reader", "keepers@Default")]
    admin("group add user keepers alt_demo")
    effective = admin(f"role assignment list --names --effective --user alt_demo {where}")
    assert "reader" in names(effective, "Role")
    admin(f"role remove --group keepers {where} reader")
    assert admin(f"role assignment list --group keepers {where}") == []
    admin("group delete keepers")


def test_tokens(demo, admin):
    issued = demo("token issue")
    assert issued["project_id"] == admin("project show demo")["id"]
    by_token = demo.as_user(auth_type="token", token=issued["id"], username="", password="", user_domain_id="")
    assert by_token("token issue")["user_id"] == issued["user_id"]
    admin(f"token revoke {issued['id']}")
    assert "it has ended, was revoked or is none" in by_token("token issue", fails=True)
    assert "404" in admin(f"token revoke {issued['id']}", fails=True)
