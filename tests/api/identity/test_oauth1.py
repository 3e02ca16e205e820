"""Programs that users let act for them by OAuth 1, signed by an unmodified client library."""

import time
from urllib.parse import parse_qs

import pytest
from oauthlib.oauth1 import SIGNATURE_PLAINTEXT, Client

from pileus.kernel.testing import client
from pileus.services.identity.testing import login

V3 = "http://cloud.test/identity/v3"
REQUEST, ACCESS, TOKENS = "OS-OAUTH1/request_token", "OS-OAUTH1/access_token", "auth/tokens"
BODY = {"auth": {"identity": {"methods": ["oauth1"], "oauth1": {}}}}


def sign(path, consumer, key=None, secret=None, **more):
    client = Client(consumer["id"], consumer["secret"], key, secret, **more)
    return client.sign(f"{V3}/{path}", "POST")[1]


def form(answer):
    assert answer.headers["content-type"] == "application/x-www-form-urlencoded"
    return {name: values[0] for name, values in parse_qs(answer.text).items()}


@pytest.fixture
async def consumer(admin):
    answer = await admin.post("OS-OAUTH1/consumers", json={"consumer": {"description": "a program"}})
    assert answer.status_code == 201, answer.text
    return answer.json()["consumer"]


@pytest.fixture
async def project(admin):
    return (await admin.get("projects?name=admin")).json()["projects"][0]["id"]


@pytest.fixture
async def nobody(cloud):
    async with client(cloud) as http:
        http.base_url = f"{V3}/"
        yield http


async def ask(http, consumer, project, **more):
    headers = {**sign(REQUEST, consumer, callback_uri="oob", **more), "Requested-Project-Id": project}
    return await http.post(REQUEST, headers=headers)


async def authorize(admin, token, roles=({"name": "member"},)):
    return await admin.put(f"OS-OAUTH1/authorize/{token['oauth_token']}", json={"roles": list(roles)})


async def exchange(http, consumer, token, verifier):
    keys = (token["oauth_token"], token["oauth_token_secret"])
    return await http.post(ACCESS, headers=sign(ACCESS, consumer, *keys, verifier=verifier))


async def access_of(http, admin, consumer, project, roles=({"name": "member"},)):
    token = form(await ask(http, consumer, project))
    verifier = (await authorize(admin, token, roles)).json()["token"]["oauth_verifier"]
    answer = await exchange(http, consumer, token, verifier)
    assert answer.status_code == 201, answer.text
    return form(answer)


async def log_in(http, consumer, access, path=TOKENS):
    headers = sign(TOKENS, consumer, access["oauth_token"], access["oauth_token_secret"])
    return await http.post(path, headers=headers, json=BODY)


async def test_consumers_are_made_shown_changed_and_removed(admin, consumer):
    path = f"OS-OAUTH1/consumers/{consumer['id']}"
    shown = (await admin.get(path)).json()["consumer"]
    assert shown["description"] == "a program"
    assert "secret" not in shown
    changed = await admin.patch(path, json={"consumer": {"description": "another", "colour": "red"}})
    assert (changed.json()["consumer"]["description"], changed.json()["consumer"]["colour"]) == ("another", "red")
    assert [row["id"] for row in (await admin.get("OS-OAUTH1/consumers")).json()["consumers"]] == [consumer["id"]]
    for body in ({}, {"secret": "x"}, {"id": "x"}, {"description": 5}):
        assert (await admin.patch(path, json={"consumer": body})).status_code == 400
    assert (await admin.delete(path)).status_code == 204
    for verb in (admin.get, admin.delete):
        assert (await verb(path)).status_code == 404


async def test_consumers_are_for_administrators(demo, consumer):
    assert (await demo.get("OS-OAUTH1/consumers")).status_code == 403
    assert (await demo.post("OS-OAUTH1/consumers", json={"consumer": {}})).status_code == 403
    assert (await demo.delete(f"OS-OAUTH1/consumers/{consumer['id']}")).status_code == 403


