"""What a service author may rely on: a small service of notes, spoken to over HTTP."""

from typing import Annotated, Any

import pytest
from sqlalchemy import select
from sqlalchemy.orm import Mapped, mapped_column

from pileus.dialects.nova import nova_error
from pileus.kernel import ids, policy, quota
from pileus.kernel.context import ANONYMOUS, Caller, Context, internal
from pileus.kernel.db import Row, Tx
from pileus.kernel.errors import Conflict, NotFound, Unauthenticated
from pileus.kernel.policy import Rule
from pileus.kernel.rest import (
    Api,
    Body,
    Microversions,
    Page,
    Query,
    Request,
    Response,
    View,
    page,
    since,
    sort_order,
    until,
)
from pileus.kernel.runtime import Runtime
from pileus.kernel.service import Service
from pileus.kernel.testing import client, running

api = Api("notes", "/v1", Microversions("notes", "1.1", "1.9", legacy="X-Notes"), error=nova_error)
READ = Rule("notes:read", policy.ADMIN_OR_READER)
WRITE = Rule("notes:write", policy.ADMIN_OR_MEMBER)


class Note(Row):
    __tablename__ = "test_notes"
    id: Mapped[str] = mapped_column(primary_key=True)
    project_id: Mapped[str]
    title: Mapped[str]


class Detail(Body):
    colour: str = "white"
    font: Annotated[str | None, since("1.4")] = None


class NoteCreate(Body):
    title: str
    detail: Detail | None = None
    old: Annotated[str | None, until("1.2")] = None
    tags: Annotated[list[str], since("1.3")] = []


class NoteView(View):
    id: str
    title: str
    tags: Annotated[list[str], since("1.3")] = []


class NoteQuery(Query):
    limit: int | None = None
    marker: str | None = None
    sort_key: list[str] = []
    sort_dir: list[str] = []


def count_notes(tx: Tx, project_id: str) -> int:
    return len(tx.scalars(select(Note.id).where(Note.project_id == project_id)).all())


LIMITS = {"notes": quota.Limit("notes", "notes", 5, count_notes)}


@api.loader(Note)
def load(tx: Tx, ctx: Context, id: str) -> Note:
    note = tx.get(Note, id)
    if note is None:
        raise NotFound(f"Note {id} could not be found.")
    return note


@api.post("/notes", WRITE, wrap="note", status=202)
def create(tx: Tx, ctx: Context, body: NoteCreate) -> NoteView:
    quota.claim(tx, ctx.project_id, LIMITS, {"notes": 1})
    note = Note(id=ids.new_id(), project_id=ctx.project_id, title=body.title)
    tx.add(note)
    if body.title == "collides":
        raise Conflict("There is a note of that title.")
    if body.title == "defect":
        raise RuntimeError("secret detail")
    if body.title == "again":
        tx.add(Note(id="one of a kind", project_id=ctx.project_id, title="secret title"))
    return NoteView(id=note.id, title=note.title, tags=body.tags)


@api.get("/notes", READ, wrap="notes")
def index(tx: Tx, ctx: Context, query: NoteQuery) -> Page:
    statement = select(Note).where(Note.project_id == ctx.project_id)
    order = sort_order(query.sort_key or ["title"], query.sort_dir, {"title": Note.title, "id": Note.id})
    rows, marker = page(tx, statement, Note, order=order, limit=query.limit, marker=query.marker)
    return Page([NoteView(id=row.id, title=row.title) for row in rows], marker)


@api.get("/notes/{note}", READ, wrap="note")
def show(note: Note) -> NoteView:
    return NoteView(id=note.id, title=note.title)


@api.action("/notes/{note}/action", "shout", WRITE, status=202)
def shout(tx: Tx, note: Note) -> None:
    note.title = note.title.upper()


@api.action("/notes/{note}/action", "whisper", WRITE, status=202, since="1.5")
def whisper(note: Note) -> None:
    note.title = note.title.lower()


