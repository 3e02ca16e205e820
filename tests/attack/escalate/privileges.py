"""Attributes, filters and actions that are the operator's: nobody gets them by asking."""

from tests.attack.escalate import attack, ok, refused
from tests.attack.world import World

C, N, S, I = "/compute/v2.1", "/networking/v2.0", "/volume/v3", "/image/v2"  # noqa: E741
OTHERS = ("all_tenants=1", "all_tenants=True", "all_projects=true", "project_id={p}", "tenant_id={p}", "owner={p}")


@attack("attributes", "of networks: shared, external, provider, host, a device of the cloud's")
async def of_networks(world: World) -> None:
    owned = world.attacker.owned
    async with world.as_(world.attacker, "manager") as http:
        await ok(http, "POST", f"{N}/networks", {"network": {"name": "plain"}})
        for more in (
            {"shared": True}, {"router:external": True}, {"provider:network_type": "flat"},
            {"provider:segmentation_id": 5}, {"project_id": world.victim.project},
        ):  # fmt: skip
            await refused(http, "POST", f"{N}/networks", {"network": {"name": "x", **more}})
        network, port = owned["network"][0], owned["port"][1]
        for more in ({"shared": True}, {"router:external": True}):
            await refused(http, "PUT", f"{N}/networks/{network}", {"network": more})
        for more in (
            {"binding:host_id": "fake-1"}, {"device_owner": "network:dhcp"},
            {"device_owner": "network:router_interface"},
            {"device_owner": "network:floatingip"}, {"binding:profile": {"x": "y"}},
            {"project_id": world.victim.project},
            {"device_id": world.victim.owned["router"][0]}, {"device_id": world.victim.owned["server"][0]},
        ):  # fmt: skip
            await refused(http, "POST", f"{N}/ports", {"port": {"network_id": network, **more}})
            await refused(http, "PUT", f"{N}/ports/{port}", {"port": more})
        gateway = {"network_id": owned["network"][0]}
        router = owned["router"][0]
        await refused(http, "PUT", f"{N}/routers/{router}", {"router": {"external_gateway_info": gateway}})
        for body in (
            {"object_type": "network", "object_id": network, "action": "access_as_external", "target_tenant": "*"},
            {"object_type": "network", "object_id": network, "action": "access_as_shared", "target_tenant": "*"},
        ):
            await refused(http, "POST", f"{N}/rbac-policies", {"rbac_policy": body})


@attack("attributes", "of servers: a host, a state, an owner, somebody else's things")
async def of_servers(world: World) -> None:
    owned, foreign = world.attacker.owned, world.victim.owned
    plain = {"name": "x", "imageRef": owned["image"][0], "flavorRef": "42", "networks": "none"}
    async with world.as_(world.attacker, "manager") as http:
        made = (await ok(http, "POST", f"{C}/servers", {"server": plain})).json()["server"]["id"]
        for more in (
            {"availability_zone": "nova:fake-1"}, {"availability_zone": "nova:fake-1:fake-1"}, {"host": "fake-1"},
            {"hypervisor_hostname": "fake-1"}, {"imageRef": foreign["image"][0]}, {"flavorRef": foreign["flavor"][0]},
            {"networks": [{"uuid": foreign["network"][0]}]}, {"networks": [{"port": foreign["port"][0]}]},
            {"key_name": foreign["keypair"][0]}, {"security_groups": [{"name": foreign["security_group"][0]}],
                                                  "networks": [{"uuid": owned["network"][0]}]},
            {"block_device_mapping_v2": [{"uuid": foreign["volume"][0], "source_type": "volume", "boot_index": 0,
                                          "destination_type": "volume"}], "imageRef": ""},
            {"block_device_mapping_v2": [{"uuid": foreign["snapshot"][0], "source_type": "snapshot", "boot_index": 0,
                                          "destination_type": "volume"}], "imageRef": ""},
        ):  # fmt: skip
            await refused(http, "POST", f"{C}/servers", {"server": {**plain, **more}})
        for action in (
            {"os-resetState": {"state": "active"}}, {"migrate": None}, {"os-migrateLive": {"host": None}},
            {"evacuate": {"host": "fake-2"}},
        ):  # fmt: skip
            await refused(http, "POST", f"{C}/servers/{owned['server'][0]}/action", action)
        volume = {"volumeAttachment": {"volumeId": foreign["volume"][0]}}
        await refused(http, "POST", f"{C}/servers/{owned['server'][0]}/os-volume_attachments", volume)
        port = {"interfaceAttachment": {"port_id": foreign["port"][1]}}
        await refused(http, "POST", f"{C}/servers/{owned['server'][0]}/os-interface", port)
        await refused(http, "POST", f"{C}/flavors", {"flavor": {"name": "f", "ram": 1, "vcpus": 1, "disk": 0}})
        await refused(http, "POST", f"{C}/os-aggregates", {"aggregate": {"name": "a"}})
        keypair = {"keypair": {"name": "k", "user_id": world.victim.users["member"]}}
        await refused(http, "POST", f"{C}/os-keypairs", keypair)
        await http.delete(f"{C}/servers/{made}")


