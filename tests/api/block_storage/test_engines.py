"""Block storage on PostgreSQL and MariaDB: the statements that engines understand differently."""

from pathlib import Path

from pileus.kernel.service import find_services
from pileus.kernel.testing import client, running
from pileus.services.identity.testing import login
from tests.api.block_storage.conftest import LATEST, Cloud


async def test_volumes_are_found_by_what_is_in_them(tmp_path: Path, server_url: str) -> None:
    services = find_services(["identity", "object_store", "image", "block_storage"])
    async with (
        running(tmp_path, services, database=server_url) as runtime,
        client(runtime, await login(runtime, "demo"), **{"OpenStack-API-Version": LATEST}) as http,
    ):
        cloud = Cloud(runtime, http, http, http)
        for number in range(3):
            await cloud.volume(name=f"v{number}", metadata={"n": str(number), "Type": "work"})
        volume = await cloud.volume(size=2)
        snapshot = await cloud.snapshot(volume["id"], metadata={"k": "v"})

        async def names(query: str) -> list[str]:
            found = (await http.get(f"/volume/v3/volumes/detail?{query}")).json()["volumes"]
            return [entry["name"] for entry in found]

        assert await names("metadata={'n': '1', 'Type': 'work'}") == ["v1"]
        assert await names("metadata={'type': 'work'}") == []
        assert await names("name~=V&sort=name:asc&limit=2") == ["v0", "v1"]
        assert await names("sort=name:asc") == [None, "v0", "v1", "v2"]
        used = (await http.get("/volume/v3/limits")).json()["limits"]["absolute"]
        assert (used["totalVolumesUsed"], used["totalGigabytesUsed"]) == (4, 7)
        assert (await http.delete(f"/volume/v3/volumes/{volume['id']}?cascade=true")).status_code == 202
        await cloud.until_gone("volume", volume["id"])
        await cloud.until_gone("snapshot", snapshot["id"])
