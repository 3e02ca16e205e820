"""The ways to log in, driven by the unmodified library of OpenStack's clients over real sockets."""

import asyncio
import ipaddress
from functools import partial
from typing import Any
from urllib.parse import parse_qsl

import pytest
from cryptography import x509
from keystoneauth1 import exceptions
from keystoneauth1.extras.oauth1.v3 import OAuth1
from keystoneauth1.identity import v3
from keystoneauth1.session import Session
from keystoneauth1.token_endpoint import Token as TokenEndpoint
from oauthlib.oauth1 import Client

from pileus.kernel.testing import running
from pileus.services.identity.service import SERVICE
from pileus.services.identity.testing import password_of
from tests.api.identity.certificates import certificate
from tests.api.identity.front import HEADER, proxied, served
from tests.api.identity.passcodes import SECRET, passcode

SCOPE: dict[str, Any] = {"project_name": "demo", "project_domain_id": "default"}
DEMO: dict[str, Any] = {"username": "demo", "user_domain_id": "default"}


class Cloud:
    """A cloud on a port, and the two sessions every test needs."""

    def __init__(self, runtime, port):
        self.runtime, self.url = runtime, f"http://127.0.0.1:{port}/identity/v3"

    def session(self, plugin, **more):
        return Session(plugin, **more)

    def password(self, name="demo"):
        return v3.Password(
            self.url,
            username=name,
            user_domain_id="default",
            password=password_of(self.runtime, name),
            project_name=name,
            project_domain_id="default",
        )

    async def call(self, session, method, path, body=None, **more):
        """Send a request to Identity, found in the catalog, and return the decoded answer."""
        filters = {"service_type": "identity", "version": "3"}
        send = lambda: session.request(path, method, json=body, endpoint_filter=filters, **more)  # noqa: E731
        answer = await asyncio.to_thread(send)
        return answer.json() if answer.content else None


@pytest.fixture
async def cloud(tmp_path):
    table = {"identity": {"client_certificate_header": HEADER}}
    async with running(tmp_path, [SERVICE], table) as runtime, served(runtime) as port:
        yield Cloud(runtime, port)


@pytest.fixture
async def demo(cloud):
    session = cloud.session(cloud.password())
    await cloud.call(session, "POST", "/credentials", {"credential": {"type": "totp", "blob": SECRET}})
    return session


async def user_of(session):
    return await asyncio.to_thread(session.get_user_id)


async def test_totp(cloud, demo):
    session = cloud.session(v3.TOTP(cloud.url, passcode=passcode(), **DEMO, **SCOPE))
    assert await user_of(session) == await user_of(demo)
    assert (await cloud.call(session, "GET", "/auth/projects"))["projects"][0]["name"] == "demo"


async def test_multi_factor_by_receipt_and_at_once(cloud, demo):
    admin, user = cloud.session(cloud.password("admin")), await user_of(demo)
    options = {"multi_factor_auth_enabled": True, "multi_factor_auth_rules": [["password", "totp"]]}
    await cloud.call(admin, "PATCH", f"/users/{user}", {"user": {"options": options}})
    with pytest.raises(exceptions.MissingAuthMethods) as missing:
        await user_of(cloud.session(cloud.password()))
    assert missing.value.required_auth_methods == [["password", "totp"]]
    second = v3.TOTP(cloud.url, passcode=passcode(), **DEMO, **SCOPE)
    second.add_method(v3.ReceiptMethod(receipt=str(missing.value.receipt)))
    assert await user_of(cloud.session(second)) == user


async def test_multi_factor_at_once(cloud, demo):
    admin, user = cloud.session(cloud.password("admin")), await user_of(demo)
    options = {"multi_factor_auth_rules": [["password", "totp"]]}
    await cloud.call(admin, "PATCH", f"/users/{user}", {"user": {"options": options}})
    both = v3.MultiFactor(
        cloud.url,
        auth_methods=["v3password", "v3totp"],
        password=password_of(cloud.runtime, "demo"),
        passcode=passcode(),
        **DEMO,
        **SCOPE,
    )
    assert await user_of(cloud.session(both)) == user


async def application_credential(cloud, session):
    path = f"/users/{await user_of(session)}/application_credentials"
    return (await cloud.call(session, "POST", path, {"application_credential": {"name": "x"}}))[
        "application_credential"
    ]


