"""Two clouds: people of one (west) work in the other (east) by signed assertions."""

import asyncio
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

import httpx
import pytest
from keystoneauth1 import session as keystone_session
from keystoneauth1.exceptions import AuthorizationFailure
from keystoneauth1.identity import v3

from pileus.kernel.runtime import Runtime
from pileus.kernel.testing import client, running
from pileus.services.identity.drivers import saml
from pileus.services.identity.service import SERVICE
from pileus.services.identity.testing import login, password_of
from tests.api.identity.serving import served
from tests.api.identity.test_tokens import id_of

PROVIDER = "OS-FEDERATION/identity_providers/west"
RULES = [
    {
        "local": [{"user": {"name": "{0} of {1}"}}, {"groups": "{2}"}],
        "remote": [
            {"type": "openstack_user"},
            {"type": "openstack_user_domain"},
            {"type": "openstack_groups"},
            {"type": "openstack_roles", "any_one_of": ["member"]},
        ],
    }
]


@dataclass
class Pair:
    west: Runtime
    west_url: str
    east: Runtime
    east_url: str
    metadata: Any

    @property
    def auth_url(self) -> str:
        return f"{self.east_url}/{PROVIDER}/protocols/saml2/auth"

    async def assertion(self, *, path: str = "saml2/ecp", token: str | None = None, provider: str = "east"):
        text = token or await login(self.west, "demo")
        body = {
            "identity": {"methods": ["token"], "token": {"id": text}},
            "scope": {"service_provider": {"id": provider}},
        }
        async with client(self.west, Host=self.west_url.split("/")[2]) as http:
            return await http.post(f"/identity/v3/auth/OS-FEDERATION/{path}", json={"auth": body})

    async def present(self, message: str, media_type: str = saml.ECP_TYPE) -> httpx.Response:
        async with httpx.AsyncClient() as http:
            return await http.post(self.auth_url, content=message, headers={"Content-Type": media_type})


@asynccontextmanager
async def administrator(runtime):
    async with client(runtime, await login(runtime, "admin")) as http:
        http.base_url = "http://cloud.test/identity/v3/"
        yield http


@pytest.fixture
async def pair(tmp_path):
    metadata = tmp_path / "west.xml"
    for name in ("west", "east"):
        (tmp_path / name).mkdir()
    tables = {"identity": {"saml": {"west": {"metadata_file": str(metadata)}}}}
    async with (
        running(tmp_path / "west", [SERVICE]) as west,
        running(tmp_path / "east", [SERVICE], tables) as east,
        served(west) as west_url,
        served(east) as east_url,
    ):
        found = Pair(west, west_url, east, east_url, metadata)
        async with httpx.AsyncClient() as http:
            answer = await http.get(f"{west_url}/OS-FEDERATION/saml2/metadata")
        assert answer.headers["content-type"].startswith("text/xml")
        metadata.write_text(answer.text)
        async with administrator(west) as http:
            provider = {"auth_url": found.auth_url, "sp_url": found.auth_url, "enabled": True}
            made = await http.put("OS-FEDERATION/service_providers/east", json={"service_provider": provider})
            assert made.status_code == 201, made.text
            group = (await http.post("groups", json={"group": {"name": "travellers"}})).json()["group"]["id"]
            await http.put(f"groups/{group}/users/{await id_of(http, 'users', 'demo')}")
        async with administrator(east) as http:
            remote = f"{west_url}/OS-FEDERATION/saml2/idp"
            await http.put(PROVIDER, json={"identity_provider": {"enabled": True, "remote_ids": [remote]}})
            await http.put("OS-FEDERATION/mappings/west", json={"mapping": {"rules": RULES}})
            await http.put(f"{PROVIDER}/protocols/saml2", json={"protocol": {"mapping_id": "west"}})
            group = (await http.post("groups", json={"group": {"name": "travellers"}})).json()["group"]["id"]
            project, role = await id_of(http, "projects", "alt_demo"), await id_of(http, "roles", "reader")
            await http.put(f"projects/{project}/groups/{group}/roles/{role}")
        yield found


async def test_keystoneauth_takes_somebody_from_one_cloud_to_the_other(pair):
    home = v3.Password(
        pair.west_url,
        username="demo",
        password=password_of(pair.west, "demo"),
        user_domain_id="default",
        project_name="demo",
        project_domain_id="default",
    )
    abroad = v3.Keystone2Keystone(home, "east", project_name="alt_demo", project_domain_id="default")
    access = await asyncio.to_thread(abroad.get_access, keystone_session.Session(abroad))
    assert access.username == "demo of Default"
    assert access.project_name == "alt_demo"
    assert access.role_names == ["reader"]
    unknown = v3.Keystone2Keystone(home, "nowhere")
    with pytest.raises((AuthorizationFailure, AssertionError)):
        await asyncio.to_thread(unknown.get_access, keystone_session.Session(unknown))


async def test_an_assertion_is_good_once(pair):
    answer = await pair.assertion()
    assert answer.status_code == 200, answer.text
    assert answer.headers["x-sp-url"] == answer.headers["x-auth-url"] == pair.auth_url
    assert (await pair.present(answer.text)).status_code == 201
    again = await pair.present(answer.text)
    assert again.status_code == 401
    assert "good once" in again.json()["error"]["message"]


