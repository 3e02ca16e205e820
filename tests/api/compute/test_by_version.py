"""What answers differ by microversion, or was taken away, as upstream's do."""

from urllib.parse import parse_qs, urlsplit

import pytest
from cryptography.hazmat.primitives.serialization import load_pem_private_key

from tests.api.compute.cloud import Cloud

ED25519 = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIOMqqnkVzrm0SdG6UOoqKLsabgH5C9okWi0dh2l9GKJl me@home\n"
OLD = ("fixed_ips", "floating_ips", "security_groups", "security_group_rules")


async def test_a_public_key_stays_as_it_was_sent(cloud: Cloud) -> None:
    body = {"keypair": {"name": "mine", "public_key": ED25519}}
    made = (await cloud.ask("POST", "/os-keypairs", 200, body))["keypair"]
    shown = (await cloud.ask("GET", "/os-keypairs/mine", 200))["keypair"]
    assert (made["public_key"], shown["public_key"]) == (ED25519, ED25519)


async def test_a_key_pair_that_is_made_can_read_what_guests_encrypt(cloud: Cloud) -> None:
    made = (await cloud.ask("POST", "/os-keypairs", 200, {"keypair": {"name": "new"}}))["keypair"]
    assert made["public_key"].startswith("ssh-rsa ")
    assert load_pem_private_key(made["private_key"].encode(), None).key_size == 2048  # type: ignore[union-attr]
    await cloud.refused("POST", "/os-keypairs", 400, {"keypair": {"name": "x"}}, version="2.92")
    await cloud.refused("POST", "/os-keypairs", 409, {"keypair": {"name": "new"}})


async def test_old_quotas_are_kept_and_shown(cloud: Cloud) -> None:
    values = dict(zip(OLD, (1, 2, 3, 4), strict=True))
    path = "/os-quota-sets/some-project"
    put = await cloud.ask("PUT", path, 200, {"quota_set": values}, who=cloud.admin, version="2.35")
    got = await cloud.ask("GET", path, 200, who=cloud.admin, version="2.35")
    for answer in (put, got):
        assert {name: answer["quota_set"][name] for name in OLD} == values
    await cloud.refused("PUT", path, 400, {"quota_set": {"fixed_ips": 1}}, who=cloud.admin, version="2.36")
    classes = "/os-quota-class-sets/default"
    await cloud.ask("PUT", classes, 200, {"quota_class_set": values}, who=cloud.admin, version="2.49")
    got = await cloud.ask("GET", classes, 200, who=cloud.admin, version="2.49")
    assert {name: got["quota_class_set"][name] for name in OLD} == values
    other = await cloud.ask("GET", "/os-quota-sets/another/defaults", 200, who=cloud.admin, version="2.35")
    assert other["quota_set"]["floating_ips"] == values["floating_ips"]


@pytest.mark.parametrize(
    ("path", "before", "since"),
    [
        ("/servers", "2.74", "2.75"),
        ("/servers/detail", "2.74", "2.75"),
        ("/flavors", "2.74", "2.75"),
        ("/os-keypairs", "2.74", "2.75"),
        ("/os-server-groups", "2.74", "2.75"),
        ("/os-services", "2.74", "2.75"),
        ("/os-simple-tenant-usage", "2.74", "2.75"),
        ("/os-hypervisors", "2.52", "2.53"),
        ("/os-migrations", "2.58", "2.59"),
    ],
)
async def test_unknown_query_parameters_are_refused_from_one_version_on(
    cloud: Cloud, path: str, before: str, since: str
) -> None:
    await cloud.ask("GET", f"{path}?zzz=1", 200, who=cloud.admin, version=before)
    assert "zzz" in await cloud.refused("GET", f"{path}?zzz=1", 400, who=cloud.admin, version=since)
    await cloud.ask("GET", f"{path}?zzz=1", 400, who=cloud.admin, version="2.103")


async def test_servers_are_found_by_what_upstream_knows(cloud: Cloud) -> None:
    id = await cloud.boot()
    for query in ("launch_index=0", "progress=100", "root_device_name=/dev/vda", f"image_ref={cloud.image_id}"):
        found = (await cloud.ask("GET", f"/servers?{query}", 200, version="2.75"))["servers"]
        assert [server["id"] for server in found] == [id], query
    for query in ("launch_index=1", "kernel_id=x", "locked_by=owner", "display_description=z"):
        assert (await cloud.ask("GET", f"/servers?{query}", 200, version="2.75"))["servers"] == [], query


