"""Requests signed with access keys, and the services that ask Identity about them."""

import base64
import hashlib
import hmac
from datetime import UTC, datetime, timedelta
from urllib.parse import quote

import pytest

from pileus.kernel.testing import client
from pileus.services.identity.testing import login

V3 = "/identity/v3"


def signed_v2(key, *, at=None, host="cloud.test:8774", signed_host=None, **more):
    moment = (at or datetime.now(UTC)).strftime("%Y-%m-%dT%H:%M:%SZ")
    params = {"Action": "DescribeInstances", "SignatureVersion": "2", "Timestamp": moment, **more}
    params = {**params, "SignatureMethod": "HmacSHA256"}
    query = "&".join(f"{quote(n, safe='-_~')}={quote(params[n], safe='-_~')}" for n in sorted(params))
    text = f"GET\n{signed_host or host}\n/services/Cloud\n{query}"
    signature = base64.b64encode(hmac.digest(key["secret"].encode(), text.encode(), "sha256")).decode()
    return {
        "access": key["access"],
        "signature": signature,
        "host": host,
        "verb": "GET",
        "path": "/services/Cloud",
        "params": params,
    }


def signed_v4(key, *, at=None):
    moment = (at or datetime.now(UTC)).strftime("%Y%m%dT%H%M%SZ")
    scope = f"{moment[:8]}/RegionOne/ec2/aws4_request"
    body_hash = hashlib.sha256(b"Action=DescribeInstances").hexdigest()
    canonical = f"POST\n/\n\nhost:cloud.test\nx-amz-date:{moment}\n\nhost;x-amz-date\n{body_hash}"
    text = f"AWS4-HMAC-SHA256\n{moment}\n{scope}\n{hashlib.sha256(canonical.encode()).hexdigest()}"
    secret = f"AWS4{key['secret']}".encode()
    for part in scope.split("/"):
        secret = hmac.digest(secret, part.encode(), "sha256")
    signature = hmac.digest(secret, text.encode(), "sha256").hex()
    authorization = f"AWS4-HMAC-SHA256 Credential={key['access']}/{scope}, SignedHeaders=host;x-amz-date, Signature=x"
    return {
        "access": key["access"],
        "signature": signature,
        "host": "cloud.test",
        "verb": "POST",
        "path": "/",
        "params": {},
        "headers": {"Host": "cloud.test", "X-Amz-Date": moment, "Authorization": authorization},
        "body_hash": body_hash,
    }


def signed_s3(key):
    text = b"GET\n\n\nTue, 27 Mar 2007 19:36:42 +0000\n/bucket/key"
    signature = base64.b64encode(hmac.digest(key["secret"].encode(), text, "sha1")).decode()
    return {"access": key["access"], "signature": signature, "token": base64.urlsafe_b64encode(text).decode()}


@pytest.fixture
async def key(demo):
    user = (await demo.get("auth/tokens", headers={"X-Subject-Token": demo.headers["X-Auth-Token"]})).json()["token"]
    path = f"users/{user['user']['id']}/credentials/OS-EC2"
    answer = await demo.post(path, json={"tenant_id": user["project"]["id"]})
    assert answer.status_code == 201, answer.text
    return answer.json()["credential"]


@pytest.mark.parametrize("sign", [signed_v2, signed_v4])
async def test_a_signed_request_earns_its_service_a_token(cloud, admin, key, sign):
    answer = await admin.post("ec2tokens", json={"credentials": sign(key)})
    assert answer.status_code == 200, answer.text
    token = answer.json()["token"]
    assert (token["user"]["id"], token["project"]["id"]) == (key["user_id"], key["tenant_id"])
    assert token["methods"] == ["ec2credential"]
    assert token["catalog"]
    shown = await admin.get("auth/tokens", headers={"X-Subject-Token": answer.headers["x-subject-token"]})
    assert shown.json()["token"]["user"]["name"] == "demo"


@pytest.mark.parametrize("name", ["credential", "ec2Credentials"])
async def test_older_names_of_the_body_are_understood(admin, key, name):
    assert (await admin.post("ec2tokens", json={name: signed_v2(key)})).status_code == 200


async def test_an_s3_service_gets_the_document_but_no_token(admin, key):
    answer = await admin.post("s3tokens", json={"credentials": signed_s3(key)})
    assert answer.status_code == 200, answer.text
    assert answer.json()["token"]["user"]["name"] == "demo"
    assert "x-subject-token" not in answer.headers


async def test_clients_that_sign_the_host_without_its_port_are_understood(admin, key):
    given = signed_v2(key, signed_host="cloud.test")
    assert (await admin.post("ec2tokens", json={"credentials": given})).status_code == 200


