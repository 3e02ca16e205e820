"""Pages call the APIs without a socket and get the same answers."""

import pytest

from pileus.kernel.rest.local import LocalClient, Refused
from pileus.kernel.testing import running
from tests.unit.kernel.test_rest import SERVICE


async def test_the_apis_answer_inside_the_process_as_outside(tmp_path):
    async with running(tmp_path, [SERVICE]) as cloud:
        api = LocalClient(cloud, "p1/member")
        note = (await api.post("/notes/v1/notes", {"note": {"title": "a"}}))["note"]
        assert (await api.get(f"/notes/v1/notes/{note['id']}"))["note"]["title"] == "a"
        assert await api.post(f"/notes/v1/notes/{note['id']}/action", {"shout": None}) is None
        with pytest.raises(Refused, match="title") as refused:
            await api.post("/notes/v1/notes", {"note": {}})
        assert refused.value.status == 400
        with pytest.raises(Refused, match="not valid"):
            await LocalClient(cloud, "bad").get("/notes/v1/notes")
