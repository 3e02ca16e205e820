"""Logging in with tokens of a real OpenID provider, and single sign-on through its pages."""

import asyncio
import base64
import re
from datetime import timedelta
from typing import Any
from urllib.parse import parse_qs, urlsplit

import httpx
import pytest
from keystoneauth1 import session as keystone_session
from keystoneauth1.exceptions import http as refusals
from keystoneauth1.identity import v3
from sqlalchemy import select

from pileus.kernel import clock
from pileus.kernel.events import Event
from pileus.kernel.service import find_services
from pileus.kernel.testing import client, running
from pileus.services.identity.app.attempts import Attempts
from pileus.services.identity.app.audit import AUTHENTICATE
from pileus.services.identity.service import SERVICE
from pileus.services.identity.testing import login
from tests.api.identity.openid_provider import CLIENT, PASSWORD, REDIRECT, SECRET, STRANGER
from tests.api.identity.serving import served
from tests.api.identity.test_tokens import id_of

BASE = "/identity/v3/OS-FEDERATION"
IDP = "OS-FEDERATION/identity_providers/corp"
AUTH = f"/identity/v3/{IDP}/protocols/openid/auth"
DASHBOARD = "https://dashboard.test/auth/websso/"
WEBSSO = "/identity/v3/auth/OS-FEDERATION/websso/openid"
PEOPLE = {
    "local": [{"user": {"name": "{0}", "email": "{1}"}}],
    "remote": [{"type": "OIDC-sub"}, {"type": "HTTP_OIDC_ISS"}],
}
STAFF = {
    "local": [{"groups": "{0}", "domain": {"name": "Default"}}],
    "remote": [{"type": "OIDC-groups", "whitelist": ["staff"]}],
}
ROBOTS = {"local": [{"user": {"name": "{0}"}}], "remote": [{"type": "OIDC-client_id"}]}


@pytest.fixture
async def cloud(tmp_path, openid):
    scopes = ["openid", "profile", "groups"]
    settings = {"issuer": openid.issuer, "client_id": CLIENT, "client_secret": SECRET, "scopes": scopes}
    tables = {"identity": {"openid": {"corp": settings}, "trusted_dashboards": [DASHBOARD]}}
    async with running(tmp_path, [SERVICE], tables) as runtime:
        yield runtime


async def set_up(admin, openid, rules=(PEOPLE, STAFF, ROBOTS), **attributes):
    """Make the provider, its mapping, and a group that may go to the project demo."""
    group = (await admin.post("groups", json={"group": {"name": "staff"}})).json()["group"]["id"]
    project, role = await id_of(admin, "projects", "demo"), await id_of(admin, "roles", "member")
    await admin.put(f"projects/{project}/groups/{group}/roles/{role}")
    provider = {"enabled": True, "remote_ids": [openid.issuer], **attributes}
    made = [
        await admin.put(IDP, json={"identity_provider": provider}),
        await admin.put("OS-FEDERATION/mappings/people", json={"mapping": {"rules": list(rules)}}),
        await admin.put(f"{IDP}/protocols/openid", json={"protocol": {"mapping_id": "people"}}),
    ]
    assert [answer.status_code for answer in made] == [201, 201, 201]
    return group, made[0].json()["identity_provider"]["domain_id"]


async def arrive(cloud, token):
    async with client(cloud, Authorization=f"Bearer {token}") as http:
        return await http.post(AUTH)


async def rescope(cloud, token, scope):
    auth = {"identity": {"methods": ["token"], "token": {"id": token}}, "scope": scope}
    async with client(cloud) as http:
        return await http.post("/identity/v3/auth/tokens", json={"auth": auth})


DEMO = {"project": {"name": "demo", "domain": {"id": "default"}}}