async def test_a_program_acts_with_the_roles_it_was_given(cloud, admin, nobody, consumer, project):
    access = await access_of(nobody, admin, consumer, project)
    for path in (TOKENS, f"{TOKENS}?nocatalog"):
        answer = await log_in(nobody, consumer, access, path)
        assert answer.status_code == 201, answer.text
    token = answer.json()["token"]
    assert token["OS-OAUTH1"] == {"access_token_id": access["oauth_token"], "consumer_id": consumer["id"]}
    assert (token["project"]["id"], token["methods"]) == (project, ["oauth1"])
    assert {role["name"] for role in token["roles"]} == {"member", "reader"}
    async with client(cloud, answer.headers["x-subject-token"]) as http:
        assert (await http.get(f"{V3}/auth/projects")).status_code == 200
        assert (await http.get(f"{V3}/users")).status_code == 403
        assert (await http.get(f"{V3}/credentials")).status_code == 403
        made = {"auth": {"identity": {"methods": ["token"], "token": {"id": answer.headers["x-subject-token"]}}}}
        assert (await http.post(f"{V3}/auth/tokens", json=made)).status_code == 403


async def test_a_user_sees_and_ends_what_a_program_may_do(cloud, admin, nobody, consumer, project):
    access = await access_of(nobody, admin, consumer, project)
    token = (await log_in(nobody, consumer, access)).headers["x-subject-token"]
    user = (await admin.get("users?name=admin")).json()["users"][0]["id"]
    path = f"users/{user}/OS-OAUTH1/access_tokens"
    (listed,) = (await admin.get(path)).json()["access_tokens"]
    assert listed["id"] == access["oauth_token"]
    assert listed["consumer_id"] == consumer["id"]
    assert listed["links"]["roles"].endswith("/roles")
    shown = (await admin.get(f"{path}/{listed['id']}")).json()["access_token"]
    assert shown == listed
    (role,) = (await admin.get(f"{path}/{listed['id']}/roles")).json()["roles"]
    assert role["name"] == "member"
    assert (await admin.get(f"{path}/{listed['id']}/roles/{role['id']}")).json()["role"]["name"] == "member"
    assert (await admin.get(f"{path}/{listed['id']}/roles/none")).status_code == 404
    other = (await admin.get("users?name=demo")).json()["users"][0]["id"]
    assert (await admin.get(f"users/{other}/OS-OAUTH1/access_tokens/{listed['id']}")).status_code == 404
    async with client(cloud, await login(cloud, "demo")) as http:
        assert (await http.delete(f"{V3}/{path}/{listed['id']}")).status_code == 403
    async with client(cloud, token) as http:
        assert (await http.get(f"{V3}/auth/projects")).status_code == 200
        assert (await admin.delete(f"{path}/{listed['id']}")).status_code == 204
        assert (await http.get(f"{V3}/auth/projects")).status_code == 401
    assert (await log_in(nobody, consumer, access)).status_code == 401


async def test_removing_the_consumer_ends_what_it_got(cloud, admin, nobody, consumer, project):
    access = await access_of(nobody, admin, consumer, project)
    token = (await log_in(nobody, consumer, access)).headers["x-subject-token"]
    await admin.delete(f"OS-OAUTH1/consumers/{consumer['id']}")
    async with client(cloud, token) as http:
        assert (await http.get(f"{V3}/auth/projects")).status_code == 401
    assert (await log_in(nobody, consumer, access)).status_code == 401


async def test_a_program_loses_what_its_user_loses(admin, nobody, consumer):
    role = (await admin.get("roles?name=manager")).json()["roles"][0]["id"]
    user = (await admin.get("users?name=admin")).json()["users"][0]["id"]
    project = (await admin.post("projects", json={"project": {"name": "p"}})).json()["project"]["id"]
    path = f"projects/{project}/users/{user}/roles/{role}"
    await admin.put(path)
    access = await access_of(nobody, admin, consumer, project, [{"id": role}])
    assert (await log_in(nobody, consumer, access)).status_code == 201
    await admin.delete(path)
    assert (await log_in(nobody, consumer, access)).status_code == 401


