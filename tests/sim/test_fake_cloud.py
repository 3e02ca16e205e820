"""What the fake cloud lets tests do to it: put it back, keep it, break it, move its time."""

import asyncio
import json
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from typing import Any

import httpx
import pytest
import pytest_asyncio

from pileus.fake.cloud import FakeCloud
from pileus.kernel.config import ConfigError, Configuration
from pileus.kernel.errors import Conflict, Unavailable
from pileus.kernel.runtime import Runtime
from pileus.kernel.testing import client as runtime_client
from pileus.kernel.testing import running

pytestmark = pytest.mark.asyncio(loop_scope="module")
SETTINGS = {"identity": {"password_hash_rounds": 4}}
COMPUTE, VOLUME, NETWORK, IDENTITY = "/compute/v2.1", "/volume/v3", "/networking/v2.0", "/identity/v3"


class Cloud:
    """A fake cloud in this process, and its administrator and demo user."""

    def __init__(self, fake: FakeCloud, image: str) -> None:
        self.fake = fake
        self.image = image
        transport = httpx.ASGITransport(fake, raise_app_exceptions=False)
        self.http = httpx.AsyncClient(transport=transport, base_url="http://cloud.test", timeout=None)
        self.admin = self.demo = ""

    async def log_in(self, name: str) -> str:
        known = json.loads((self.fake.config.state / "credentials.json").read_text())[name]
        user = {"name": known["user"], "password": known["password"], "domain": {"id": "default"}}
        scope = {"project": {"name": known["project"], "domain": {"id": "default"}}}
        auth = {"identity": {"methods": ["password"], "password": {"user": user}}, "scope": scope}
        answer = await self.http.post(f"{IDENTITY}/auth/tokens", json={"auth": auth})
        assert answer.status_code == 201, answer.text
        return answer.headers["x-subject-token"]

    async def ask(self, method: str, path: str, body: Any = None, token: str = "", status: int = 0, **more: Any) -> Any:
        headers = {"X-Auth-Token": token or self.admin, **more}
        content = body if isinstance(body, bytes) else None
        answer = await self.http.request(
            method, path, json=None if content is not None else body, content=content, headers=headers
        )
        assert answer.status_code == status if status else answer.status_code < 400, (answer.status_code, answer.text)
        return answer.json() if "json" in answer.headers.get("content-type", "") and answer.content else answer

    async def order(self, kind: str, **fields: Any) -> int:
        return (await self.ask("POST", "/fake/faults", {"kind": kind, **fields}))["fault"]["id"]

    async def boot(self, name: str) -> str:
        flavors = (await self.ask("GET", f"{COMPUTE}/flavors", token=self.demo))["flavors"]
        body = {"name": name, "flavorRef": flavors[0]["id"], "imageRef": self.image}
        made = await self.ask("POST", f"{COMPUTE}/servers", {"server": body}, self.demo)
        return made["server"]["id"]

    async def server(self, id: str) -> Any:
        return (await self.ask("GET", f"{COMPUTE}/servers/{id}", token=self.demo))["server"]

    async def settled(self, id: str) -> Any:
        """Return a server once it is built, or is not going to be."""
        return await until(lambda: self.server(id), lambda server: server["status"] in ("ACTIVE", "ERROR"))


async def until(ask: Callable[[], Awaitable[Any]], done: Callable[[Any], bool], patience_s: float = 30) -> Any:
    async with asyncio.timeout(patience_s):
        while not done(found := await ask()):  # noqa: ASYNC110
            await asyncio.sleep(0.02)
        return found


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def started(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Cloud]:
    fake = FakeCloud(Configuration(tmp_path_factory.mktemp("fake"), SETTINGS, fake=True, fake_hosts=2))
    await fake.start()
    cloud = Cloud(fake, "")
    cloud.admin = await cloud.log_in("admin")
    body = {"name": "tiny", "disk_format": "raw", "container_format": "bare", "visibility": "public"}
    cloud.image = (await cloud.ask("POST", "/image/v2/images", body))["id"]
    stream = {"Content-Type": "application/octet-stream"}
    await cloud.ask("PUT", f"/image/v2/images/{cloud.image}/file", bytes(65536), **stream)
    await cloud.ask("PUT", "/fake/snapshots/start")
    yield cloud
    await cloud.http.aclose()
    await fake.stop()