@api.post("/careless", WRITE, status=202, by_handler=True)
def careless(tx: Tx, ctx: Context) -> None:
    """A defect: it says that it judges, and does not."""
    tx.add(Note(id=ids.new_id(), project_id=ctx.project_id, title="careless"))


class Rename(Body):
    title: str | None = None


@api.action("/notes/{note}/action", "rename", WRITE, status=202)
def rename(note: Note, body: Rename) -> None:
    note.title = body.title  # type: ignore[assignment]


@api.put("/blobs/{name:path}", WRITE)
async def put_blob(ctx: Context, request: Request, name: str) -> Response:
    size = 0
    async for chunk in request.stream():
        size += len(chunk)
    return Response(201, f"{name} {size} {ctx.project_id}".encode(), media_type="text/plain")


def authenticate(tx: Tx, request: Request, runtime: Runtime) -> Caller:
    token = request.headers.get("x-auth-token")
    if token is None:
        return ANONYMOUS
    if token == "bad":
        raise Unauthenticated("The token is not valid.")
    project, _, role = token.partition("/")
    roles = {"admin": {"admin", "member", "reader"}, "member": {"member", "reader"}}.get(role, {"reader"})
    if project in ("domain", "system"):
        domain = "d1" if project == "domain" else None
        return Caller(user_id="u", domain_id=domain, system=domain is None, roles=frozenset(roles))
    return Caller(user_id="u", project_id=project, roles=frozenset(roles))


SERVICE = Service("notes", "/notes", [api], authenticate=authenticate)


@pytest.fixture
async def cloud(tmp_path):
    async with running(tmp_path, [SERVICE]) as runtime:
        yield runtime


async def post(cloud: Runtime, body: Any, version: str = "1.9", token: str = "p1/member") -> Any:
    async with client(cloud, token, **{"OpenStack-API-Version": f"notes {version}"}) as http:
        return await http.post("/notes/v1/notes", json={"note": body})


async def test_a_body_has_the_fields_of_its_microversion(cloud):
    assert (await post(cloud, {"title": "a", "tags": ["x"]}, "1.2")).status_code == 400
    assert (await post(cloud, {"title": "a", "old": "x"}, "1.3")).status_code == 400
    assert (await post(cloud, {"title": "a", "detail": {"font": "mono"}}, "1.3")).status_code == 400
    ok = await post(cloud, {"title": "a", "detail": {"font": "mono"}, "tags": ["x"]}, "1.4")
    assert ok.status_code == 202
    assert ok.json()["note"]["tags"] == ["x"]
    assert ok.headers["openstack-api-version"] == "notes 1.4"
    assert ok.headers["x-notes"] == "1.4"
    assert "tags" not in (await post(cloud, {"title": "a"}, "1.2")).json()["note"]


@pytest.mark.parametrize(
    ("body", "words"),
    [
        ({}, "title"),
        ({"title": 5}, "title"),
        ({"title": "a", "colour": 1}, "colour"),
        ({"title": "a", "detail": {"colour": 1}}, "detail.colour"),
        (None, "note"),
        ([], "object"),
    ],
)
async def test_a_wrong_body_is_refused_with_the_name_of_the_field(cloud, body, words):
    answer = await post(cloud, body)
    assert answer.status_code == 400
    assert words in answer.json()["badRequest"]["message"]


async def test_versions_outside_the_window_are_refused(cloud):
    assert (await post(cloud, {"title": "a"}, "1.10")).status_code == 406
    assert (await post(cloud, {"title": "a"}, "nonsense")).status_code == 400
    assert (await post(cloud, {"title": "a"}, "latest")).headers["x-notes"] == "1.9"


async def test_a_refused_request_changes_nothing(cloud):
    assert (await post(cloud, {"title": "collides"})).status_code == 409
    failed = await post(cloud, {"title": "defect"})
    assert failed.status_code == 500
    assert "secret" not in failed.text
    assert failed.headers["x-openstack-request-id"] in failed.text
    async with client(cloud, "p1/reader") as http:
        assert (await http.get("/notes/v1/notes")).json() == {"notes": []}