async def test_a_request_counts_once(nobody, admin, consumer, project):
    headers = {**sign(REQUEST, consumer, callback_uri="oob"), "Requested-Project-Id": project}
    assert (await nobody.post(REQUEST, headers=headers)).status_code == 201
    assert (await nobody.post(REQUEST, headers=headers)).status_code == 401
    token = form(await ask(nobody, consumer, project))
    verifier = (await authorize(admin, token)).json()["token"]["oauth_verifier"]
    access = form(await exchange(nobody, consumer, token, verifier))
    assert (await exchange(nobody, consumer, token, verifier)).status_code == 401
    headers = sign(TOKENS, consumer, access["oauth_token"], access["oauth_token_secret"])
    assert (await nobody.post(TOKENS, headers=headers, json=BODY)).status_code == 201
    assert (await nobody.post(TOKENS, headers=headers, json=BODY)).status_code == 401


@pytest.mark.parametrize(
    "more",
    [{"timestamp": -1000}, {"timestamp": 1000}, {"timestamp": "now"}, {"timestamp": "-5"}, {"nonce": ""}],
)
async def test_times_and_nonces_must_make_sense(nobody, consumer, project, more):
    if isinstance(more.get("timestamp"), int):
        more = {"timestamp": str(int(time.time()) + more["timestamp"])}
    assert (await ask(nobody, consumer, project, **more)).status_code == 401


async def test_wrong_secrets_and_unknown_consumers_are_told_alike(nobody, consumer, project):
    wrong = await ask(nobody, {**consumer, "secret": "x"}, project)
    unknown = await ask(nobody, {**consumer, "id": "x"}, project)
    assert wrong.status_code == unknown.status_code == 401
    assert wrong.json() == unknown.json()
    assert (await ask(nobody, consumer, "no-project")).status_code == 404


async def test_only_what_was_authorized_is_exchanged(admin, nobody, consumer, project):
    token = form(await ask(nobody, consumer, project))
    assert (await exchange(nobody, consumer, token, "GUESSED1")).status_code == 401
    verifier = (await authorize(admin, token)).json()["token"]["oauth_verifier"]
    assert len(verifier) == 8
    other = (await admin.post("OS-OAUTH1/consumers", json={"consumer": {}})).json()["consumer"]
    assert (await exchange(nobody, other, token, verifier)).status_code == 401
    assert (await exchange(nobody, consumer, token, "GUESSED2")).status_code == 401
    assert (await exchange(nobody, consumer, {**token, "oauth_token_secret": "x"}, verifier)).status_code == 401
    assert (await exchange(nobody, consumer, token, verifier)).status_code == 201


async def test_authorizing_needs_the_roles_and_a_person(cloud, admin, demo, nobody, consumer, project):
    token = form(await ask(nobody, consumer, project))
    assert (await authorize(demo, token)).status_code == 403
    assert (await authorize(admin, {"oauth_token": "none"})).status_code == 404
    assert (await authorize(admin, token, [{"name": "service"}])).status_code == 401
    assert (await authorize(admin, token, [{"name": "none"}])).status_code == 404
    for roles in ([], [{}], [{"id": "a", "name": "b"}], [{"colour": "red"}], ["member"]):
        assert (await authorize(admin, token, roles)).status_code == 400
    assert (await authorize(admin, token)).status_code == 200


@pytest.mark.parametrize(
    "headers",
    [
        {},
        {"Authorization": "Bearer x"},
        {"Authorization": "OAuth"},
        {"Authorization": "OAuth x"},
        {"Authorization": 'OAuth oauth_consumer_key="a", oauth_consumer_key="b"'},
        {"Authorization": f'OAuth oauth_consumer_key="{"x" * 200}", oauth_signature_method="HMAC-SHA1"'},
        {"Authorization": 'OAuth oauth_consumer_key="a", oauth_signature_method="RSA-SHA1"'},
    ],
)
async def test_malformed_signatures_are_400(nobody, headers):
    for path in (REQUEST, ACCESS):
        assert (await nobody.post(path, headers={**headers, "Requested-Project-Id": "x"})).status_code == 400


async def test_secrets_in_the_clear_are_refused(nobody, consumer, project):
    assert (await ask(nobody, consumer, project, signature_method=SIGNATURE_PLAINTEXT)).status_code == 400


async def test_parameters_that_are_needed_are_named(nobody, consumer):
    assert "Requested-Project-Id" in (await nobody.post(REQUEST, headers=sign(REQUEST, consumer))).text
    assert "oauth_token" in (await nobody.post(ACCESS, headers=sign(ACCESS, consumer))).text
