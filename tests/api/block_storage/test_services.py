"""What runs where, what a client may rely on."""

from tests.api.block_storage.conftest import Cloud

VOLUME = "fake-1@fake"


async def test_services_are_listed_disabled_and_enabled(cloud: Cloud) -> None:
    path, admin = "/volume/v3/os-services", cloud.admin
    services = (await admin.get(path)).json()["services"]
    assert [(one["binary"], one["host"], one["state"]) for one in services] == [
        ("cinder-scheduler", "fake-1", "up"),
        ("cinder-volume", VOLUME, "up"),
    ]
    assert (await cloud.http.get(path)).status_code == 403
    why = {"host": VOLUME, "binary": "cinder-volume", "disabled_reason": "repair"}
    answer = await admin.put(f"{path}/disable-log-reason", json=why)
    assert answer.json()["disabled_reason"] == "repair"
    (one,) = (await admin.get(f"{path}?binary=cinder-volume")).json()["services"]
    assert (one["status"], one["disabled_reason"]) == ("disabled", "repair")
    made = await cloud.http.post("/volume/v3/volumes", json={"volume": {"size": 1}})
    await cloud.until("volume", made.json()["volume"]["id"], "error")
    (message,) = (await cloud.http.get("/volume/v3/messages")).json()["messages"]
    assert "fake-1 is disabled (repair)" in message["user_message"]
    assert (await admin.put(f"{path}/enable", json=why)).json()["status"] == "enabled"
    await cloud.volume()


async def test_bad_service_actions_are_refused(cloud: Cloud) -> None:
    path, admin = "/volume/v3/os-services", cloud.admin
    good = {"host": VOLUME, "binary": "cinder-volume"}
    assert (await admin.put(f"{path}/explode", json=good)).status_code == 404
    assert (await admin.put(f"{path}/disable", json={"binary": "cinder-volume"})).status_code == 400
    assert (await admin.put(f"{path}/disable", json={"host": VOLUME})).status_code == 400
    assert (await admin.put(f"{path}/disable", json={**good, "host": "nowhere"})).status_code == 404
    assert (await admin.put(f"{path}/disable-log-reason", json=good)).status_code == 400
    assert (await admin.put(f"{path}/freeze", json={"host": "nowhere"})).status_code == 400
    assert (await admin.put(f"{path}/freeze", json={"host": VOLUME})).status_code == 200
    assert (await cloud.http.put(f"{path}/disable", json=good)).status_code == 403


async def test_pools_and_capabilities(cloud: Cloud) -> None:
    admin = cloud.admin
    (pool,) = (await admin.get("/volume/v3/scheduler-stats/get_pools?detail=true")).json()["pools"]
    assert pool["name"] == "fake-1@fake#fake"
    assert pool["capabilities"]["storage_protocol"] == "fake"
    told = (await admin.get(f"/volume/v3/capabilities/{VOLUME}")).json()
    assert told["namespace"] == f"OS::Storage::Capabilities::{VOLUME}"
    assert (await admin.get("/volume/v3/capabilities/nowhere")).status_code == 404
    assert (await cloud.http.get("/volume/v3/scheduler-stats/get_pools")).status_code == 403


async def test_hosts_tell_what_projects_keep_there(cloud: Cloud) -> None:
    volume = await cloud.volume(size=2)
    await cloud.snapshot(volume["id"])
    hosts = (await cloud.admin.get("/volume/v3/os-hosts")).json()["hosts"]
    assert {host["host_name"] for host in hosts} == {"fake-1", VOLUME}
    entries = (await cloud.admin.get(f"/volume/v3/os-hosts/{VOLUME}")).json()["host"]
    total = entries[0]["resource"]
    assert (total["project"], total["volume_count"], total["total_volume_gb"]) == ("(total)", "1", "2")
    assert (total["snapshot_count"], total["total_snapshot_gb"], len(entries)) == ("1", "2", 2)
    assert (await cloud.admin.get("/volume/v3/os-hosts/nowhere")).status_code == 404


async def test_zones_extensions_and_filters(cloud: Cloud) -> None:
    zones = (await cloud.http.get("/volume/v3/os-availability-zone")).json()
    assert zones == {"availabilityZoneInfo": [{"zoneName": "nova", "zoneState": {"available": True}}]}
    extensions = (await cloud.http.get("/volume/v3/extensions")).json()["extensions"]
    assert "Hosts" in {extension["name"] for extension in extensions}
    assert (await cloud.http.get("/volume/v3/extensions/os-hosts")).json()["extension"]["alias"] == "os-hosts"
    assert (await cloud.http.get("/volume/v3/extensions/os-unheard-of")).status_code == 404
    (filters,) = (await cloud.http.get("/volume/v3/resource_filters?resource=snapshot")).json()["resource_filters"]
    assert "volume_id" in filters["filters"]