@pytest_asyncio.fixture(loop_scope="module")
async def cloud(started: Cloud) -> Cloud:
    """The cloud as it was when it was begun, which is itself what is tested here."""
    await started.fake.reset()
    started.admin, started.demo = await started.log_in("admin"), await started.log_in("demo")
    return started


async def projects(cloud: Cloud) -> set[str]:
    return {one["name"] for one in (await cloud.ask("GET", f"{IDENTITY}/projects"))["projects"]}


async def test_a_reset_takes_everything_back_and_leaves_tokens_good(cloud: Cloud) -> None:
    before, token = await projects(cloud), cloud.admin
    await cloud.ask("POST", f"{IDENTITY}/projects", {"project": {"name": "later"}})
    server = await cloud.boot("s")
    assert (await cloud.settled(server))["status"] == "ACTIVE"
    await cloud.order("api", service="image", status=500)
    await cloud.ask("POST", "/fake/time", {"forward_s": 30})
    await cloud.ask("POST", "/fake/reset", status=204)
    assert cloud.admin == token
    assert await projects(cloud) == before
    await cloud.ask("GET", f"{COMPUTE}/servers/{server}", token=cloud.demo, status=404)
    assert (await cloud.ask("GET", "/fake/faults"))["faults"] == []
    assert (await cloud.ask("GET", "/fake/time"))["ahead_s"] == 0
    assert await guests(cloud) == set()


async def guests(cloud: Cloud) -> set[str]:
    folder = cloud.fake.config.state / "compute" / "hosts"
    return {id for path in folder.rglob("guests-*.json") for id in json.loads(path.read_text())}


async def test_a_snapshot_brings_back_rows_bytes_guests_and_volumes(cloud: Cloud) -> None:
    project = (await cloud.ask("GET", f"{IDENTITY}/projects?name=demo"))["projects"][0]["id"]
    box = f"/object-store/v1/AUTH_{project}/box"
    await cloud.ask("PUT", box, token=cloud.demo)
    await cloud.ask("PUT", f"{box}/thing", b"first words", cloud.demo)
    server = await cloud.boot("kept")
    assert (await cloud.settled(server))["status"] == "ACTIVE"
    body = {"volume": {"name": "v", "size": 1}}
    volume = (await cloud.ask("POST", f"{VOLUME}/volumes", body, cloud.demo))["volume"]["id"]

    def look() -> Awaitable[Any]:
        return cloud.ask("GET", f"{VOLUME}/volumes/{volume}", token=cloud.demo)

    await until(look, lambda found: found["volume"]["status"] == "available")
    await cloud.ask("PUT", "/fake/snapshots/full", status=204)

    await cloud.ask("PUT", f"{box}/thing", b"other words", cloud.demo)
    await cloud.ask("DELETE", f"{box}/thing", token=cloud.demo)
    await cloud.ask("DELETE", f"{COMPUTE}/servers/{server}", token=cloud.demo)
    await cloud.ask("DELETE", f"{VOLUME}/volumes/{volume}", token=cloud.demo)
    await until(lambda: guests(cloud), lambda found: server not in found)
    for _ in range(2):  # loading changes nothing of the snapshot
        await cloud.ask("POST", "/fake/snapshots/full/load", status=204)
        assert (await cloud.ask("GET", f"{box}/thing", token=cloud.demo)).content == b"first words"
        assert server in await guests(cloud)
        await cloud.ask("POST", f"{VOLUME}/volumes/{volume}/action", {"os-extend": {"new_size": 2}}, cloud.demo)
        await until(look, lambda found: (found["volume"]["status"], found["volume"]["size"]) == ("available", 2))
        await cloud.ask("POST", f"{COMPUTE}/servers/{server}/action", {"os-stop": None}, cloud.demo)
        await until(lambda: cloud.server(server), lambda found: found["status"] == "SHUTOFF")
        await cloud.ask("DELETE", f"{box}/thing", token=cloud.demo)
    found = {one["name"]: one for one in (await cloud.ask("GET", "/fake/snapshots"))["snapshots"]}
    assert found.keys() == {"start", "full"}
    assert found["full"]["bytes"] > 65536
    await cloud.ask("DELETE", "/fake/snapshots/full", status=204)
    told = await cloud.ask("POST", "/fake/snapshots/full/load", status=404)
    assert "There is no snapshot full; there are: start" in told["error"]["message"]
    await cloud.ask("DELETE", "/fake/snapshots/start", status=409)
    await cloud.ask("PUT", "/fake/snapshots/..%2Fx", status=400)


