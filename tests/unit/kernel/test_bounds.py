"""Every request has a budget: what its body and its URL may hold, declared or by default."""

from typing import Annotated, Any

import msgspec
import pytest

from pileus.kernel.errors import Invalid
from pileus.kernel.rest import Body, Id, Ids, Metadata, at_most
from pileus.kernel.rest.bounds import DEPTH, PARAMETER, PARAMETERS, TEXT, VALUES, WIDTH, check, undeclared
from pileus.kernel.rest.http import Request


def nested(levels: int) -> Any:
    found: Any = 1
    for _ in range(levels):
        found = [found]
    return found


@pytest.mark.parametrize(
    "raw",
    [
        nested(DEPTH),
        [1] * WIDTH,
        {str(at): at for at in range(WIDTH)},
        "x" * TEXT,
        [2**63 - 1, -(2**63), 1.5, None, True],
        [[1] * WIDTH] * (VALUES // (WIDTH + 1)),
    ],
)
def test_what_is_within_the_bounds_passes(raw):
    check(raw)


@pytest.mark.parametrize(
    ("raw", "words"),
    [
        (nested(DEPTH + 1), "levels deep"),
        ([1] * (WIDTH + 1), "1001 entries"),
        ({"a": {str(at): at for at in range(WIDTH + 1)}}, "1001 entries"),
        ("x" * (TEXT + 1), "65536 characters"),
        ({"a": ["x" * (TEXT + 1)]}, "65536 characters"),
        ({"x" * (TEXT + 1): 1}, "name of more than"),
        ([2**63], "64 bits"),
        ({"a": -(2**63) - 1}, "64 bits"),
        ([[1] * WIDTH] * (VALUES // WIDTH), "20000 values"),
    ],
)
def test_what_is_beyond_a_bound_is_refused_with_the_bound(raw, words):
    with pytest.raises(Invalid, match=words):
        check(raw)


def request(query: str) -> Request:
    return Request("GET", "/", {}, query.encode(), "http", None)


def test_a_url_has_so_many_parameters_and_no_more():
    assert len(request("&".join(["a=1"] * PARAMETERS)).query_items()) == PARAMETERS
    with pytest.raises(Invalid, match="251 parameters"):
        request("&".join(["a=1"] * (PARAMETERS + 1))).query_items()
    assert request(f"a={'x' * PARAMETER}").query_items()
    with pytest.raises(Invalid, match="'a' of the URL has 16385 characters"):
        request(f"a={'x' * (PARAMETER + 1)}").query_items()


class Inner(Body):
    good: Annotated[list[Id], at_most(3)]
    bad: list[str]


class Outer(Body):
    id: Id
    ids: Ids = []
    pairs: Metadata = {}
    text: str = ""
    number: int = 0
    inner: Inner | None = None
    many: Annotated[list[Inner], at_most(9)] = []
    loose: dict[str, Any] = {}
    whatever: Any = None
    slow: Annotated[str, msgspec.Meta(pattern="^a*$")] = ""
    quick: Annotated[str, msgspec.Meta(pattern="^a*$", max_length=5)] = ""
    deep: Annotated[list[list[int]], at_most(2)] = []


def test_a_declaration_without_a_bound_is_found():
    assert list(undeclared(Outer, "Outer")) == [
        "Outer.inner.bad",
        "Outer.loose",
        "Outer.whatever",
        "Outer.slow",
        "Outer.deep[]",
    ]
