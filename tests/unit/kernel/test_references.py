"""Ids in bodies and queries: loaded by the kernel as the caller may see them, wherever they stand."""

from typing import Annotated, Any

import msgspec
import pytest
from sqlalchemy import select
from sqlalchemy.orm import Mapped, mapped_column

from pileus.kernel import policy
from pileus.kernel.context import Caller, Context
from pileus.kernel.db import Row, Tx
from pileus.kernel.errors import ApiError, Invalid, NotFound
from pileus.kernel.policy import Rule
from pileus.kernel.rest import Api, Body, Query
from pileus.kernel.rest.references import Refers, each, references_in, referred
from pileus.kernel.rest.tree import Tree
from pileus.kernel.service import Service
from pileus.kernel.testing import client, running

SHELF = Rule("shelves:use", policy.ADMIN_OR_MEMBER)
ShelfId = Annotated[str, msgspec.Meta(max_length=36), Refers("shelf", words=frozenset({"any"}))]


def missing(refers: Refers, id: str, field: str) -> ApiError:
    return Invalid(f"{field}: there is no {refers.kind} {id}.")


api = Api("shelves", "/v1", missing=missing)


class Shelf(Row):
    __tablename__ = "test_shelves"
    id: Mapped[str] = mapped_column(primary_key=True)
    project_id: Mapped[str]
    label: Mapped[str]


@api.reference("shelf")
def load_shelves(tx: Tx, ctx: Context, ids: list[str]) -> dict[str, Any]:
    LOADS.append(ids)
    rows = tx.scalars(select(Shelf).where(Shelf.id.in_(ids), Shelf.project_id == ctx.project_id))
    return {row.id: row for row in rows}


LOADS: list[list[str]] = []


class Book(Body):
    title: str
    shelf_id: ShelfId | None = None


class Delivery(Body):
    shelf_id: ShelfId | msgspec.UnsetType = msgspec.UNSET
    spares: list[ShelfId] = []
    books: list[Book] = []
    by_colour: dict[str, Book] = {}


class DeliveryQuery(Query):
    shelf: ShelfId | None = None


@api.post("/deliveries", SHELF, wrap="delivery")
def deliver(tx: Tx, ctx: Context, body: Delivery, query: DeliveryQuery) -> dict[str, Any]:
    ids = [id for _, id, _ in references_in(body)]
    return {"labels": sorted(referred(tx, "shelf", id).label for id in ids)}


def authenticate(tx: Tx, request: Any, runtime: Any) -> Caller:
    return Caller(user_id="u", project_id=request.headers["x-project"], roles=frozenset({"member", "reader"}))


SERVICE = Service("shelves", "/shelves", apis=[api], authenticate=authenticate)


@pytest.fixture
async def http(tmp_path):
    async with running(tmp_path, [SERVICE]) as runtime:

        def fill(tx: Tx) -> None:
            for n in range(4):
                tx.add(Shelf(id=f"mine{n}", project_id="mine", label=f"M{n}"))
            tx.add(Shelf(id="theirs", project_id="theirs", label="T"))

        await runtime.db.write(fill)
        LOADS.clear()
        async with client(runtime) as session:
            yield session


async def post(http: Any, body: dict[str, Any], query: str = "") -> Any:
    return await http.post(f"/shelves/v1/deliveries{query}", json={"delivery": body}, headers={"x-project": "mine"})


async def test_handlers_get_the_rows_loaded_by_one_query(http):
    body = {
        "shelf_id": "mine0",
        "spares": ["mine1", "mine0", "any"],
        "books": [{"title": "a", "shelf_id": "mine2"}, {"title": "b", "shelf_id": None}],
        "by_colour": {"red": {"title": "c", "shelf_id": "mine3"}},
    }
    answer = await post(http, body)
    assert answer.status_code == 200, answer.text
    assert answer.json()["delivery"]["labels"] == ["M0", "M0", "M1", "M2", "M3"]
    assert LOADS == [["mine0", "mine1", "mine2", "mine3"]]


@pytest.mark.parametrize("id", ["theirs", "nowhere"])
@pytest.mark.parametrize(
    "place",
    [
        lambda id: {"shelf_id": id},
        lambda id: {"spares": ["mine0", id]},
        lambda id: {"books": [{"title": "a", "shelf_id": id}]},
        lambda id: {"by_colour": {"red": {"title": "a", "shelf_id": id}}},
    ],
)
async def test_a_foreign_id_is_answered_like_one_of_nothing_in_every_place(http, place, id):
    answer = await post(http, place(id))
    assert answer.status_code == 400
    assert f"there is no shelf {id}" in answer.text


async def test_a_foreign_id_in_the_query_is_refused_too(http):
    assert (await post(http, {}, "?shelf=mine1")).status_code == 200
    assert (await post(http, {}, "?shelf=theirs")).status_code == 400


def test_an_api_that_cannot_load_a_kind_does_not_start():
    broken = Api("broken", "/v1")

    class Loan(Body):
        reader_id: Annotated[str, Refers("reader")]

    @broken.post("/loans", SHELF)
    def lend(tx: Tx, ctx: Context, body: Loan) -> None: ...

    with pytest.raises(TypeError, match="does not say how"):
        Tree([broken])


class Wish(Body):
    spots: list[Annotated[dict[str, Any], Refers("shelf", at="shelf_id"), Refers("room", loaded=False, at="room")]] = []
    shelf: Annotated[str | int, Refers("shelf")] = ""


def test_an_id_is_found_at_the_key_of_an_object_without_a_struct():
    wish = Wish(spots=[{"shelf_id": "a", "height": "b"}, {"room": ["c", "d"]}, {"shelf_id": None}], shelf=7)
    found = [(refers.kind, id, field) for refers, id, field in references_in(wish)]
    assert found == [
        ("shelf", "a", "shelf_id"), ("room", "c", "room"), ("room", "d", "room"), ("shelf", "7", "shelf"),
    ]  # fmt: skip


def test_a_resolver_of_a_function_for_one_leaves_out_what_is_not_found():
    def find(tx: Any, ctx: Any, id: str) -> str:
        if id == "nowhere":
            raise NotFound("not there")
        return f"row {id}"

    nothing: Any = None
    assert each(find)(nothing, nothing, ["a", "nowhere", "b"]) == {"a": "row a", "b": "row b"}