async def test_what_was_under_way_when_it_was_saved_goes_on_at_once_when_it_is_loaded(cloud: Cloud) -> None:
    await cloud.order("boot", hang=True)
    server = await cloud.boot("hangs")
    await until(lambda: cloud.ask("GET", "/fake/faults"), lambda found: found["faults"][0]["struck"] == 1)
    await cloud.ask("PUT", "/fake/snapshots/half")
    await cloud.ask("POST", "/fake/snapshots/half/load")  # its faults are gone with what had gone before
    async with asyncio.timeout(15):  # a lease, had it to run out, lasts 30 s
        assert (await cloud.settled(server))["status"] == "ACTIVE"
    await cloud.ask("DELETE", "/fake/snapshots/half")


async def test_requests_under_way_are_cut_off_by_a_reset(cloud: Cloud) -> None:
    await cloud.order("api", service="identity", path="/v3/regions", delay_s=600)
    late = asyncio.create_task(cloud.http.get(f"{IDENTITY}/regions", headers={"X-Auth-Token": cloud.admin}))
    await until(lambda: cloud.ask("GET", "/fake/faults"), lambda found: found["faults"][0]["struck"] == 1)
    life = cloud.fake.runtime.db
    await cloud.ask("POST", "/fake/reset")
    answer = await late
    assert answer.status_code == 503
    assert "put back to another state" in answer.text
    with pytest.raises(Unavailable, match="put back to another state"):
        await life.write(lambda tx: None)
    await cloud.ask("GET", f"{IDENTITY}/regions")


async def test_only_the_administrator_and_who_has_the_key_may_use_it(cloud: Cloud) -> None:
    assert (await cloud.http.get("/fake/faults")).status_code == 401
    await cloud.ask("GET", "/fake/faults", token=cloud.demo, status=403)
    await cloud.ask("POST", "/fake/reset", token=cloud.demo, status=403)
    assert (await cloud.http.get("/fake/faults", headers={"X-Fake-Key": "guess"})).status_code == 401
    key = cloud.fake.config.state / "run" / "fake.key"
    assert key.stat().st_mode & 0o077 == 0
    await cloud.order("api", service="identity", status=503)  # nobody gets a token now
    cleared = await cloud.http.delete("/fake/faults", headers={"X-Fake-Key": key.read_text()})
    assert cleared.json()["cleared"]
    await cloud.ask("GET", "/fake/nothing", status=404)
    await cloud.ask("PUT", "/fake/reset", status=405)


async def test_the_next_boot_fails_with_a_sentence_wherever_it_is_tried(cloud: Cloud) -> None:
    await cloud.order("boot", message="No space left on device", name="db-*")
    spared = await cloud.boot("web-1")
    assert (await cloud.settled(spared))["status"] == "ACTIVE"
    failed = await cloud.settled(await cloud.boot("db-1"))
    assert failed["status"] == "ERROR"
    assert "No space left on device" in failed["fault"]["message"]
    assert (await cloud.settled(await cloud.boot("db-2")))["status"] == "ACTIVE"
    fault = (await cloud.ask("GET", "/fake/faults"))["faults"][0]
    assert (fault["struck"], fault["spent"]) == (1, True)


async def test_every_second_boot_fails_until_the_fault_is_cleared(cloud: Cloud) -> None:
    id = await cloud.order("boot", message="flaky", every=2, times=0)
    states = [(await cloud.settled(await cloud.boot(f"s{number}")))["status"] for number in range(4)]
    assert states == ["ACTIVE", "ERROR", "ACTIVE", "ERROR"]
    await cloud.ask("DELETE", f"/fake/faults/{id}", status=204)
    assert (await cloud.settled(await cloud.boot("s5")))["status"] == "ACTIVE"
    await cloud.ask("DELETE", f"/fake/faults/{id}", status=404)


