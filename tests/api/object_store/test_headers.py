"""Headers: each has its effect or is refused, whatever the verb."""

import httpx
import pytest

from pileus.kernel import clock
from pileus.kernel.runtime import Runtime
from pileus.kernel.testing import client
from pileus.services.object_store.app.headers import ABSENT, KNOWN

ROOT = "/object-store/v1"
PATHS = {"account": "AUTH_p1", "container": "AUTH_p1/box", "object": "AUTH_p1/box/o"}


def an_absent(kind: str) -> list[str]:
    """Return headers of features that are not here, each as a client would send it."""
    names = [f"{name}index" if name.endswith("-") else name for name in ABSENT]
    others = {"account", "container"} - {kind}
    return [name for name in names if not name.startswith(tuple(f"x-{other}-" for other in others))]


@pytest.mark.parametrize(("kind", "method"), sorted(KNOWN))
async def test_what_is_absent_or_means_nothing_is_refused(
    cloud: Runtime, box: httpx.AsyncClient, kind: str, method: str
) -> None:
    await box.put("o", content=b"x", headers={"X-Object-Meta-A": "1"})
    url = f"{ROOT}/{PATHS[kind]}"
    async with client(cloud, "p1/u1/member+ResellerAdmin") as http:
        before = (await http.head(url)).headers
        for name in an_absent(kind):
            answer = await http.request(method, url, headers={name: "x", "Destination": "box/p"})
            assert (answer.status_code, "not offered here" in answer.text) == (501, True), name
        for name in (f"X-{kind}-Colour", "X-Symlink-Colour", "X-Remove-Object-Manifest", "X-Backend-Timestamp"):
            answer = await http.request(method, url, headers={name: "x", "Destination": "box/p"})
            assert (answer.status_code, "has no effect" in answer.text) == (400, True), name
        after = (await http.head(url)).headers
    ignored = {"x-trans-id", "x-openstack-request-id", "x-timestamp"}
    assert {**after, **dict.fromkeys(ignored)} == {**before, **dict.fromkeys(ignored)}


async def test_headers_of_others_and_of_answers_are_let_through(box: httpx.AsyncClient) -> None:
    others = {"X-Request-Id": "1", "X-Newest": "true", "X-Forwarded-For": "::1", "X-Versions-Enabled": "false"}
    assert (await box.post("", headers={**others, "X-Container-Object-Count": "0"})).status_code == 204
    assert (await box.put("o", content=b"x", headers={"X-Remove-Object-Meta-A": ""})).status_code == 201
    assert (
        await box.post("", headers={"X-Container-Sync-To": "", "X-Remove-Container-Sync-To": "x"})
    ).status_code == 204


@pytest.mark.parametrize("kind", ["account", "container"])
async def test_what_is_both_set_and_removed_is_set(cloud: Runtime, http: httpx.AsyncClient, kind: str) -> None:
    await http.put("box")
    url = f"http://cloud.test{ROOT}/{PATHS[kind]}"
    name = f"{kind.title()}-Meta-Book"
    await http.post(url, headers={f"X-{name}": "Moby", f"X-Remove-{name}": "x"})
    assert (await http.head(url)).headers[f"x-{name}"] == "Moby"
    await http.post(url, headers={f"X-Remove-{name}": "x"})
    assert f"x-{name}".lower() not in (await http.head(url)).headers


async def test_a_static_large_object_is_not_declared_by_a_header(box: httpx.AsyncClient) -> None:
    put = await box.put("o", content=b"[]", headers={"X-Static-Large-Object": "True"})
    assert (put.status_code, "multipart-manifest=put" in put.text) == (400, True)


async def test_lengths_of_answers_without_body(http: httpx.AsyncClient) -> None:
    await http.put("box")
    assert (await http.head("")).headers["content-length"] == "0"
    assert (await http.head("box")).headers["content-length"] == "0"


