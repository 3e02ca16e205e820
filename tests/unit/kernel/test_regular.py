"""What a service author may rely on of regular resources: a small API of boats."""

from typing import Annotated, Any

import msgspec
import pytest
from sqlalchemy.orm import Mapped, mapped_column

from pileus.dialects.neutron import NEUTRON, neutron_error
from pileus.kernel.context import Caller
from pileus.kernel.db import NeedsWrite, Row, Tx, writable
from pileus.kernel.policy import ADMIN
from pileus.kernel.rest import Api
from pileus.kernel.rest.regular import Attr, ListQuery, Name, Resource, StandardRow, Tagged
from pileus.kernel.rest.regular.attributes import derive
from pileus.kernel.service import Service
from pileus.kernel.testing import client, running

api = Api("boats", "/v1", error=neutron_error, strict=False, dialect=NEUTRON)


class Boat(StandardRow, Row):
    __tablename__ = "test_boats"
    name: Mapped[str] = mapped_column(default="")
    masts: Mapped[int] = mapped_column(default=1)
    secret: Mapped[str] = mapped_column(default="")
    afloat: Mapped[bool] = mapped_column(default=True)


class BoatAttributes(Tagged, kw_only=True):
    name: Name = ""
    masts: Annotated[int, msgspec.Meta(ge=0, le=9), Attr(on="cv")] = 1
    afloat: bool = True
    secret: Annotated[str, Attr(create=ADMIN, update=ADMIN, get=ADMIN)] = ""
    sails: Annotated[list[str], Attr(on="v", find="", source="")] = []


boats = Resource(api, "boat", "boats", BoatAttributes, Boat, title="Boat", tagged=True)


@boats.create
def create(tx: Tx, ctx: Any, body: Any) -> Boat:
    boat = Boat(project_id=body.project_id, name=body.name, masts=body.masts, secret=body.secret)
    tx.add(boat)
    return boat


@boats.update
def update(tx: Tx, ctx: Any, row: Boat, changes: dict[str, Any]) -> None:
    for name, value in changes.items():
        setattr(row, name, value)


@boats.delete
def delete(tx: Tx, ctx: Any, row: Boat) -> None:
    tx.delete(row)


@boats.related
def related(tx: Tx, ctx: Any, rows: Any, wanted: frozenset[str]) -> dict[str, dict[str, Any]]:
    assert wanted
    return {"sails": {row.id: [f"sail {n}" for n in range(row.masts)] for row in rows}} if "sails" in wanted else {}


@boats.before_list
def there_is_always_a_raft(tx: Tx, ctx: Any, query: ListQuery) -> None:
    if tx.get(Boat, f"raft-{ctx.project_id}") is None:
        if not writable(tx):
            raise NeedsWrite
        tx.add(Boat(id=f"raft-{ctx.project_id}", project_id=ctx.project_id, name="raft"))
        tx.flush()


def authenticate(tx: Tx, request: Any, runtime: Any) -> Caller:
    project, _, role = request.headers.get("x-auth-token", "").partition(":")
    return Caller(user_id="u", project_id=project, roles=frozenset({role, "member", "reader"}))


SERVICE = Service("boats", "/boats", [api], authenticate=authenticate)


@pytest.fixture
async def call(tmp_path):
    async with running(tmp_path, [SERVICE]) as runtime, client(runtime) as http:

        async def send(method: str, path: str, body: Any = None, who: str = "p1:member", **more: Any):
            headers = {"X-Auth-Token": who, **more}
            return await http.request(method, f"/boats/v1/{path}", json=body, headers=headers)

        yield send


async def make(call, **body: Any) -> dict[str, Any]:
    answer = await call("POST", "boats", {"boat": body})
    assert answer.status_code == 201, answer.text
    return answer.json()["boat"]


def test_one_struct_makes_three():
    created, updated, viewed = (derive(BoatAttributes, use) for use in "cuv")
    assert "id" not in created.__struct_fields__
    assert "masts" not in updated.__struct_fields__
    assert viewed.__struct_fields__[:3] == ("id", "project_id", "tenant_id")
    assert msgspec.to_builtins(msgspec.convert({"name": "x"}, updated)) == {"name": "x"}


def test_an_impossible_constraint_is_found_when_the_resource_is_declared():
    class Wrong(msgspec.Struct, kw_only=True):
        name: Annotated[str | None, msgspec.Meta(max_length=3)] = None

    with pytest.raises(TypeError):
        derive(Wrong, "c")


async def test_create_show_update_delete(call):
    boat = await make(call, name="Argo", masts="2")
    assert (boat["masts"], boat["sails"], boat["tenant_id"]) == (2, ["sail 0", "sail 1"], "p1")
    path = f"boats/{boat['id']}"
    answer = await call("PUT", path, {"boat": {"name": "Argo II", "afloat": "False"}})
    assert (answer.json()["boat"]["afloat"], answer.json()["boat"]["revision_number"]) == (False, 2)
    assert (await call("GET", f"{path}?fields=name")).json() == {"boat": {"name": "Argo II"}}
    assert (await call("DELETE", path)).status_code == 204
    assert (await call("GET", path)).json()["NeutronError"]["type"] == "BoatNotFound"


