"""The page that adds a resource from nothing, done literally."""

import importlib
import re
import sys
from pathlib import Path
from typing import Any

import pytest

from pileus import services
from pileus.kernel.context import Caller
from pileus.kernel.service import Service
from pileus.kernel.testing import client, running

PAGE = Path(__file__).parents[2] / "docs" / "adding-a-resource.md"


def authenticate(tx: Any, request: Any, runtime: Any) -> Caller:
    project, _, role = request.headers.get("x-auth-token", "").partition(":")
    return Caller(user_id="u", project_id=project, roles=frozenset({role, "member", "reader"}))


def blocks() -> dict[str, str]:
    """Return the page's Python by the name in its first line."""
    found = re.findall(r"```python\n# (\S+?)(, further)?\n(.*?)```", PAGE.read_text(), re.DOTALL)
    return {f"{name}{further}": code for name, further, code in found}


@pytest.fixture(scope="module")
def harbour(tmp_path_factory):
    folder = tmp_path_factory.mktemp("services")
    (folder / "harbour").mkdir()
    (folder / "harbour" / "__init__.py").touch()
    code = blocks()
    further = code.pop("api.py, further")
    code["api.py"] = code["api.py"].replace("verbs=ALL", "verbs=(CREATE, LIST, SHOW, UPDATE)") + further
    code["api.py"] = code["api.py"].replace("import ALL, Attr", "import CREATE, LIST, SHOW, UPDATE, Attr")
    for name, text in code.items():
        (folder / "harbour" / name).write_text(text)
    services.__path__.append(str(folder))
    service = importlib.import_module("pileus.services.harbour.service").SERVICE
    sys.modules["pileus.services.harbour.model"].Berth.__module__ = __name__  # its table is not the product's
    yield service
    services.__path__.remove(str(folder))
    for name in [name for name in sys.modules if name.startswith("pileus.services.harbour")]:
        del sys.modules[name]


@pytest.fixture
async def call(tmp_path, harbour):
    service = Service(harbour.type, harbour.path, harbour.apis, harbour.catalog, authenticate=authenticate)
    async with running(tmp_path, [service]) as runtime, client(runtime) as http:

        async def send(method: str, path: str, body: Any = None, who: str = "p1:member"):
            return await http.request(method, f"/harbour/v1/{path}", json=body, headers={"X-Auth-Token": who})

        yield send


async def test_what_the_page_promises(call):
    answer = await call("POST", "berths", {"berth": {"name": "north", "length_m": 12}})
    assert answer.status_code == 201
    berth = answer.json()["berth"]
    assert (berth["name"], berth["length_m"], berth["project_id"], berth["tags"]) == ("north", 12, "p1", [])
    many = await call("POST", "berths", {"berths": [{"length_m": 9}, {"length_m": 10}]})
    assert [one["length_m"] for one in many.json()["berths"]] == [9, 10]
    listed = await call("GET", "berths?sort_key=length_m&sort_dir=desc&limit=2&fields=length_m")
    assert listed.json()["berths"] == [{"length_m": 12}, {"length_m": 10}]
    path = f"berths/{berth['id']}"
    assert (await call("PUT", path, {"berth": {"name": "south"}})).json()["berth"]["revision_number"] == 2
    assert (await call("PUT", f"{path}/tags/quiet")).status_code == 201
    assert (await call("GET", "berths?tags=quiet&name=south")).json()["berths"][0]["id"] == berth["id"]
    assert (await call("PUT", path, {"berth": {"heated": True}})).status_code == 403
    assert (await call("PUT", path, {"berth": {"heated": True}}, "p1:admin")).json()["berth"]["heated"] is True
    foreign = await call("GET", path, who="p2:member")
    assert (foreign.status_code, foreign.json()["NeutronError"]["type"]) == (404, "BerthNotFound")
    assert (await call("PUT", path, {"berth": {"length_m": 13}})).status_code == 400


async def test_its_quota(call):
    assert (await call("POST", "berths", {"berths": [{"length_m": 9}] * 10})).status_code == 201
    answer = await call("POST", "berths", {"berth": {"length_m": 9}})
    assert (answer.status_code, answer.json()["NeutronError"]["type"]) == (409, "OverQuota")


async def test_its_own_refusal(call):
    berth = (await call("POST", "berths", {"berth": {"name": "occupied", "length_m": 9}})).json()["berth"]
    answer = await call("DELETE", f"berths/{berth['id']}")
    assert (answer.status_code, answer.json()["NeutronError"]["type"]) == (409, "BerthInUse")
    await call("PUT", f"berths/{berth['id']}", {"berth": {"name": "free"}})
    assert (await call("DELETE", f"berths/{berth['id']}")).status_code == 204
    assert (await call("GET", f"berths/{berth['id']}")).status_code == 404