async def test_an_access_token_becomes_a_token_of_a_user_in_the_providers_domain(cloud, admin, openid):
    group, domain = await set_up(admin, openid)
    answer = await arrive(cloud, openid.token()["access_token"])
    assert answer.status_code == 201, answer.text
    token = answer.json()["token"]
    assert token["methods"] == ["mapped"]
    assert (token["user"]["name"], token["user"]["domain"]["id"]) == ("jane", domain)
    assert token["user"]["OS-FEDERATION"] == {
        "identity_provider": {"id": "corp"},
        "protocol": {"id": "openid"},
        "groups": [{"id": group}],
    }
    assert not {"roles", "project", "catalog"} & token.keys()
    user = (await admin.get(f"users/{token['user']['id']}")).json()["user"]
    assert (user["name"], user["email"]) == ("jane", openid.issuer)


async def test_its_groups_open_projects_and_the_new_token_remembers_where_it_came_from(cloud, admin, openid):
    await set_up(admin, openid)
    answer = await arrive(cloud, openid.token()["access_token"])
    text = answer.headers["x-subject-token"]
    async with client(cloud, text) as http:
        for path in (f"{BASE}/projects", "/identity/v3/auth/projects"):
            assert [row["name"] for row in (await http.get(path)).json()["projects"]] == ["demo"]
        assert (await http.get(f"{BASE}/domains")).json()["domains"] == []
    scoped = await rescope(cloud, text, DEMO)
    assert scoped.status_code == 201, scoped.text
    token = scoped.json()["token"]
    assert {role["name"] for role in token["roles"]} == {"member", "reader"}
    assert token["user"]["OS-FEDERATION"]["identity_provider"] == {"id": "corp"}
    assert set(token["methods"]) == {"mapped", "token"}
    assert (await rescope(cloud, text, {"project": {"name": "admin", "domain": {"id": "default"}}})).status_code == 401


async def test_who_comes_again_is_the_same_user_and_others_are_others(cloud, admin, openid):
    await set_up(admin, openid)
    ids = [
        (await arrive(cloud, openid.token(name)["access_token"])).json()["token"]["user"]["id"]
        for name in ("jane", "jane", "john")
    ]
    assert ids[0] == ids[1] != ids[2]
    john = (await arrive(cloud, openid.token("john")["access_token"])).json()["token"]
    assert john["user"]["OS-FEDERATION"]["groups"] == []


async def test_log_ins_are_audited_good_or_bad(cloud, admin, openid):
    await set_up(admin, openid)
    good = (await arrive(cloud, openid.token()["access_token"])).json()["token"]["user"]["id"]
    await arrive(cloud, tampered(openid.token()["access_token"]))
    await cloud.part(Attempts).write()
    rows = await cloud.db.read(lambda tx: list(tx.scalars(select(Event).where(Event.kind == AUTHENTICATE))))
    found = [(row.resource_id, row.payload["outcome"]) for row in rows if row.payload["methods"] == ["mapped"]]
    assert found == [(good, "success"), ("unknown", "failure")]


async def test_old_clients_rescope_by_the_method_mapped(cloud, admin, openid):
    await set_up(admin, openid)
    text = (await arrive(cloud, openid.token()["access_token"])).headers["x-subject-token"]
    statuses = []
    for proof in ({"id": text}, {"identity_provider": "corp", "protocol": "openid"}):
        auth = {"identity": {"methods": ["mapped"], "mapped": proof}, "scope": DEMO}
        async with client(cloud) as http:
            statuses.append((await http.post("/identity/v3/auth/tokens", json={"auth": auth})).status_code)
    assert statuses == [201, 401]


@pytest.mark.parametrize("method", ["mapped", "token"])
async def test_a_federated_token_that_is_exchanged_ends_no_later(cloud, admin, openid, method):
    """Else whoever was let in once stays for ever, by exchanging in time (CVE-2026-44394)."""
    await set_up(admin, openid)
    first = await arrive(cloud, openid.token()["access_token"])
    auth = {"identity": {"methods": [method], method: {"id": first.headers["x-subject-token"]}}, "scope": DEMO}

    class Later(clock.SystemClock):
        def now(self):
            return super().now() + timedelta(minutes=10)

    before = clock.use(Later())
    try:
        async with client(cloud) as http:
            second = await http.post("/identity/v3/auth/tokens", json={"auth": auth})
    finally:
        clock.use(before)
    assert second.status_code == 201, second.text
    assert second.json()["token"]["expires_at"] == first.json()["token"]["expires_at"]


