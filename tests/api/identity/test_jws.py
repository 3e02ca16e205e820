"""Signed tokens: what is in them, who accepts them, and how their keys turn."""

import base64
import hmac
import json

import pytest
from joserfc import jwt
from joserfc.jwk import ECKey

from pileus.kernel.testing import client, running
from pileus.services.identity.app.fernet import Payload
from pileus.services.identity.app.jws import JwsKeys, claims_of, payload_of
from pileus.services.identity.app.memory import Memory
from pileus.services.identity.app.validation import Tokens
from pileus.services.identity.service import SERVICE
from pileus.services.identity.testing import login

JWS = {"identity": {"token_provider": "jws"}}


@pytest.fixture
async def cloud(tmp_path):
    async with running(tmp_path, [SERVICE], JWS) as runtime:
        yield runtime


async def is_good(cloud, token):
    cloud.part(Memory).clear()
    async with client(cloud, token) as http:
        return (await http.get("/identity/v3/auth/projects")).status_code == 200


def part(token, number):
    text = token.split(".")[number]
    return json.loads(base64.urlsafe_b64decode(text + "=" * (-len(text) % 4)))


def signing_key(cloud):
    folder = cloud.config.state / "identity" / "jws-keys"
    return ECKey.import_key((folder / max((path.name for path in folder.iterdir()), key=int)).read_bytes())


async def test_a_signed_token_says_what_keystones_do(cloud):
    token = await login(cloud, "demo")
    assert part(token, 0)["alg"] == "ES256"
    claims = part(token, 1)
    assert claims["openstack_methods"] == ["password"]
    assert claims["exp"] - claims["iat"] == pytest.approx(3600)
    async with client(cloud, token, **{"X-Subject-Token": token}) as http:
        shown = (await http.get("/identity/v3/auth/tokens")).json()["token"]
    assert claims["sub"] == shown["user"]["id"]
    assert claims["openstack_project_id"] == shown["project"]["id"]
    assert claims["openstack_audit_ids"] == shown["audit_ids"]
    jwt.decode(token, ECKey.import_key(signing_key(cloud).as_dict(private=False)), algorithms=["ES256"])


@pytest.mark.parametrize("scope", [{"system": {"all": True}}, {"domain": {"id": "default"}}, "unscoped"])
async def test_every_scope_survives(cloud, scope):
    token = await login(cloud, "admin", scope=scope)
    async with client(cloud, token, **{"X-Subject-Token": token}) as http:
        shown = (await http.get("/identity/v3/auth/tokens")).json()["token"]
    assert [name for name in ("system", "domain", "project") if name in shown] == [*scope][: isinstance(scope, dict)]


@pytest.mark.parametrize(
    "payload",
    [
        Payload(1, "u", ("password",), "p", "x", 1_700_000_000_123_456, 1_700_000_003_654_321, ("a", "b")),
        Payload(1, "u", ("oauth1",), "p", "x", 1, 2, ("a",), access_token_id="t", thumbprint="#"),
        Payload(1, "u", ("mapped",), "", "", 1, 2, ("a",), whence=("idp", "openid")),
        Payload(1, "u", ("application_credential",), "p", "x", 1, 2, ("a",), application_credential_id="c"),
        Payload(1, "u", ("password",), "p", "x", 1, 2, ("a",), trust_id="t"),
        Payload(1, "u", ("password",), "s", "all", 1, 2, ("a",)),
        Payload(1, "u", ("password",), "d", "x", 1, 2, ("a",)),
    ],
)
def test_nothing_of_a_payload_is_lost(payload):
    assert payload_of(json.loads(json.dumps(claims_of(payload)))) == payload


async def test_rotating_keys_loses_no_session(cloud):
    keys = cloud.part(Tokens).jws
    token = await login(cloud)
    first = part(token, 0)["kid"]
    keys.rotate()
    other = JwsKeys(cloud)
    assert await is_good(cloud, token)
    later = await login(cloud)
    assert part(later, 0)["kid"] != first
    assert await is_good(cloud, later)
    assert other.open(later).user_id == other.open(token).user_id
    keys.rotate()
    keys.rotate()
    assert not await is_good(cloud, token)


@pytest.mark.parametrize(("before", "after"), [("fernet", "jws"), ("jws", "fernet")])
async def test_changing_the_provider_loses_no_session(tmp_path, before, after):
    async with running(tmp_path, [SERVICE], {"identity": {"token_provider": before}}) as cloud:
        token = await login(cloud)
    async with running(tmp_path, [SERVICE], {"identity": {"token_provider": after}}) as cloud:
        assert await is_good(cloud, token)
        assert ("." in await login(cloud)) == (after == "jws")


def encoded(value):
    return base64.urlsafe_b64encode(value if isinstance(value, bytes) else json.dumps(value).encode()).rstrip(b"=")


def symmetric(claims, kid, public_key):
    """A token that takes the public key, which all know, for a shared secret."""
    text = encoded({"alg": "HS256", "kid": kid}) + b"." + encoded(claims)
    return (text + b"." + encoded(hmac.digest(public_key, text, "sha256"))).decode()


async def test_forged_tokens_are_refused(cloud, tmp_path_factory):
    token = await login(cloud, "admin")
    claims, key = part(token, 1), signing_key(cloud)
    kid = part(token, 0)["kid"]
    stranger = ECKey.generate_key("P-256")
    body = token.split(".")[1]
    none = encoded({"alg": "none", "kid": kid}).decode()
    forged = [
        jwt.encode({"alg": "ES256", "kid": kid}, claims, stranger),
        symmetric(claims, kid, key.as_pem(private=False)),
        jwt.encode({"alg": "ES256"}, claims, key),
        jwt.encode({"alg": "ES256", "kid": kid}, {"sub": claims["sub"]}, key),
        jwt.encode({"alg": "ES256", "kid": kid}, {**claims, "openstack_audit_ids": []}, key),
        jwt.encode({"alg": "ES256", "kid": kid}, {**claims, "exp": claims["iat"] - 10**6}, key),
        f"{none}.{body}.",
        token[:-2] + ("AA" if not token.endswith("AA") else "BB"),
        token[: len(token) // 2],
        "..",
        "a.b.c",
        token + "A" * 5000,
    ]
    async with running(tmp_path_factory.mktemp("other"), [SERVICE], JWS) as other:
        forged.append(await login(other, "admin"))
    for text in forged:
        assert not await is_good(cloud, text)
    assert await is_good(cloud, token)


async def test_a_cloud_without_such_keys_refuses_signed_tokens(tmp_path):
    async with running(tmp_path, [SERVICE]) as cloud:
        assert not await is_good(cloud, "a.b.c")