async def test_rxtx_factor_went_with_2_102(cloud: Cloud) -> None:
    assert (await cloud.ask("GET", "/flavors/42", 200, version="2.101"))["flavor"]["rxtx_factor"] == 1.0
    assert "rxtx_factor" not in (await cloud.ask("GET", "/flavors/42", 200, version="2.102"))["flavor"]
    body = {"flavor": {"name": "f", "ram": 1, "vcpus": 1, "disk": 0, "rxtx_factor": 1.0}}
    await cloud.refused("POST", "/flavors", 400, body, who=cloud.admin, version="2.102")
    await cloud.ask("POST", "/flavors", 200, body, who=cloud.admin, version="2.101")


async def test_a_public_flavor_takes_access_before_2_7_only(cloud: Cloud) -> None:
    body = {"addTenantAccess": {"tenant": "p"}}
    await cloud.refused("POST", "/flavors/42/action", 409, body, who=cloud.admin, version="2.7")
    given = await cloud.ask("POST", "/flavors/42/action", 200, body, who=cloud.admin, version="2.6")
    assert given["flavor_access"] == [{"flavor_id": "42", "tenant_id": "p"}]


async def test_host_names_with_a_domain_came_with_2_94(cloud: Cloud) -> None:
    server = {"name": "x", "imageRef": cloud.image_id, "flavorRef": "42", "networks": "none"}
    body = {"server": {**server, "hostname": "web.example.org"}}
    for version in ("2.90", "2.93"):
        assert "hostname" in await cloud.refused("POST", "/servers", 400, body, version=version)
    made = (await cloud.ask("POST", "/servers", 202, body, version="2.94"))["server"]["id"]
    await cloud.rest(made)
    change = {"server": {"hostname": "db.example.org"}}
    await cloud.refused("PUT", f"/servers/{made}", 400, change, version="2.93")
    await cloud.ask("PUT", f"/servers/{made}", 200, change, version="2.94")


async def test_files_for_a_server_are_base64(cloud: Cloud) -> None:
    server = {"name": "x", "imageRef": cloud.image_id, "flavorRef": "42", "networks": [{"uuid": cloud.network_id}]}
    bad = {"personality": [{"path": "/etc/motd", "contents": "not base64!"}]}
    assert "/etc/motd" in await cloud.refused("POST", "/servers", 400, {"server": {**server, **bad}})
    id = await cloud.boot(personality=[{"path": "/etc/motd", "contents": "aGVs\nbG8="}])
    rebuild = {"rebuild": {"imageRef": cloud.image_id, **bad}}
    assert "/etc/motd" in await cloud.refused("POST", f"/servers/{id}/action", 400, rebuild)


async def test_the_console_s_address_names_its_websocket(cloud: Cloud) -> None:
    id = await cloud.boot()
    body = {"remote_console": {"protocol": "vnc", "type": "novnc"}}
    url = (await cloud.ask("POST", f"/servers/{id}/remote-consoles", 200, body, version="2.6"))["remote_console"]["url"]
    query = parse_qs(urlsplit(url).query)
    (token,), (path,) = query["token"], query["path"]
    assert path == f"compute/console/socket?token={token}"
    auth = f"/os-console-auth-tokens/{token}"
    assert "tls_port" not in (await cloud.ask("GET", auth, 200, who=cloud.admin, version="2.98"))["console"]
    assert (await cloud.ask("GET", auth, 200, who=cloud.admin, version="2.99"))["console"]["tls_port"] is None


async def test_what_upstream_removed_is_gone(cloud: Cloud) -> None:
    id = await cloud.boot()
    for path in (
        "/os-cells",
        "/os-fping",
        "/os-agents",
        "/os-floating-ips-bulk",
        f"/servers/{id}/os-virtual-interfaces",
    ):
        assert "removed" in await cloud.refused("GET", path, 410)
    assert "removed" in await cloud.refused("POST", f"/servers/{id}/action", 410, {"resetNetwork": None})
    message = await cloud.refused("POST", f"/servers/{id}/action", 400, {"makeCoffee": None})
    assert message.startswith("There is no such action: makeCoffee. ")


async def test_the_list_of_extensions_is_upstream_s(cloud: Cloud) -> None:
    listed = (await cloud.ask("GET", "/extensions", 200))["extensions"]
    assert {"Hosts", "Consoles", "AdminActions"} <= {one["name"] for one in listed}
    assert "os-volumes" not in {one["alias"] for one in listed}
    assert (await cloud.ask("GET", "/extensions/os-consoles", 200))["extension"]["alias"] == "os-consoles"