async def test_who_was_linked_beforehand_is_that_user(cloud, admin, openid):
    await set_up(admin, openid)
    linked = [{"idp_id": "corp", "protocols": [{"protocol_id": "openid", "unique_id": "jane"}]}]
    made = await admin.post("users", json={"user": {"name": "Jane Doe", "federated": linked}})
    answer = await arrive(cloud, openid.token()["access_token"])
    assert answer.json()["token"]["user"]["id"] == made.json()["user"]["id"]


async def test_an_opaque_token_of_a_client_is_asked_about(cloud, admin, openid):
    await set_up(admin, openid)
    opaque = openid.client_token()
    assert "." not in opaque
    answer = await arrive(cloud, opaque)
    assert answer.json()["token"]["user"]["name"] == CLIENT
    assert (await arrive(cloud, opaque[:-1] + "x")).status_code == 401


def tampered(token):
    head, body, signature = token.split(".")
    claims = base64.urlsafe_b64decode(body + "==").replace(b'"jane"', b'"root"')
    return f"{head}.{base64.urlsafe_b64encode(claims).decode().rstrip('=')}.{signature}"


def unsigned(token):
    head = base64.urlsafe_b64encode(b'{"alg":"none"}').decode().rstrip("=")
    return f"{head}.{token.split('.')[1]}."


@pytest.mark.parametrize(
    "spoil", [tampered, unsigned, lambda token: token[:-20], lambda token: "x.y.z", lambda token: "x" * 70000]
)
async def test_forged_tokens_are_refused_and_make_no_user(cloud, admin, openid, spoil):
    _, domain = await set_up(admin, openid)
    answer = await arrive(cloud, spoil(openid.token()["access_token"]))
    assert answer.status_code == 401
    assert (await admin.get("users", params={"domain_id": domain})).json()["users"] == []


async def test_a_token_for_another_application_is_refused(cloud, admin, openid):
    await set_up(admin, openid)
    answer = await arrive(cloud, openid.token(client=STRANGER)["access_token"])
    assert answer.status_code == 401
    assert STRANGER in answer.json()["error"]["message"]


async def test_without_a_token_the_answer_says_what_to_send(cloud, admin, openid):
    await set_up(admin, openid)
    async with client(cloud) as http:
        answer = await http.post(AUTH)
    assert answer.status_code == 401
    assert answer.headers["www-authenticate"] == "Bearer"


async def test_a_provider_under_another_name_than_its_remote_ids_is_refused(cloud, admin, openid):
    await set_up(admin, openid, remote_ids=["https://elsewhere.test"])
    assert (await arrive(cloud, openid.token()["access_token"])).status_code == 403


async def test_a_disabled_provider_lets_nobody_in_and_its_tokens_end(cloud, admin, openid):
    await set_up(admin, openid)
    access = openid.token()["access_token"]
    text = (await arrive(cloud, access)).headers["x-subject-token"]
    scoped = (await rescope(cloud, text, DEMO)).headers["x-subject-token"]
    await admin.patch(IDP, json={"identity_provider": {"enabled": False}})
    assert (await arrive(cloud, access)).status_code == 403
    for token in (text, scoped):
        async with client(cloud, token) as http:
            assert (await http.get("/identity/v3/auth/projects")).status_code == 401


async def test_a_deleted_provider_takes_its_people_with_it(cloud, admin, openid):
    await set_up(admin, openid)
    user = (await arrive(cloud, openid.token()["access_token"])).json()["token"]["user"]["id"]
    assert (await admin.delete(IDP)).status_code == 204
    assert (await admin.get(f"users/{user}")).status_code == 404


