"""Tokens for OAuth 2.0 clients, by secret and by certificate."""

import base64
import hashlib

import httpx
import pytest

from pileus.kernel.testing import client, running
from pileus.services.identity.service import SERVICE
from pileus.services.identity.testing import login
from tests.api.identity.certificates import certificate, escaped

TOKEN = "/identity/v3/OS-OAUTH2/token"
GRANT = {"grant_type": "client_credentials"}
HEADER = "X-Client-Certificate"


@pytest.fixture
async def credential(cloud, demo):
    shown = (await demo.get("auth/tokens", headers={"X-Subject-Token": demo.headers["X-Auth-Token"]})).json()["token"]
    path = f"users/{shown['user']['id']}/application_credentials"
    answer = await demo.post(path, json={"application_credential": {"name": "program"}})
    assert answer.status_code == 201, answer.text
    return answer.json()["application_credential"]


async def ask(cloud, data=GRANT, auth=None, **headers):
    if auth is not None:
        headers["Authorization"] = f"Basic {base64.b64encode(':'.join(auth).encode()).decode()}"
    async with client(cloud, **headers) as http:
        return await http.post(TOKEN, data=data)


async def test_a_secret_earns_a_bearer_token(cloud, credential):
    answer = await ask(cloud, auth=(credential["id"], credential["secret"]))
    assert answer.status_code == 200, answer.text
    body = answer.json()
    assert (body["token_type"], body["expires_in"]) == ("Bearer", 3600)
    assert answer.headers["cache-control"] == "no-store"
    async with client(cloud, Authorization=f"Bearer {body['access_token']}") as http:
        assert (await http.get("/identity/v3/auth/projects")).status_code == 200
        assert (await http.get("/identity/v3/users")).status_code == 403
    async with client(cloud, Authorization=f"Bearer {body['access_token'][:-4]}") as http:
        assert (await http.get("/identity/v3/auth/projects")).status_code == 401


async def test_a_secret_in_the_form_is_understood(cloud, credential):
    data = {**GRANT, "client_id": credential["id"], "client_secret": credential["secret"]}
    assert (await ask(cloud, data)).status_code == 200


@pytest.mark.parametrize(
    ("data", "status", "error"),
    [
        ({}, 400, "invalid_request"),
        ({"grant_type": ""}, 400, "invalid_request"),
        ({"grant_type": ["client_credentials", "client_credentials"]}, 400, "invalid_request"),
        ({"grant_type": "password"}, 400, "unsupported_grant_type"),
        (GRANT, 401, "invalid_client"),
        ({**GRANT, "client_id": "nobody"}, 401, "invalid_client"),
        ({**GRANT, "client_id": "nobody", "client_secret": "x"}, 401, "invalid_client"),
        ({**GRANT, "filler": "x" * 70_000}, 400, "invalid_request"),
    ],
)
async def test_errors_are_those_of_rfc_6749(cloud, data, status, error):
    answer = await ask(cloud, data)
    assert (answer.status_code, answer.json()["error"]) == (status, error)
    assert answer.json()["error_description"]
    assert ("www-authenticate" in answer.headers) == (status == 401)


async def test_a_json_body_is_no_form(cloud):
    async with client(cloud) as http:
        answer = await http.post(TOKEN, json=GRANT)
    assert (answer.status_code, answer.json()["error"]) == (400, "invalid_request")


@pytest.mark.parametrize("value", ["Basic", "Basic !", "Basic YQ==", "Basic " + base64.b64encode(b"\xff:x").decode()])
async def test_a_malformed_header_is_401(cloud, value):
    answer = await ask(cloud, Authorization=value)
    assert (answer.status_code, answer.json()["error"]) == (401, "invalid_client")


async def test_wrong_secrets_and_unknown_clients_are_told_alike(cloud, credential):
    wrong = await ask(cloud, auth=(credential["id"], "wrong"))
    nobody = await ask(cloud, auth=("nobody", "wrong"))
    assert wrong.status_code == nobody.status_code == 401
    assert wrong.json() == nobody.json()


@pytest.mark.parametrize("method", ["GET", "PUT", "PATCH", "DELETE"])
async def test_other_verbs_are_405(cloud, method):
    async with client(cloud) as http:
        answer = await http.request(method, TOKEN)
    assert (answer.status_code, answer.json()["error"]) == (405, "other_error")


@pytest.fixture
async def proxied(tmp_path):
    tables = {"identity": {"client_certificate_header": HEADER}}
    async with running(tmp_path, [SERVICE], tables) as runtime:
        yield runtime


@pytest.fixture
async def operator(proxied):
    async with client(proxied, await login(proxied, "admin")) as http:
        http.base_url = "http://cloud.test/identity/v3/"
        yield http


RULES = [
    {
        "local": [
            {
                "user": {"name": "{0}", "id": "{1}", "email": "{2}", "domain": {"name": "{3}", "id": "{4}"}},
            }
        ],
        "remote": [
            {"type": "SSL_CLIENT_SUBJECT_DN_CN"},
            {"type": "SSL_CLIENT_SUBJECT_DN_UID"},
            {"type": "SSL_CLIENT_SUBJECT_DN_EMAILADDRESS"},
            {"type": "SSL_CLIENT_SUBJECT_DN_O"},
            {"type": "SSL_CLIENT_SUBJECT_DN_DC"},
            {"type": "SSL_CLIENT_ISSUER_DN_CN", "any_one_of": ["root"]},
        ],
    }
]