@attack("attributes", "of images: public, another owner, locations on the host, protected ones of others")
async def of_images(world: World) -> None:
    owned, foreign = world.attacker.owned, world.victim.owned
    plain = {"name": "x", "disk_format": "raw", "container_format": "bare"}
    patch = {"Content-Type": "application/openstack-images-v2.1-json-patch"}
    async with world.as_(world.attacker, "manager") as http:
        await ok(http, "POST", f"{I}/images", plain)
        for more in (
            {"visibility": "public"}, {"owner": world.victim.project}, {"owner": None}, {"id": foreign["image"][0]},
            {"locations": [{"url": "file:///etc/passwd", "metadata": {}}]}, {"os_glance_import_task": "x"},
            {"direct_url": "file:///etc/passwd"}, {"os_hash_value": "x"}, {"checksum": "x"}, {"status": "active"},
        ):  # fmt: skip
            await refused(http, "POST", f"{I}/images", {**plain, **more})
        for change in (
            ("replace", "/visibility", "public"), ("replace", "/owner", world.victim.project),
            ("add", "/locations/-", {"url": "file:///etc/passwd", "metadata": {}}),
            ("replace", "/locations", [{"url": "swift+config://x/y/z", "metadata": {}}]),
            ("replace", "/status", "queued"),
            ("replace", "/os_hash_value", "x"), ("replace", "/id", foreign["image"][0]), ("add", "/os_glance_x", "y"),
        ):  # fmt: skip
            body = [{"op": change[0], "path": change[1], "value": change[2]}]
            answer = await http.patch(f"{I}/images/{owned['image'][0]}", json=body, headers=patch)
            assert answer.status_code in (400, 403, 409), f"{change}: {answer.status_code} {answer.text[:200]}"
        for member in (world.attacker.project, world.victim.project):
            await refused(http, "POST", f"{I}/images/{foreign['image'][1]}/members", {"member": member})
            await refused(http, "PUT", f"{I}/images/{foreign['image'][1]}/members/{member}", {"status": "accepted"})


@attack("attributes", "of volumes: states, hosts, types that are not lent, the exports that servers use")
async def of_volumes(world: World) -> None:
    owned, foreign = world.attacker.owned, world.victim.owned
    async with world.as_(world.attacker, "manager") as http:
        await ok(http, "POST", f"{S}/volumes", {"volume": {"size": 1}})
        for more in (
            {"volume_type": foreign["volume_type"][0]}, {"source_volid": foreign["volume"][0]},
            {"snapshot_id": foreign["snapshot"][0]}, {"imageRef": foreign["image"][0]},
            {"backup_id": foreign["backup"][0]},
        ):  # fmt: skip
            await refused(http, "POST", f"{S}/volumes", {"volume": {"size": 1, **more}})
        for action in (
            {"os-reset_status": {"status": "available"}}, {"os-force_delete": {}}, {"os-force_detach": {}},
            {"os-terminate_connection": {"connector": {}}}, {"os-detach": {}}, {"os-migrate_volume": {"host": "x"}},
            {"os-unmanage": {}}, {"os-update_readonly_flag": {}},
            {"os-attach": {"instance_uuid": foreign["server"][0]}},
            {"os-extend": {"new_size": 0}},
        ):  # fmt: skip
            await refused(http, "POST", f"{S}/volumes/{owned['volume'][1]}/action", action)  # attached to a server
        await refused(http, "DELETE", f"{S}/attachments/{owned['attachment'][0]}")
        body = {"transfer": {"volume_id": foreign["volume"][0]}}
        await refused(http, "POST", f"{S}/volume-transfers", body)
        accept = {"accept": {"auth_key": "0" * 16}}
        await refused(http, "POST", f"{S}/volume-transfers/{foreign['transfer'][0]}/accept", accept)
        restore = {"restore": {"volume_id": owned["volume"][0]}}
        await refused(http, "POST", f"{S}/backups/{foreign['backup'][0]}/restore", restore)