SPOILS = {
    "another user": lambda text: text.replace(">demo<", ">admin<", 1),
    "another role": lambda text: text.replace(">member<", ">admin<", 1),
    "no signature": lambda text: text.replace("Signature>", "Mark>"),
    "cut off": lambda text: text[:-30],
    "nothing": lambda text: "",
    "a file of ours": lambda text: '<!DOCTYPE x [<!ENTITY y SYSTEM "file:///etc/passwd">]>' + text.partition("?>")[2],
    "another address": lambda text: text.replace("/protocols/saml2/auth", "/protocols/saml3/auth"),
}


async def test_spoiled_assertions_are_refused(pair):
    text = (await pair.assertion()).text
    statuses = {name: (await pair.present(spoil(text))).status_code for name, spoil in SPOILS.items()}
    assert all(spoil(text) != text for spoil in SPOILS.values())
    assert statuses == dict.fromkeys(SPOILS, 401)
    assert (await pair.present(text)).status_code == 201  # it was good


async def test_an_assertion_of_another_signer_is_refused(pair, tmp_path):
    keys = saml.make_keys(tmp_path / "forger", "forger")
    forged = saml.signed_response(
        keys,
        issuer=f"{pair.west_url}/OS-FEDERATION/saml2/idp",
        recipient=pair.auth_url,
        subject="demo",
        attributes={"openstack_user": ["demo"], "openstack_user_domain": ["Default"], "openstack_roles": ["member"]},
        life_s=300,
    )
    assert (await pair.present(saml.in_envelope(forged, "x"))).status_code == 401


async def test_an_assertion_for_another_cloud_is_refused(pair):
    async with administrator(pair.west) as http:
        other = {"auth_url": "https://other.test/auth", "sp_url": "https://other.test/auth", "enabled": True}
        await http.put("OS-FEDERATION/service_providers/other", json={"service_provider": other})
    answer = await pair.assertion(provider="other")
    assert (await pair.present(answer.text)).status_code == 401


async def test_clouds_that_know_the_address_of_shibboleth_get_a_session(pair):
    shibboleth = f"{pair.east_url.removesuffix('/identity/v3')}/Shibboleth.sso/SAML2/ECP"
    async with administrator(pair.west) as http:
        old = {"auth_url": pair.auth_url, "sp_url": shibboleth, "enabled": True}
        await http.put("OS-FEDERATION/service_providers/old", json={"service_provider": old})
    message = (await pair.assertion(provider="old")).text
    async with httpx.AsyncClient() as http:
        taken = await http.post(shibboleth, content=message, headers={"Content-Type": saml.ECP_TYPE})
        assert (taken.status_code, taken.headers["location"]) == (302, pair.auth_url)
        answer = await http.get(pair.auth_url, headers={"Content-Type": saml.ECP_TYPE})
        assert answer.status_code == 201, answer.text
        assert (await http.get(pair.auth_url)).status_code == 401  # good once
        spoiled = message.replace(">demo<", ">admin<", 1)
        assert (await http.post(shibboleth, content=spoiled)).status_code == 401
        assert (await http.get(shibboleth)).status_code == 404
    home = v3.Password(
        pair.west_url,
        username="demo",
        password=password_of(pair.west, "demo"),
        user_domain_id="default",
        project_name="demo",
        project_domain_id="default",
    )
    abroad = v3.Keystone2Keystone(home, "old", project_name="alt_demo", project_domain_id="default")
    access = await asyncio.to_thread(abroad.get_access, keystone_session.Session(abroad))
    assert access.project_name == "alt_demo"


async def test_only_project_tokens_are_exchanged_and_only_for_enabled_clouds(pair):
    unscoped = await login(pair.west, "demo", scope={"unscoped": {}})
    assert (await pair.assertion(token=unscoped)).status_code == 403
    assert (await pair.assertion(token="x")).status_code == 401
    assert (await pair.assertion(provider="none")).status_code == 404
    async with administrator(pair.west) as http:
        await http.patch("OS-FEDERATION/service_providers/east", json={"service_provider": {"enabled": False}})
    assert (await pair.assertion()).status_code == 403


async def test_the_bare_response_serves_browsers_forms(pair):
    import base64

    answer = await pair.assertion(path="saml2")
    form = httpx.QueryParams({"SAMLResponse": base64.b64encode(answer.content).decode()})
    taken = await pair.present(str(form), "application/x-www-form-urlencoded")
    assert taken.status_code == 201, taken.text
    assert taken.json()["token"]["user"]["name"] == "demo of Default"


async def test_tokens_tell_of_service_providers(pair):
    token = await login(pair.west, "demo")
    async with client(pair.west, token, **{"X-Subject-Token": token}) as http:
        shown = (await http.get("/identity/v3/auth/tokens")).json()["token"]
    assert shown["service_providers"] == [{"id": "east", "auth_url": pair.auth_url, "sp_url": pair.auth_url}]