@pytest.fixture
async def machine(operator):
    """A user with a certificate: who it is, and the names in the certificate."""
    answer = await operator.put("OS-FEDERATION/mappings/oauth2_mapping", json={"mapping": {"rules": RULES}})
    assert answer.status_code == 201, answer.text
    project = (await operator.get("projects?name=demo")).json()["projects"][0]["id"]
    role = (await operator.get("roles?name=member")).json()["roles"][0]["id"]
    body = {"user": {"name": "machine", "default_project_id": project, "email": "machine@example.org"}}
    user = (await operator.post("users", json=body)).json()["user"]
    assert (await operator.put(f"projects/{project}/users/{user['id']}/roles/{role}")).status_code == 204
    subject = {"CN": "machine", "UID": user["id"], "E": "machine@example.org", "O": "Default", "DC": "default"}
    return user, subject


async def by_certificate(cloud, user_id, value, peer="127.0.0.1"):
    transport = httpx.ASGITransport(cloud.app, client=(peer, 1))
    async with httpx.AsyncClient(transport=transport, base_url="http://cloud.test", headers={HEADER: value}) as http:
        return await http.post(TOKEN, data={**GRANT, "client_id": user_id})


async def test_a_certificate_earns_a_token_that_works_with_it_only(proxied, operator, machine):
    user, subject = machine
    pem, _ = certificate(subject, {"CN": "root"})
    answer = await by_certificate(proxied, user["id"], escaped(pem))
    assert answer.status_code == 200, answer.text
    token = answer.json()["access_token"]
    shown = (await operator.get("auth/tokens", headers={"X-Subject-Token": token})).json()["token"]
    thumbprint = base64.urlsafe_b64encode(hashlib.sha256(pem.encode()).digest()).decode()
    assert shown["oauth2_credential"] == {"x5t#S256": thumbprint}
    assert shown["methods"] == ["oauth2_credential"]
    assert shown["project"]["name"] == "demo"
    other, _ = certificate(subject, {"CN": "root"})
    for value, status in ((escaped(pem), 200), (escaped(other), 401), ("", 401)):
        async with client(proxied, token, **{HEADER: value}) as http:
            assert (await http.get("/identity/v3/auth/projects")).status_code == status
    async with client(proxied, token) as http:
        assert (await http.get("/identity/v3/auth/projects")).status_code == 401
        made = {"methods": ["token"], "token": {"id": token}}
        assert (await http.post("/identity/v3/auth/tokens", json={"auth": {"identity": made}})).status_code in (
            401,
            403,
        )


@pytest.mark.parametrize("form", ["escaped", "spaces", "der", "rfc9440"])
async def test_proxies_write_certificates_in_several_ways(proxied, machine, form):
    user, subject = machine
    pem, _ = certificate(subject, {"CN": "root"})
    der = "".join(pem.splitlines()[1:-1])
    value = {"escaped": escaped(pem), "spaces": pem.replace("\n", " "), "der": der, "rfc9440": f":{der}:"}[form]
    assert (await by_certificate(proxied, user["id"], value)).status_code == 200


async def test_a_certificate_counts_from_a_trusted_proxy_only(proxied, machine):
    user, subject = machine
    pem, _ = certificate(subject, {"CN": "root"})
    answer = await by_certificate(proxied, user["id"], escaped(pem), peer="192.0.2.9")
    assert (answer.status_code, answer.json()["error"]) == (401, "invalid_client")


@pytest.mark.parametrize("part", ["CN", "UID", "E", "O", "DC"])
async def test_every_name_that_the_mapping_reads_must_fit(proxied, machine, part):
    user, subject = machine
    pem, _ = certificate({**subject, part: "x.y@z"}, {"CN": "root"})
    assert (await by_certificate(proxied, user["id"], escaped(pem))).status_code == 401
    pem, _ = certificate({key: value for key, value in subject.items() if key != part}, {"CN": "root"})
    assert (await by_certificate(proxied, user["id"], escaped(pem))).status_code == 401


async def test_a_certificate_of_another_issuer_of_nobody_or_of_nothing_is_refused(proxied, operator, machine):
    user, subject = machine
    pem, _ = certificate(subject, {"CN": "another"})
    assert (await by_certificate(proxied, user["id"], escaped(pem))).status_code == 401
    pem, _ = certificate(subject, {"CN": "root"})
    assert (await by_certificate(proxied, "nobody", escaped(pem))).status_code == 401
    assert (await by_certificate(proxied, user["id"], "bm8gY2VydGlmaWNhdGU=")).status_code == 401
    assert (await by_certificate(proxied, user["id"], "!")).status_code == 400
    await operator.patch(f"users/{user['id']}", json={"user": {"enabled": False}})
    assert (await by_certificate(proxied, user["id"], escaped(pem))).status_code == 401
    await operator.patch(f"users/{user['id']}", json={"user": {"enabled": True}})
    assert (await operator.delete("OS-FEDERATION/mappings/oauth2_mapping")).status_code == 204
    assert (await by_certificate(proxied, user["id"], escaped(pem))).status_code == 401