@attack("filters", "see every project's things by asking for all of them, or for another's")
async def all_of_them(world: World) -> None:
    victim = world.victim
    lists = [
        *(f"{C}/{name}" for name in ("servers", "servers/detail", "os-server-groups", "os-keypairs")),
        f"{C}/os-simple-tenant-usage",
        *(f"{N}/{name}" for name in ("networks", "ports", "subnets", "routers", "security-groups", "floatingips")),
        *(f"{S}/{name}" for name in ("volumes", "volumes/detail", "snapshots", "backups", "attachments")),
        f"{S}/volume-transfers",
        *(f"{I}/images{more}" for more in ("", "?visibility=all", "?visibility=private", "?member_status=all")),
    ]  # fmt: skip
    ids = victim.ids()
    for persona in ("reader", "manager", "domain admin"):
        async with world.as_(world.attacker, persona) as http:
            for path in lists:
                for words in OTHERS:
                    url = f"{path}{'&' if '?' in path else '?'}{words.format(p=victim.project)}"
                    answer = await http.get(url)
                    text = answer.text.replace(victim.project, "")
                    assert not any(id in text for id in ids), f"{url} as {persona}: {text[:300]}"


@attack("objects", "reach another account by copies, manifests, links, access lists or signed URLs")
async def of_objects(world: World) -> None:
    mine, theirs = (f"/object-store/v1/AUTH_{tenant.project}" for tenant in (world.attacker, world.victim))
    box, name = world.victim.owned["container"][0], world.victim.owned["object"][0]
    async with world.as_(world.attacker, "manager") as http:
        await ok(http, "PUT", f"{mine}/box")
        copy = {"X-Copy-From": f"/{box}/{name}", "X-Copy-From-Account": f"AUTH_{world.victim.project}"}
        await refused(http, "PUT", f"{mine}/box/copy", None, **copy)
        target = {"Destination": f"{box}/planted", "Destination-Account": f"AUTH_{world.victim.project}"}
        await ok(http, "PUT", f"{mine}/box/own")
        await refused(http, "COPY", f"{mine}/box/own", None, **target)
        await refused(http, "COPY", f"{theirs}/{box}/{name}", None, Destination="box/copy")
        for prefix in (f"../AUTH_{world.victim.project}/{box}/", f"%2e%2e/AUTH_{world.victim.project}/{box}/"):
            answer = await http.put(f"{mine}/box/manifest", headers={"X-Object-Manifest": prefix})
            if answer.is_success:
                assert name not in (await http.get(f"{mine}/box/manifest")).text
        for path in (
            f"{mine}/../AUTH_{world.victim.project}/{box}/{name}",
            f"{mine}/box/../../AUTH_{world.victim.project}/{box}",
        ):
            answer = await http.get(path)
            assert name not in answer.text
        answer = await http.get(f"{theirs}/{box}/{name}?temp_url_sig={'0' * 40}&temp_url_expires=9999999999")
        assert answer.status_code == 401, answer.text
        await refused(http, "POST", f"{theirs}/{box}", None, **{"X-Container-Read": ".r:*"})
        await refused(http, "POST", theirs, None, **{"X-Account-Meta-Temp-Url-Key": "mine"})