async def test_only_services_and_admins_may_ask(cloud, admin, demo, key):
    for path, given in (("ec2tokens", signed_v2(key)), ("s3tokens", signed_s3(key))):
        assert (await demo.post(path, json={"credentials": given})).status_code == 403
        async with client(cloud) as nobody:
            assert (await nobody.post(f"{V3}/{path}", json={"credentials": given})).status_code == 401
    role = (await admin.get("roles?name=service")).json()["roles"][0]["id"]
    await admin.put(f"projects/{key['tenant_id']}/users/{key['user_id']}/roles/{role}")
    async with client(cloud, await login(cloud, "demo")) as service:
        assert (await service.post(f"{V3}/ec2tokens", json={"credentials": signed_v2(key)})).status_code == 200


@pytest.mark.parametrize("path", ["ec2tokens", "s3tokens"])
async def test_a_wrong_signature_is_401_and_an_unknown_key_404(admin, key, path):
    sign = signed_v2 if path == "ec2tokens" else signed_s3
    for signature in (None, "", "wrong", "é" * 44):
        given = {**sign(key), "signature": signature}
        assert (await admin.post(path, json={"credentials": given})).status_code == 401
    assert (await admin.post(path, json={"credentials": sign({**key, "secret": "other"})})).status_code == 401
    assert (await admin.post(path, json={"credentials": sign({**key, "access": "other"})})).status_code == 404


@pytest.mark.parametrize("sign", [signed_v2, signed_v4])
@pytest.mark.parametrize("minutes", [-16, 16])
async def test_a_signature_counts_for_a_while_only(admin, key, sign, minutes):
    given = sign(key, at=datetime.now(UTC) + timedelta(minutes=minutes))
    assert (await admin.post("ec2tokens", json={"credentials": given})).status_code == 401


async def test_what_was_signed_cannot_be_changed(admin, key):
    given = signed_v2(key)
    given["params"]["Action"] = "TerminateInstances"
    assert (await admin.post("ec2tokens", json={"credentials": given})).status_code == 401
    assert (await admin.post("ec2tokens", json={"credentials": {**signed_v2(key), "verb": "POST"}})).status_code == 401
    expired = signed_v2(key, Expires="2020-01-01T00:00:00Z")
    assert (await admin.post("ec2tokens", json={"credentials": expired})).status_code == 401


@pytest.mark.parametrize(
    "body", [None, {}, [], {"credentials": []}, {"credentials": {"access": 5}}, {"credentials": {}}]
)
async def test_malformed_bodies_are_refused(admin, body):
    for path in ("ec2tokens", "s3tokens"):
        assert (await admin.post(path, json=body)).status_code in (400, 401)


async def test_a_key_ends_with_its_user_project_and_role(admin, key):
    await admin.patch(f"projects/{key['tenant_id']}", json={"project": {"enabled": False}})
    assert (await admin.post("ec2tokens", json={"credentials": signed_v2(key)})).status_code == 401
    await admin.patch(f"projects/{key['tenant_id']}", json={"project": {"enabled": True}})
    assert (await admin.post("ec2tokens", json={"credentials": signed_v2(key)})).status_code == 200
    await admin.patch(f"users/{key['user_id']}", json={"user": {"enabled": False}})
    assert (await admin.post("ec2tokens", json={"credentials": signed_v2(key)})).status_code == 401


async def test_a_token_of_a_key_is_not_for_identity_and_makes_no_other(cloud, admin, key):
    token = (await admin.post("ec2tokens", json={"credentials": signed_v2(key)})).headers["x-subject-token"]
    async with client(cloud, token) as http:
        assert (await http.get(f"{V3}/auth/projects")).status_code == 403
        path = f"{V3}/users/{key['user_id']}/application_credentials"
        assert (await http.post(path, json={"application_credential": {"name": "x"}})).status_code == 403
    async with client(cloud) as http:
        body = {"auth": {"identity": {"methods": ["token"], "token": {"id": token}}}}
        assert (await http.post(f"{V3}/auth/tokens", json=body)).status_code == 403


async def test_a_key_cannot_name_what_is_not_its_owners(admin, demo, key):
    for part in ("trust_id", "app_cred_id"):
        blob = f'{{"access": "a-{part}", "secret": "s", "{part}": "of-somebody-else"}}'
        credential = {"type": "ec2", "blob": blob, "project_id": key["tenant_id"]}
        assert (await demo.post("credentials", json={"credential": credential})).status_code == 201
        given = signed_v2({"access": f"a-{part}", "secret": "s"})
        assert (await admin.post("ec2tokens", json={"credentials": given})).status_code == 401