async def test_people_whom_no_rule_knows_are_refused(cloud, admin, openid):
    nobody = {"local": [{"user": {"name": "x"}}], "remote": [{"type": "OIDC-sub", "any_one_of": ["nobody"]}]}
    await set_up(admin, openid, rules=[nobody])
    assert (await arrive(cloud, openid.token()["access_token"])).status_code == 401


async def test_a_protocol_without_settings_says_what_is_missing(cloud, admin, openid):
    await set_up(admin, openid)
    await admin.put(f"{IDP}/protocols/other", json={"protocol": {"mapping_id": "people"}})
    async with client(cloud, Authorization="Bearer x") as http:
        answer = await http.post(AUTH.replace("openid", "other"))
        assert answer.status_code == 503
        assert "[identity.openid.corp]" in answer.json()["error"]["message"]
        assert (await http.post(AUTH.replace("openid", "none"))).status_code == 404


async def test_a_mapping_may_lead_to_local_users(cloud, admin, openid):
    local = {"user": {"name": "demo", "domain": {"id": "default"}, "type": "local"}}
    await set_up(admin, openid, rules=[{"local": [local], "remote": [{"type": "OIDC-sub", "any_one_of": ["jane"]}]}])
    answer = await arrive(cloud, openid.token()["access_token"])
    assert answer.json()["token"]["user"]["id"] == await id_of(admin, "users", "demo")
    assert "OS-FEDERATION" not in answer.json()["token"]["user"]
    assert (await rescope(cloud, answer.headers["x-subject-token"], DEMO)).status_code == 201


async def test_a_mapping_may_make_projects_with_roles(cloud, admin, openid):
    local = {"user": {"name": "{0}"}, "projects": [{"name": "of {0}", "roles": [{"name": "member"}]}]}
    _, domain = await set_up(admin, openid, rules=[{"local": [local], "remote": [{"type": "OIDC-sub"}]}])
    first = await arrive(cloud, openid.token()["access_token"])
    again = await arrive(cloud, openid.token()["access_token"])  # everything is there by now
    assert first.status_code == 201
    text = again.headers["x-subject-token"]
    scoped = await rescope(cloud, text, {"project": {"name": "of jane", "domain": {"id": domain}}})
    assert {role["name"] for role in scoped.json()["token"]["roles"]} == {"member", "reader"}


async def test_memberships_last_as_long_as_the_provider_says(cloud, admin, openid, monkeypatch):
    group, _ = await set_up(admin, openid, authorization_ttl=10)
    answer = await arrive(cloud, openid.token()["access_token"])
    user = answer.json()["token"]["user"]["id"]
    listed = (await admin.get(f"users/{user}/groups")).json()["groups"]
    assert [row["id"] for row in listed] == [group]
    members = (await admin.get(f"groups/{group}/users")).json()["users"]
    assert [row["id"] for row in members] == [user]
    now = clock.now
    monkeypatch.setattr(clock, "now", lambda: now() + timedelta(minutes=11))
    assert (await admin.get(f"users/{user}/groups")).json()["groups"] == []
    assert (await rescope(cloud, answer.headers["x-subject-token"], DEMO)).status_code == 401


async def test_application_credentials_work_for_them_too(cloud, admin, openid):
    await set_up(admin, openid, authorization_ttl=60)
    answer = await arrive(cloud, openid.token()["access_token"])
    user = answer.json()["token"]["user"]["id"]
    scoped = (await rescope(cloud, answer.headers["x-subject-token"], DEMO)).headers["x-subject-token"]
    async with client(cloud, scoped) as http:
        path = f"/identity/v3/users/{user}/application_credentials"
        made = (await http.post(path, json={"application_credential": {"name": "ci"}})).json()
    credential = made["application_credential"]
    proof = {"id": credential["id"], "secret": credential["secret"]}
    identity = {"methods": ["application_credential"], "application_credential": proof}
    async with client(cloud) as http:
        answer = await http.post("/identity/v3/auth/tokens", json={"auth": {"identity": identity}})
    assert answer.status_code == 201


