"""Images and objects on PostgreSQL and MariaDB: the statements that engines understand differently."""

from pathlib import Path

from pileus.kernel.testing import client, running
from tests.api.image.conftest import SERVICES, create, speaking, upload


async def test_images_live_and_die(tmp_path: Path, server_url: str) -> None:
    async with running(tmp_path, SERVICES, database=server_url) as cloud, speaking(cloud, "p1/u1/member") as http:
        for name in ("a", "b"):
            image = await create(http, name=name, colour="red", tags=["t"])
            assert (await upload(http, image["id"])).status_code == 204
        page = (await http.get("images?tag=t&colour=red&protected=false&sort=size:desc,name:asc&limit=1")).json()
        assert [image["name"] for image in page["images"]] == ["a"]
        page = (await http.get(f"http://cloud.test/image{page['next']}")).json()
        assert [image["name"] for image in page["images"]] == ["b"]
        assert (await http.get(f"images/{image['id']}/file")).content == b"data"
        assert (await http.delete(f"images/{image['id']}")).status_code == 204
        assert (await http.get(f"images/{image['id']}")).status_code == 404


async def test_listings_are_in_the_order_of_bytes(tmp_path: Path, server_url: str) -> None:
    async with running(tmp_path, SERVICES, database=server_url) as cloud, client(cloud, "p1/u1/member") as http:
        box = "/object-store/v1/AUTH_p1/box"
        await http.put(box)
        for name in ("b", "A", "a", "Z", "\u00e9", "d/1", "d/2"):
            assert (await http.put(f"{box}/{name}", content=b"x")).status_code == 201
        assert (await http.get(f"{box}?delimiter=/")).text.split() == ["A", "Z", "a", "b", "d/", "\u00e9"]
        assert (await http.get(f"{box}?marker=Z&end_marker=d&reverse=false")).text.split() == ["a", "b"]
        assert (await http.head(box)).headers["x-container-bytes-used"] == "7"