async def test_a_host_on_which_boots_fail_is_passed_over(cloud: Cloud) -> None:
    await cloud.order("boot", message="broken disk", host="fake-1", times=0)
    for number in range(4):
        server = await cloud.settled(await cloud.boot(f"s{number}"))
        assert server["status"] == "ACTIVE"
        found = (await cloud.ask("GET", f"{COMPUTE}/servers/{server['id']}"))["server"]
        assert found["OS-EXT-SRV-ATTR:host"] == "fake-2"


async def test_a_slow_boot_takes_its_time_and_a_hanging_one_ends_when_the_fault_is_cleared(cloud: Cloud) -> None:
    loop = asyncio.get_running_loop()
    await cloud.order("boot", delay_s=0.6, name="slow")
    began = loop.time()
    assert (await cloud.settled(await cloud.boot("slow")))["status"] == "ACTIVE"
    assert loop.time() - began >= 0.6
    id = await cloud.order("boot", hang=True, name="hangs")
    server = await cloud.boot("hangs")
    await until(lambda: cloud.ask("GET", "/fake/faults"), lambda found: found["faults"][1]["struck"] == 1)
    assert (await cloud.server(server))["status"] == "BUILD"
    await cloud.ask("DELETE", f"/fake/faults/{id}")
    assert (await cloud.settled(server))["status"] == "ACTIVE"


async def test_any_command_to_a_host_can_fail(cloud: Cloud) -> None:
    await cloud.order("command", command="EnsureVolume", message="The pool is gone")
    body = {"volume": {"name": "v", "size": 1}}
    volume = (await cloud.ask("POST", f"{VOLUME}/volumes", body, cloud.demo))["volume"]["id"]
    found = await until(
        lambda: cloud.ask("GET", f"{VOLUME}/volumes/{volume}", token=cloud.demo),
        lambda found: found["volume"]["status"] in ("error", "available"),
    )
    assert found["volume"]["status"] == "error"


async def test_apis_refuse_in_their_own_words_as_often_as_ordered(cloud: Cloud) -> None:
    await cloud.order("api", service="compute", status=503, method="GET", path="/v2.1/servers*", times=1)
    told = await cloud.ask("GET", f"{COMPUTE}/servers", status=503)
    assert told["computeFault" if "computeFault" in told else next(iter(told))]["code"] == 503
    await cloud.ask("GET", f"{COMPUTE}/servers")
    await cloud.ask("GET", f"{COMPUTE}/flavors")
    await cloud.order("api", service="network", status=429, retry_after_s=7, message="Too fast.", every=2)
    await cloud.ask("GET", f"{NETWORK}/networks")
    answer = await cloud.http.get(f"{NETWORK}/networks", headers={"X-Auth-Token": cloud.admin})
    assert (answer.status_code, answer.headers["retry-after"]) == (429, "7")
    assert answer.json()["NeutronError"]["message"] == "Too fast."


async def test_a_full_quota_is_what_it_was_when_the_fault_is_cleared(cloud: Cloud) -> None:
    for own in (None, 3):
        if own is not None:
            project = (await cloud.ask("GET", f"{IDENTITY}/projects?name=demo"))["projects"][0]["id"]
            await cloud.ask("PUT", f"{COMPUTE}/os-quota-sets/{project}", {"quota_set": {"instances": own}})
        await cloud.order("quota", project="demo", service="compute", name="instances")
        with pytest.raises(AssertionError, match="Quota exceeded for instances"):
            await cloud.boot("none")
        await cloud.ask("DELETE", "/fake/faults")
        assert (await cloud.settled(await cloud.boot("one")))["status"] == "ACTIVE"
    assert (await cloud.ask("GET", f"{COMPUTE}/os-quota-sets/{project}"))["quota_set"]["instances"] == 3


async def services(cloud: Cloud) -> dict[str, str]:
    found = (await cloud.ask("GET", f"{COMPUTE}/os-services?binary=nova-compute"))["services"]
    return {one["host"]: one["state"] for one in found}