async def out_and_back(cloud, openid, origin=DASHBOARD):
    """Go to the provider and log in; return the browser and where it was sent back to."""
    browser = client(cloud)
    away = await browser.get(WEBSSO, params={"origin": origin})
    assert away.status_code == 302, away.text
    back = await asyncio.to_thread(openid.log_in, away.headers["location"])
    return browser, back


async def test_single_sign_on_hands_a_token_to_the_dashboard(cloud, admin, openid):
    await set_up(admin, openid)
    browser, back = await out_and_back(cloud, openid)
    page = await browser.get(back)
    assert page.status_code == 200, page.text
    assert f'action="{DASHBOARD}"' in page.text
    [token] = re.findall(r'name="token" value="([^"]+)"', page.text)
    assert (await rescope(cloud, token, DEMO)).status_code == 201
    assert "no-store" in page.headers["cache-control"]
    await browser.aclose()


async def test_the_dashboard_offers_single_sign_on_and_takes_its_token(tmp_path, openid):
    (tmp_path / "both").mkdir()
    settings = {"issuer": openid.issuer, "client_id": CLIENT, "client_secret": SECRET, "scopes": ["openid", "groups"]}
    tables = {"identity": {"openid": {"corp": settings}}}
    async with running(tmp_path / "both", find_services(["identity", "dashboard"]), tables) as runtime:
        async with client(runtime, await login(runtime, "admin")) as http:
            http.base_url = "http://cloud.test/identity/v3/"
            assert "Log in with" not in (await http.get("http://cloud.test/dashboard/login")).text
            await set_up(http, openid)
        browser = client(runtime)
        page = (await browser.get("/dashboard/login")).text
        assert "Log in with corp" in page
        out = await browser.get("/dashboard/sign-on/corp/openid")
        away = await browser.get(out.headers["location"])
        back = await browser.get(await asyncio.to_thread(openid.log_in, away.headers["location"]))
        assert 'action="http://cloud.test/dashboard/auth/websso/"' in back.text
        [token] = re.findall(r'name="token" value="([^"]+)"', back.text)
        async with client(runtime) as other:  # a page elsewhere cannot log a browser in as somebody it chose
            assert (await other.post("/dashboard/auth/websso/", data={"token": token})).status_code == 401
        inside = await browser.post("/dashboard/auth/websso/", data={"token": token})
        assert (inside.status_code, inside.headers["location"]) == (303, "/dashboard/overview")
        assert browser.cookies.get("pileus_session")
        await browser.get("/dashboard/sign-on/corp/openid")
        assert (await browser.post("/dashboard/auth/websso/", data={"token": "x"})).status_code == 401
        await browser.aclose()


async def test_single_sign_on_asks_with_state_nonce_and_a_challenge(cloud, admin, openid):
    await set_up(admin, openid)
    async with client(cloud) as browser:
        away = await browser.get(WEBSSO, params={"origin": DASHBOARD})
    asked = parse_qs(urlsplit(away.headers["location"]).query)
    assert asked["redirect_uri"] == [REDIRECT]
    assert asked["code_challenge_method"] == ["S256"]
    assert len(asked["state"][0]) > 20
    assert len(asked["nonce"][0]) > 20
    assert "HttpOnly" in away.headers["set-cookie"]


async def test_somebody_elses_way_back_is_refused(cloud, admin, openid):
    await set_up(admin, openid)
    browser, back = await out_and_back(cloud, openid)
    async with client(cloud) as other:
        assert (await other.get(back)).status_code == 401  # no cookie: it began elsewhere
        await other.get(WEBSSO, params={"origin": DASHBOARD})
        assert (await other.get(back)).status_code == 401  # a cookie of another log-in
    assert (await browser.get(back.replace("state=", "state=x"))).status_code == 401
    cookie = f"pileus-sign-on={browser.cookies['pileus-sign-on']}"
    assert (await browser.get(back)).status_code == 200
    async with client(cloud, Cookie=cookie) as thief:
        assert (await thief.get(back)).status_code == 401  # a code is good once
    await browser.aclose()