async def test_application_credential_and_oauth2(cloud, demo):
    made = await application_credential(cloud, demo)
    plain = v3.ApplicationCredential(
        cloud.url, application_credential_id=made["id"], application_credential_secret=made["secret"]
    )
    assert await user_of(cloud.session(plain)) == await user_of(demo)
    oauth2 = v3.OAuth2ClientCredential(
        cloud.url,
        oauth2_endpoint=f"{cloud.url}/OS-OAUTH2/token",
        oauth2_client_id=made["id"],
        oauth2_client_secret=made["secret"],
    )
    assert (await cloud.call(cloud.session(oauth2), "GET", "/auth/projects"))["projects"][0]["name"] == "demo"


async def test_oauth1(cloud):
    admin = cloud.session(cloud.password("admin"))
    consumer = (await cloud.call(admin, "POST", "/OS-OAUTH1/consumers", {"consumer": {}}))["consumer"]
    access = await _dance(cloud, admin, consumer)
    plugin = OAuth1(
        cloud.url,
        consumer_key=consumer["id"],
        consumer_secret=consumer["secret"],
        access_key=access["oauth_token"],
        access_secret=access["oauth_token_secret"],
    )
    session = cloud.session(plugin)
    assert await user_of(session) == await user_of(admin)
    with pytest.raises(exceptions.Forbidden):
        await cloud.call(session, "GET", "/users")


async def _dance(cloud, admin, consumer):
    """Return an access token, asked for as RFC 5849 tells consumers to."""

    async def post(path, key=None, secret=None, headers=None, **more):
        client = Client(consumer["id"], consumer["secret"], key, secret, **more)
        _, signed, _ = client.sign(f"{cloud.url}{path}", "POST")
        send = partial(Session().post, f"{cloud.url}{path}", headers={**signed, **(headers or {})}, authenticated=False)
        return dict(parse_qsl((await asyncio.to_thread(send)).text))

    project = await asyncio.to_thread(admin.get_project_id)
    headers = {"Requested-Project-Id": project}
    token = await post("/OS-OAUTH1/request_token", headers=headers, callback_uri="oob")
    path = f"/OS-OAUTH1/authorize/{token['oauth_token']}"
    verifier = (await cloud.call(admin, "PUT", path, {"roles": [{"name": "member"}]}))["token"]["oauth_verifier"]
    keys = token["oauth_token"], token["oauth_token_secret"]
    return await post("/OS-OAUTH1/access_token", *keys, verifier=verifier)


async def test_oauth2_by_certificate_over_tls(cloud, tmp_path):
    admin = cloud.session(cloud.password("admin"))
    rules = [{"local": [{"user": {"name": "{0}"}}], "remote": [{"type": "SSL_CLIENT_SUBJECT_DN_CN"}]}]
    await cloud.call(admin, "PUT", "/OS-FEDERATION/mappings/oauth2_mapping", {"mapping": {"rules": rules}})
    project = (await cloud.call(admin, "GET", "/projects?name=demo"))["projects"][0]["id"]
    role = (await cloud.call(admin, "GET", "/roles?name=member"))["roles"][0]["id"]
    body = {"user": {"name": "machine", "default_project_id": project}}
    user = (await cloud.call(admin, "POST", "/users", body))["user"]["id"]
    await cloud.call(admin, "PUT", f"/projects/{project}/users/{user}/roles/{role}")
    files = {}
    address = x509.IPAddress(ipaddress.ip_address("127.0.0.1"))
    for name, alternative in (("server", address), ("machine", None), ("other", None)):
        for kind, text in zip(("pem", "key"), certificate({"CN": name}, alternative=alternative), strict=True):
            files[name, kind] = tmp_path / f"{name}.{kind}"
            files[name, kind].write_text(text)
    known = tmp_path / "known.pem"
    known.write_text(files["machine", "pem"].read_text() + files["other", "pem"].read_text())
    port = int(cloud.url.split(":")[2].split("/")[0])
    async with proxied(port, files["server", "pem"], files["server", "key"], known) as front:
        url = f"https://127.0.0.1:{front}/identity/v3"

        def session(name):
            plugin = v3.OAuth2mTlsClientCredential(url, oauth2_endpoint=f"{url}/OS-OAUTH2/token", oauth2_client_id=user)
            pair = (str(files[name, "pem"]), str(files[name, "key"]))
            return Session(plugin, verify=str(files["server", "pem"]), cert=pair)

        machine = session("machine")
        assert (await cloud.call(machine, "GET", "/auth/projects"))["projects"][0]["id"] == project
        token = await asyncio.to_thread(machine.get_token)
        with pytest.raises(exceptions.ClientException, match="Client authentication failed"):
            await asyncio.to_thread(session("other").get_token)
        with pytest.raises(exceptions.Unauthorized):
            await cloud.call(Session(TokenEndpoint(cloud.url, token)), "GET", "/auth/projects")