async def test_a_violated_constraint_is_not_called_a_race(cloud):
    assert (await post(cloud, {"title": "again"})).status_code == 202
    twice = await post(cloud, {"title": "again"})
    assert twice.status_code == 409
    assert "another one with the same id already" in twice.text
    assert "secret" not in twice.text
    note = (await post(cloud, {"title": "a"})).json()["note"]["id"]
    async with client(cloud, "p1/member") as http:
        path = f"/notes/v1/notes/{note}/action"
        null = await http.post(path, json={"rename": {"title": None}})
        assert (null.status_code, "title" in null.text) == (400, True)
        assert (await http.post(path, json={"rename": {}})).status_code == 500, "a null that nobody sent is a defect"
        assert (await http.get(f"/notes/v1/notes/{note}")).json()["note"]["title"] == "a"


async def test_a_final_slash_is_an_id_forgotten_where_the_api_says_so(cloud, monkeypatch):
    async with client(cloud, "p1/member") as http:
        assert (await http.get("/notes/v1/notes/")).status_code == 200
        monkeypatch.setattr(api, "final_slash", False)
        assert (await http.get("/notes/v1/notes/")).status_code == 404
        assert (await http.delete("/notes/v1/notes/")).status_code == 404
        assert (await http.get("/notes/v1/notes")).status_code == 200


async def test_who_may_do_what(cloud):
    note = (await post(cloud, {"title": "a"})).json()["note"]["id"]
    assert (await post(cloud, {"title": "a"}, token="p1/reader")).status_code == 403
    for token, status in [("p1/reader", 200), ("p2/member", 404), ("p2/admin", 200), ("bad", 401), (None, 401)]:
        async with client(cloud, token) as http:
            assert (await http.get(f"/notes/v1/notes/{note}")).status_code == status, token
    async with client(cloud, "p1/reader") as http:
        assert (await http.get("/notes/v1/notes/none")).json()["itemNotFound"]["code"] == 404
        assert (await http.get("/notes/v1/nothing")).status_code == 404
        answer = await http.patch("/notes/v1/notes")
        assert (answer.status_code, answer.headers["allow"]) == (405, "GET, POST")


@pytest.mark.parametrize("scope", ["domain", "system"])
async def test_an_admin_of_a_domain_or_the_system_has_no_business_with_projects(cloud, scope):
    note = (await post(cloud, {"title": "a"})).json()["note"]["id"]
    held = {"domain": "a domain", "system": "the system"}[scope]
    async with client(cloud, f"{scope}/admin") as http:
        for method, path, rule in (
            ("GET", "notes", "read"),
            ("POST", "notes", "write"),
            ("GET", f"notes/{note}", "read"),
            ("GET", "notes/none", "read"),
        ):
            answer = await http.request(method, f"/notes/v1/{path}", json={"note": {"title": "b"}})
            assert answer.status_code == 403, path
            assert answer.json()["forbidden"]["message"] == (
                f"Policy doesn't allow notes:{rule} to be performed with a token for {held}: it needs a token for a "
                "project."
            )


def test_who_is_the_clouds_administrator():
    rules, roles = policy.Policy(), frozenset({"admin"})
    assert Context(Caller(project_id="p1", roles=roles), rules).is_admin
    assert Context(Caller(system=True, roles=roles), rules).is_admin
    assert not Context(Caller(domain_id="d1", roles=roles), rules).is_admin
    assert not Context(Caller(project_id="p1", roles=frozenset({"member"})), rules).is_admin
    other = policy.Policy({"context_is_admin": "role:operator", "notes:write": "is_admin:True"})
    assert not Context(Caller(project_id="p1", roles=roles), other).is_admin
    assert Context(Caller(project_id="p1", roles=frozenset({"operator"})), other).is_admin
    for caller, allowed in ((Caller(project_id="p1", roles=frozenset({"operator"})), True), (Caller(), False)):
        assert Context(caller, other).allows(WRITE) is allowed
    nobody = policy.Policy({"context_is_admin": "!", "notes:write": "!"})
    assert internal(nobody).is_admin
    assert internal(nobody).allows(WRITE)