@pytest.mark.parametrize(
    "path", ["nowhere", "v1/AUTH_p1/%00", "v1/AUTH_p1/box/%00", "v1/AUTH_p1%00", "v1/AUTH_p1/box%FF"]
)
@pytest.mark.parametrize("method", ["GET", "PUT", "DELETE"])
async def test_refusals_outside_what_is_there(http: httpx.AsyncClient, path: str, method: str) -> None:
    answer = await http.request(method, f"http://cloud.test/object-store/{path}")
    assert answer.status_code == (404 if path == "nowhere" else 412)
    assert answer.headers["x-trans-id"].startswith("tx")
    assert answer.headers["content-type"].startswith("text/plain")


@pytest.mark.parametrize("name", ["%2E", "%2E%2E"])
async def test_a_container_that_no_client_could_reach(http: httpx.AsyncClient, name: str) -> None:
    transport_path = f"{ROOT}/AUTH_p1/{name}"
    request = http.build_request("PUT", f"http://cloud.test{ROOT}/AUTH_p1/x")
    request.url = request.url.copy_with(raw_path=transport_path.encode())
    assert (await http.send(request)).status_code == 400
    assert (await http.get("")).status_code == 204


async def test_expiry_in_all_its_forms(box: httpx.AsyncClient) -> None:
    far = await box.put("o", content=b"x", headers={"X-Delete-At": "123456789012"})
    assert (far.status_code, (await box.head("o")).headers["x-delete-at"]) == (201, "9999999999")
    assert (await box.put("o", content=b"x", headers={"X-Delete-After": "9" * 19})).status_code == 201
    assert (await box.put("o", content=b"x", headers={"X-Delete-At": "9" * 300})).status_code == 400
    at = str(int(clock.now().timestamp()) + 1000)
    await box.put("o", content=b"x", headers={"X-Delete-At": at})
    for value, status in (("bad", 400), ("1", 412), (at, 204)):
        assert (await box.delete("o", headers={"X-If-Delete-At": value})).status_code == status
    assert (await box.delete("none", headers={"X-If-Delete-At": at})).status_code == 404


async def test_quotas_of_the_policy_are_the_resellers(cloud: Runtime, http: httpx.AsyncClient) -> None:
    await http.put("box")
    quota = {"X-Account-Quota-Bytes-Policy-Policy-0": "3"}
    assert (await http.post("", headers=quota)).status_code == 403
    async with client(cloud, "p9/admin/ResellerAdmin") as reseller:
        assert (await reseller.post(f"{ROOT}/AUTH_p1", headers=quota)).status_code == 204
        wrong = {"X-Account-Quota-Bytes-Policy-Gold": "3"}
        assert (await reseller.post(f"{ROOT}/AUTH_p1", headers=wrong)).status_code == 400
        assert (await reseller.post(f"{ROOT}/AUTH_p1", headers={"X-Account-Quota-Count": "x"})).status_code == 400
    assert (await http.put("box/o", content=b"1234")).status_code == 413
    assert (await http.put("box/o", content=b"123")).status_code == 201
    assert (await http.head("")).headers["x-account-quota-bytes-policy-policy-0"] == "3"


@pytest.mark.parametrize("name", ["prefix", "marker", "end_marker", "delimiter", "path"])
async def test_a_nul_in_what_is_looked_for(box: httpx.AsyncClient, name: str) -> None:
    assert (await box.get(f"?{name}=a%00b")).status_code == 400


@pytest.mark.parametrize("place", ["b%00x/o", "box/o%00", "box/o%FF"])
async def test_a_nul_in_the_place_of_a_copy(box: httpx.AsyncClient, place: str) -> None:
    await box.put("o", content=b"x")
    assert (await box.put("p", headers={"X-Copy-From": place})).status_code == 412
    assert (await box.request("COPY", "o", headers={"Destination": place})).status_code == 412


@pytest.mark.parametrize("method", ["PUT", "POST"])
async def test_metadata_of_an_absent_feature_is_kept_with_a_warning(box: httpx.AsyncClient, method: str) -> None:
    answer = await box.request(method, "", headers={"X-Container-Meta-Web-Index": "index.html"})
    assert answer.headers["warning"].startswith('299 - "X-Container-Meta-Web-Index is kept as metadata')
    assert (await box.head("")).headers["x-container-meta-web-index"] == "index.html"
    plain = await box.request(method, "", headers={"X-Container-Meta-Colour": "red"})
    assert "warning" not in plain.headers