async def test_tokens_go_to_trusted_dashboards_only(cloud, admin, openid):
    await set_up(admin, openid)
    async with client(cloud) as browser:
        for origin in ("https://evil.test/auth/websso/", DASHBOARD + "x", "javascript:alert(1)"):
            assert (await browser.get(WEBSSO, params={"origin": origin})).status_code == 401
        assert (await browser.get(WEBSSO)).status_code == 400
        own = await browser.get(WEBSSO, params={"origin": "http://cloud.test/dashboard/auth/websso/"})
        assert own.status_code == 302


async def test_a_provider_that_lets_nobody_in_is_told_of(cloud, admin, openid):
    await set_up(admin, openid)
    async with client(cloud) as browser:
        away = await browser.get(WEBSSO, params={"origin": DASHBOARD})
        state = parse_qs(urlsplit(away.headers["location"]).query)["state"][0]
        path = urlsplit(REDIRECT).path
        refused = await browser.get(path, params={"state": state, "error": "access_denied"})
    assert refused.status_code == 401
    assert "access_denied" in refused.json()["error"]["message"]


async def test_keystoneauths_plugins_log_in(cloud, admin, openid):
    await set_up(admin, openid)
    common: dict[str, Any] = {"identity_provider": "corp", "protocol": "openid"}
    own: dict[str, Any] = {
        **common,
        "client_id": CLIENT,
        "client_secret": SECRET,
        "discovery_endpoint": openid.discovery,
    }
    demo: dict[str, Any] = {"project_name": "demo", "project_domain_id": "default"}
    async with served(cloud) as url:
        plugins = {
            "password": v3.OidcPassword(
                url, **own, username="jane", password=PASSWORD, scope="openid profile groups", **demo
            ),
            "client": v3.OidcClientCredentials(url, **own),
            "access": v3.OidcAccessToken(url, **common, access_token=openid.token()["access_token"], **demo),
        }
        names = {}
        for name, plugin in plugins.items():
            session = keystone_session.Session(plugin)
            access = await asyncio.to_thread(plugin.get_access, session)
            names[name] = (access.username, access.project_name)
        # A code that came of a log-in without a challenge, as the plugin has it.
        query = {
            "response_type": "code",
            "client_id": CLIENT,
            "redirect_uri": REDIRECT,
            "scope": "openid groups",
            "state": "s",
            "nonce": "n",
        }
        back = await asyncio.to_thread(openid.log_in, f"{openid.issuer}/oauth/authorize?{httpx.QueryParams(query)}")
        code = parse_qs(urlsplit(back).query)["code"][0]
        by_code = v3.OidcAuthorizationCode(url, **own, code=code, redirect_uri=REDIRECT, **demo)
        access = await asyncio.to_thread(by_code.get_access, keystone_session.Session(by_code))
        names["code"] = (access.username, access.project_name)
        wrong = v3.OidcAccessToken(url, **common, access_token="x.y.z")
        with pytest.raises(refusals.Unauthorized):
            await asyncio.to_thread(wrong.get_access, keystone_session.Session(wrong))
    assert names == {
        "password": ("jane", "demo"),
        "client": (CLIENT, None),
        "access": ("jane", "demo"),
        "code": ("jane", "demo"),
    }


async def test_a_provider_that_is_away_is_named(tmp_path):
    away = {"issuer": "http://127.0.0.1:9", "client_id": CLIENT}
    async with running(tmp_path, [SERVICE], {"identity": {"openid": {"corp": away}}}) as runtime:
        async with client(runtime, await login(runtime, "admin")) as http:
            http.base_url = "http://cloud.test/identity/v3/"
            await http.put(IDP, json={"identity_provider": {"enabled": True}})
            rules = {"mapping": {"rules": [PEOPLE]}}
            await http.put("OS-FEDERATION/mappings/people", json=rules)
            await http.put(f"{IDP}/protocols/openid", json={"protocol": {"mapping_id": "people"}})
        answer = await arrive(runtime, "x.y.z")
    assert answer.status_code == 503
    assert "http://127.0.0.1:9" in answer.json()["error"]["message"]