async def test_a_host_dies_and_comes_back_with_its_guests_switched_off(cloud: Cloud) -> None:
    server = await cloud.settled(await cloud.boot("s"))
    host = (await cloud.ask("GET", f"{COMPUTE}/servers/{server['id']}"))["server"]["OS-EXT-SRV-ATTR:host"]
    other = ({"fake-1", "fake-2"} - {host}).pop()
    await cloud.order("host", host=host, power_off=True)
    assert await services(cloud) == {host: "down", other: "up"}
    await cloud.ask("POST", "/fake/faults", {"kind": "host", "host": host}, status=404)
    moved = await cloud.settled(await cloud.boot("elsewhere"))
    assert (await cloud.ask("GET", f"{COMPUTE}/servers/{moved['id']}"))["server"]["OS-EXT-SRV-ATTR:host"] == other
    await cloud.ask("PUT", "/fake/snapshots/dead")  # saving interrupts nothing: the host stays dead
    assert (await services(cloud))[host] == "down"
    await cloud.ask("DELETE", "/fake/faults")
    assert await services(cloud) == {host: "up", other: "up"}
    boots = cloud.fake.config.state / "compute" / "hosts" / host / f"guests-{host}.json"
    await until(lambda: asyncio.to_thread(boots.read_text), lambda text: json.loads(text)[server["id"]]["boots"] == 2)


async def test_capacity_vanishes_and_comes_back(cloud: Cloud) -> None:
    await cloud.order("capacity")
    failed = await cloud.settled(await cloud.boot("none"))
    assert failed["status"] == "ERROR"
    assert "No valid host" in failed["fault"]["message"]
    await cloud.ask("DELETE", "/fake/faults")
    assert (await cloud.settled(await cloud.boot("one")))["status"] == "ACTIVE"


async def test_time_moves_and_tokens_expire(cloud: Cloud) -> None:
    moved = await cloud.ask("POST", "/fake/time", {"forward_s": 100_000})
    assert moved["ahead_s"] == 100_000
    await cloud.ask("GET", f"{COMPUTE}/servers", token=cloud.demo, status=401)
    cloud.admin, cloud.demo = await cloud.log_in("admin"), await cloud.log_in("demo")
    assert (await cloud.settled(await cloud.boot("tomorrow")))["status"] == "ACTIVE"
    assert set((await services(cloud)).values()) == {"up"}


async def test_orders_that_make_no_sense_are_refused(cloud: Cloud) -> None:
    for fault, words in (
        ({"kind": "boot"}, "Say what is to happen"),
        ({"kind": "boot", "hang": True, "message": "x"}, "neither fails nor takes a while"),
        ({"kind": "boot", "message": "x", "whom": "y"}, "unknown field 'whom'"),
        ({"kind": "storm"}, "storm"),
        ({"kind": "api", "service": "compute"}, "status from 400 to 599"),
        ({"kind": "api", "service": "nova", "status": 500}, "No service is called nova"),
        ({"kind": "quota", "project": "demo", "service": "compute", "name": "disks"}, "has no limit disks"),
        ({"kind": "quota", "project": "nobody", "service": "compute", "name": "cores"}, "no project nobody"),
        ({"kind": "capacity", "host": "x*"}, "No host that is up is called x*"),
    ):
        answer = await cloud.http.post("/fake/faults", json=fault, headers={"X-Auth-Token": cloud.admin})
        assert answer.status_code in (400, 404), answer.text
        assert words in answer.json()["error"]["message"]
    assert (await cloud.ask("GET", "/fake/faults"))["faults"] == []


async def test_a_cloud_that_is_not_fake_has_no_such_paths(tmp_path: Path) -> None:
    async with running(tmp_path) as runtime, runtime_client(runtime) as http:
        assert isinstance(runtime, Runtime)
        assert (await http.post("/fake/reset")).status_code == 404


async def test_a_database_that_cannot_be_copied_has_no_snapshots(tmp_path: Path) -> None:
    cloud = FakeCloud(Configuration(tmp_path, fake=True, database="postgresql://nobody@127.0.0.1:1/none"))
    with pytest.raises(Conflict, match="Snapshots are for clouds on SQLite"):
        await cloud.save("x")


async def test_a_real_cloud_cannot_do_without_the_disk(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="only a fake cloud"):
        Runtime(Configuration(tmp_path, {"cloud": {"synced": False}}), [])