async def test_what_cannot_be_said_is_refused_by_name(call):
    for body, word in (
        ({"masts": 10}, "masts"),
        ({"colour": "red"}, "colour"),
        ({"id": "mine"}, "id"),
        ({"name": None}, "name"),
        ({"project_id": "p2"}, "admin"),
        ({"project_id": "p1", "tenant_id": "p2"}, "tenant_id"),
    ):
        answer = await call("POST", "boats", {"boat": body})
        assert answer.status_code == 400
        assert word in answer.json()["NeutronError"]["message"]
    boat = await make(call)
    answer = await call("PUT", f"boats/{boat['id']}", {"boat": {"masts": 3}})
    assert "read-only" in answer.json()["NeutronError"]["message"]


async def test_guarded_attributes_have_rules_of_their_own(call):
    assert (await call("POST", "boats", {"boat": {"secret": "x"}})).status_code == 403
    assert (await call("POST", "boats", {"boat": {"secret": ""}})).status_code == 201
    answer = await call("POST", "boats", {"boat": {"secret": "x", "project_id": "p1"}}, "p0:admin")
    assert answer.json()["boat"]["secret"] == "x"
    path = f"boats/{answer.json()['boat']['id']}"
    assert "secret" not in (await call("GET", path)).json()["boat"]
    assert (await call("GET", f"{path}?fields=secret")).json()["boat"] == {}
    assert (await call("PUT", path, {"boat": {"secret": "y"}})).status_code == 403


async def test_others_see_nothing_and_admins_all(call):
    boat = await make(call)
    for method in ("GET", "DELETE"):
        assert (await call(method, f"boats/{boat['id']}", None, "p2:member")).status_code == 404
    assert (await call("GET", f"boats/{boat['id']}", None, "p2:admin")).status_code == 200


async def test_lists_filter_sort_and_page_both_ways(call):
    for name in "bca":
        await make(call, name=name, masts=len(name))
    answer = (await call("GET", "boats?name=a&name=b&sort_key=name&sort_dir=desc")).json()
    assert [boat["name"] for boat in answer["boats"]] == ["b", "a"]
    assert "boats_links" not in answer
    page = (await call("GET", "boats?sort_key=name&limit=2")).json()
    assert [boat["name"] for boat in page["boats"]] == ["a", "b"]
    rel = {link["rel"]: link["href"].split("/v1/")[1] for link in page["boats_links"]}
    second = (await call("GET", rel["next"])).json()
    assert [boat["name"] for boat in second["boats"]] == ["c", "raft"]
    back = next(link["href"] for link in second["boats_links"] if link["rel"] == "previous").split("/v1/")[1]
    assert (await call("GET", back)).json()["boats"] == page["boats"]
    last = (await call("GET", "boats?sort_key=name&limit=2&marker=" + second["boats"][1]["id"])).json()
    assert last["boats"] == []
    (back,) = [link["href"].split("/v1/")[1] for link in last["boats_links"] if link["rel"] == "previous"]
    assert (await call("GET", back)).json()["boats"] == second["boats"]
    for query in ("masts=many", "colour=red", "limit=x", "sort_key=sails", "sort_dir=up&sort_key=name", "afloat=2"):
        assert (await call("GET", f"boats?{query}")).status_code == 400, query


async def test_a_list_may_add_what_it_needs_first(call):
    assert [boat["name"] for boat in (await call("GET", "boats", None, "p9:member")).json()["boats"]] == ["raft"]
    assert len((await call("GET", "boats", None, "p9:member")).json()["boats"]) == 1


async def test_tags_are_filters_and_go_with_the_resource(call):
    boat = await make(call, name="tagged")
    path = f"boats/{boat['id']}/tags"
    assert (await call("PUT", f"{path}/fast", None)).status_code == 201
    assert (await call("PUT", f"{path}/old", None)).status_code == 201
    found = (await call("GET", "boats?tags=fast,old")).json()["boats"]
    assert [(one["name"], one["tags"]) for one in found] == [("tagged", ["fast", "old"])]
    assert (await call("GET", "boats?tags=fast,new")).json()["boats"] == []
    assert (await call("PUT", f"{path}/x", None, "p2:member")).status_code == 404
    await call("DELETE", f"boats/{boat['id']}")
    assert (await call("GET", "boats?tags-any=fast")).json()["boats"] == []


async def test_revisions_guard_changes(call):
    path = f"boats/{(await make(call))['id']}"
    match = {"If-Match": "revision_number=1"}
    assert (await call("PUT", path, {"boat": {"name": "a"}}, **match)).status_code == 200
    answer = await call("PUT", path, {"boat": {"name": "b"}}, **match)
    assert (answer.status_code, answer.json()["NeutronError"]["type"]) == (412, "RevisionNumberConstraintFailed")


def test_the_types_of_errors_are_made_of_the_title():
    kind = Resource(Api("boats"), "tall_ship", "tall_ships", BoatAttributes, Boat, title="Tall ship")
    assert kind.not_found == "TallShipNotFound"


def test_an_attribute_says_what_null_is_where_its_column_cannot_be():
    class Wrong(Tagged, kw_only=True):
        name: Name | None = ""

    with pytest.raises(TypeError, match=r"wreck\.name: its column cannot be null"):
        Resource(Api("boats"), "wreck", "wrecks", Wrong, Boat, title="Wreck")


async def test_null_is_refused_where_it_means_nothing(call):
    boat = await make(call)
    for method, path in (("POST", "boats"), ("PUT", f"boats/{boat['id']}")):
        answer = await call(method, path, {"boat": {"name": None}})
        assert answer.status_code == 400
        assert answer.json()["NeutronError"]["message"].startswith("Invalid input for name. Reason:")