async def test_a_handler_that_asks_no_rule_answers_nothing_and_changes_nothing(cloud):
    async with client(cloud, "p1/member") as http:
        assert (await http.post("/notes/v1/careless")).status_code == 500
        assert (await http.get("/notes/v1/notes")).json() == {"notes": []}


async def test_an_operator_overrides_a_rule(tmp_path):
    (tmp_path / "policy.yaml").write_text('"notes:write": "role:reader and not project_id:p2"\n')
    async with running(tmp_path, [SERVICE]) as cloud:
        assert (await post(cloud, {"title": "a"}, token="p1/reader")).status_code == 202
        assert (await post(cloud, {"title": "a"}, token="p2/admin")).status_code == 403


async def test_actions_follow_their_microversion(cloud):
    note = (await post(cloud, {"title": "a"})).json()["note"]["id"]
    path = f"/notes/v1/notes/{note}/action"
    async with client(cloud, "p1/member", **{"X-Notes": "1.4"}) as http:
        assert (await http.post(path, json={"shout": None})).status_code == 202
        assert (await http.get(f"/notes/v1/notes/{note}")).json()["note"]["title"] == "A"
        assert (await http.post(path, json={"whisper": None})).status_code == 400
        assert (await http.post(path, json={"shout": None, "whisper": None})).status_code == 400
        assert (await http.post(path, content=b"{")).status_code == 400
        assert (await http.post(path, json={"whisper": None}, headers={"X-Notes": "1.5"})).status_code == 202


async def test_pages_neither_skip_nor_repeat(cloud):
    for title in ("b", "a", "c", "a", "b"):
        await post(cloud, {"title": title})
    titles, url = [], "/notes/v1/notes?limit=2&sort_key=title&sort_dir=desc"
    async with client(cloud, "p1/reader") as http:
        while url:
            answer = (await http.get(url)).json()
            titles += [note["title"] for note in answer["notes"]]
            url = answer.get("notes_links", [{"href": None}])[0]["href"]
        assert titles == ["c", "b", "b", "a", "a"]
        assert (await http.get("/notes/v1/notes?marker=none")).status_code == 400
        assert (await http.get("/notes/v1/notes?sort_key=colour")).status_code == 400
        assert (await http.get("/notes/v1/notes?limit=-1")).status_code == 400
        assert (await http.get("/notes/v1/notes?limit=x")).status_code == 400


async def test_a_list_has_a_page_though_none_was_asked_for(tmp_path):
    async with running(tmp_path, [SERVICE], {"limits": {"page": 2}}) as runtime:
        for title in "abc":
            await post(runtime, {"title": title})
        async with client(runtime, "p1/reader") as http:
            for query in ("", "?limit=3"):
                answer = (await http.get(f"/notes/v1/notes{query}")).json()
                assert [note["title"] for note in answer["notes"]] == ["a", "b"]
                assert "notes_links" in answer


async def test_quota_is_claimed_in_the_transaction(cloud):
    statuses = [(await post(cloud, {"title": "a"})).status_code for _ in range(6)]
    assert statuses == [202] * 5 + [403]


async def test_a_stream_reaches_an_async_handler(cloud):
    async def chunks():
        for _ in range(10):
            yield b"x" * 1000

    async with client(cloud, "p1/member") as http:
        answer = await http.put("/notes/v1/blobs/a/b%2Fc", content=chunks())
    assert answer.text == "a/b/c 10000 p1"


async def test_a_huge_body_is_refused(cloud):
    answer = await post(cloud, {"title": "a" * (1 << 20)})
    assert answer.status_code == 413


async def test_what_belongs_to_no_service(cloud):
    async with client(cloud) as http:
        assert (await http.get("/")).json()["services"] == {"notes": "http://cloud.test/notes"}
        assert (await http.get("/healthz")).json() == {"status": "ok"}
        assert "pileus_requests_total" in (await http.get("/metrics")).text
        document = (await http.get("/openapi.json")).json()
        assert "#/components/schemas/NoteCreate" in str(document["paths"]["/notes/v1/notes"]["post"])
