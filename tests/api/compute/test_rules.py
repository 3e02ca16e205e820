"""What an operator writes about servers under Nova's names has an effect, and what nobody wrote is Nova's default."""

from pathlib import Path

import yaml

from tests.api.compute.cloud import Cloud, cloud_at


def forced(cloud: Cloud, **more: str) -> dict:
    server = {"name": "x", "imageRef": cloud.image_id, "flavorRef": "42", **more}
    return {"server": {**server, "networks": [{"uuid": cloud.network_id}]}}


async def details(cloud: Cloud, id: str, **more: object) -> dict:
    """Return the one event of a server's creation, as shown since 2.84."""
    path = f"/servers/{id}/os-instance-actions"
    (action,) = (await cloud.ask("GET", path, 200))["instanceActions"]
    shown = await cloud.ask("GET", f"{path}/{action['request_id']}", 200, version="2.84", **more)
    return shown["instanceAction"]["events"][0]


async def test_by_default_these_are_the_administrators(cloud: Cloud) -> None:
    said = await cloud.refused("POST", "/servers", 403, forced(cloud, availability_zone="nova:fake-1"))
    assert "os_compute_api:servers:create:forced_host" in said
    said = await cloud.refused("POST", "/servers", 403, forced(cloud, host="fake-1"), version="2.74")
    assert "Policy doesn't allow compute:servers:create:requested_destination" in said
    said = await cloud.refused("GET", "/servers/detail?all_tenants=1", 403)
    assert "os_compute_api:servers:detail:get_all_tenants" in said
    said = await cloud.refused("GET", "/servers?all_tenants=1", 403)
    assert "os_compute_api:servers:index:get_all_tenants" in said
    id = await cloud.boot()
    assert "details" not in await details(cloud, id)
    assert "details" in await details(cloud, id, who=cloud.admin)
    assert len((await cloud.ask("GET", "/servers?host=nowhere", 200))["servers"]) == 1
    assert (await cloud.ask("GET", "/servers?host=nowhere&all_tenants=1", 200, who=cloud.admin))["servers"] == []
    await cloud.refused("GET", "/os-migrations", 403)


async def test_an_operators_lines_about_them_count(tmp_path: Path) -> None:
    opened = [
        "os_compute_api:servers:create:forced_host",
        "compute:servers:create:requested_destination",
        "os_compute_api:servers:detail:get_all_tenants",
        "os_compute_api:os-instance-actions:events:details",
        "os_compute_api:servers:allow_all_filters",
        "os_compute_api:os-migrations:index",
    ]
    (tmp_path / "policy.yaml").write_text(yaml.safe_dump(dict.fromkeys(opened, "role:member")))
    async with cloud_at(tmp_path) as cloud:
        await cloud.ask("POST", "/servers", 202, forced(cloud, availability_zone="nova:fake-1"))
        answer = await cloud.ask("POST", "/servers", 202, forced(cloud, host="fake-1"), version="2.74")
        await cloud.rest(answer["server"]["id"])
        assert len((await cloud.ask("GET", "/servers/detail?all_tenants=1", 200, who=cloud.alt))["servers"]) == 2
        await cloud.refused("GET", "/servers?all_tenants=1", 403, who=cloud.alt)
        assert "details" in await details(cloud, answer["server"]["id"])
        assert (await cloud.ask("GET", "/servers?host=nowhere", 200))["servers"] == []


async def test_a_manager_sees_the_migrations_of_its_project_without_hosts(tmp_path: Path) -> None:
    (tmp_path / "policy.yaml").write_text('"os_compute_api:os-migrations:index": "role:member"\n')
    async with cloud_at(tmp_path) as cloud:
        id = await cloud.boot()
        await cloud.act(id, resize={"flavorRef": "1"})
        (mine,) = (await cloud.ask("GET", "/os-migrations", 200))["migrations"]
        assert (mine["instance_uuid"], mine["source_compute"], mine["dest_compute"]) == (id, None, None)
        assert (await cloud.ask("GET", "/os-migrations", 200, who=cloud.alt))["migrations"] == []
        await cloud.refused("GET", "/os-migrations?host=fake-1", 403)
        (seen,) = (await cloud.ask("GET", "/os-migrations", 200, who=cloud.admin))["migrations"]
        assert seen["source_compute"].startswith("fake-")
