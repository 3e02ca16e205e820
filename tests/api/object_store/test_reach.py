"""Who reaches what: temporary URLs, access lists, and what refusals give away."""

import hmac
from pathlib import Path

import httpx
import pytest

from pileus.kernel import clock
from pileus.kernel.runtime import Runtime
from pileus.kernel.testing import client, running
from pileus.services.object_store.service import SERVICE
from tests.api.object_store.conftest import TOKENS

ROOT = "/object-store/v1"


def signed(method: str, path: str, key: bytes = b"k") -> str:
    expires = int(clock.now().timestamp()) + 100
    signature = hmac.new(key, f"{method}\n{expires}\n{path}".encode(), "sha256").hexdigest()
    return f"{path}?temp_url_sig={signature}&temp_url_expires={expires}"


@pytest.mark.parametrize(
    ("method", "query", "headers"),
    [
        ("POST", "", {"X-Object-Manifest": "box/secret"}),
        ("PUT", "", {"X-Object-Manifest": "box/secret"}),
        ("PUT", "", {"X-Copy-From": "box/secret"}),
        ("PUT", "", {"X-Symlink-Target": "box/secret"}),
        ("PUT", "&multipart-manifest=put", {}),
        ("PUT", "&extract-archive=tar", {}),
        ("DELETE", "&multipart-manifest=delete", {}),
        ("DELETE", "&bulk-delete", {}),
        ("COPY", "", {"Destination": "box/public"}),
    ],
)
async def test_a_temporary_url_reaches_its_object_only(
    cloud: Runtime, box: httpx.AsyncClient, method: str, query: str, headers: dict[str, str]
) -> None:
    await box.put("secret", content=b"secret")
    await box.put("public", content=b"public")
    await box.post(f"http://cloud.test{ROOT}/AUTH_p1", headers={"X-Account-Meta-Temp-URL-Key": "k"})
    path = f"{ROOT}/AUTH_p1/box/public"
    async with client(cloud) as guest:
        body = b'[{"path": "/box/secret"}]' if "put" in query else b""
        answer = await guest.request(method, signed(method, path) + query, content=body, headers=headers)
        assert (answer.status_code, "temporary URL" in answer.text) == (400, True)
        assert (await guest.get(signed("GET", path))).content == b"public"
    assert (await box.get("secret")).content == b"secret"


DEFAULT = "project_domain_id=default+user_domain_id=default"
OTHER = "project_domain_id=d2+user_domain_id=d2"


@pytest.mark.parametrize(
    ("owner", "caller", "admitted"),
    [
        (DEFAULT, DEFAULT, True),
        (DEFAULT, OTHER, False),
        (DEFAULT, "project_domain_id=default+user_domain_id=d2", False),
        (DEFAULT, "project_domain_id=d2+user_domain_id=default", False),
        (OTHER, DEFAULT, False),
        (OTHER, OTHER, False),
    ],
)
async def test_names_in_lists_mean_the_default_domain(cloud: Runtime, owner: str, caller: str, admitted: bool) -> None:
    url = f"{ROOT}/AUTH_p1/box"
    async with client(cloud, f"p1/u1/member/{owner}") as http:
        await http.put(url, headers={"X-Container-Read": "acme:bob", "X-Container-Write": "*:bob"})
        await http.put(f"{url}/o", content=b"x")
        assert (await http.head(f"{ROOT}/AUTH_p1")).headers["x-account-project-domain-id"] in owner
    async with client(cloud, f"p2/u2/member/{caller}+project_name=acme+user_name=bob") as guest:
        assert (await guest.get(f"{url}/o")).status_code == (200 if admitted else 403)
        assert (await guest.put(f"{url}/o", content=b"x")).status_code == (201 if admitted else 403)


async def test_names_of_an_account_whose_domain_nobody_said(cloud: Runtime) -> None:
    url = f"{ROOT}/AUTH_p1/box"
    async with client(cloud, "p9/admin/ResellerAdmin") as reseller:
        await reseller.put(url, headers={"X-Container-Read": "acme:bob,p3:u3"})
        await reseller.put(f"{url}/o", content=b"x")
    async with client(cloud, f"p2/u2/member/{DEFAULT}+project_name=acme+user_name=bob") as guest:
        assert (await guest.get(f"{url}/o")).status_code == 403
    async with client(cloud, f"p3/u3/member/{OTHER}") as named:
        assert (await named.get(f"{url}/o")).status_code == 200


@pytest.mark.parametrize("token", [None, "p2/u2/member"])
async def test_refusals_do_not_tell_which_containers_there_are(
    cloud: Runtime, http: httpx.AsyncClient, token: str | None
) -> None:
    await http.put("box")
    await http.put("box/o", content=b"x")
    async with client(cloud, token) as stranger:
        for method in ("GET", "PUT", "POST", "DELETE"):
            for tail in ("", "/o"):
                there = await stranger.request(method, f"{ROOT}/AUTH_p1/box{tail}")
                missing = await stranger.request(method, f"{ROOT}/AUTH_p1/none{tail}")
                assert (there.status_code, there.text) == (missing.status_code, missing.text)
                assert there.status_code == (403 if token else 401)


async def test_at_the_root_when_it_is_so_set(tmp_path: Path, http: httpx.AsyncClient) -> None:
    assert (await http.get("http://cloud.test/info")).status_code == 404
    tables = {"object_store": {"at_root": True}}
    (tmp_path / "rooted").mkdir()
    async with (
        running(tmp_path / "rooted", [TOKENS, SERVICE], tables) as cloud,
        client(cloud, "p1/u1/member") as rooted,
    ):
        assert (await rooted.put("/v1/AUTH_p1/box")).status_code == 201
        assert (await rooted.put("/v1/AUTH_p1/box/o", content=b"x")).status_code == 201
        assert (await rooted.get(f"{ROOT}/AUTH_p1/box/o")).content == b"x"
        assert (await rooted.get("/info")).json()["swift"]["account_autocreate"] is True
        assert (await rooted.get("/healthcheck")).text == "OK"
        assert (await rooted.get("/v1/AUTH_p1/none")).headers["x-trans-id"].startswith("tx")
        assert (await rooted.get("/other")).status_code == 404
