"""A fake cloud under attack: verbs of users, each on fresh things, and what is wiped away afterwards."""

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any

from pileus.kernel import clock, ids
from pileus.kernel.agent.host import Host
from pileus.kernel.errors import Conflict
from pileus.kernel.operations import alarms
from pileus.kernel.operations.execution import no_observer
from pileus.kernel.rest.local import LocalClient, Refused
from pileus.kernel.runtime import Runtime
from pileus.kernel.testing.interruptions import Case
from pileus.services.compute.agent import ComputePart
from pileus.services.compute.drivers.fake import FakeHypervisor
from pileus.services.identity.testing import login
from tests.sim.services.audit import audit
from tests.sim.services.boot_sector import bootable_disk

COMPUTE, VOLUME, NETWORK, IMAGE = "/compute/v2.1", "/volume/v3", "/networking/v2.0", "/image/v2"
KEYS = "/key-manager/v1"
Act = Callable[[Runtime], Awaitable[object]]
Audit = Callable[[Runtime], Awaitable[None]]


class User:
    """The demo user, by the public APIs."""

    def __init__(self, cloud: Runtime, api: LocalClient, image: str, network: str) -> None:
        self.cloud, self.api, self.image, self.network = cloud, api, image, network

    @classmethod
    async def of(cls, cloud: Runtime) -> "User":
        """Log in, see to an image of a few bytes, and find the project's network."""
        api = LocalClient(cloud, await login(cloud))
        found = (await api.get(f"{IMAGE}/images", name="tiny"))["images"]
        if not found:
            body = {"name": "tiny", "disk_format": "raw", "container_format": "bare"}
            made = await api.post(f"{IMAGE}/images", body)
            headers = {"Content-Type": "application/octet-stream"}
            await api.call("PUT", f"{IMAGE}/images/{made['id']}/file", bootable_disk(), headers=headers)
            found = [made]
        network = (await api.get(f"{NETWORK}/networks", name="private"))["networks"][0]["id"]
        return cls(cloud, api, found[0]["id"], network)

    async def idle(self) -> None:
        """Wait until nothing is under way."""
        while await self.cloud.db.read(alarms.list_operations):
            await clock.sleep(0.005)

    def refuse_first_host(self) -> None:
        """Let every new guest be refused by whichever host is asked for it first."""
        asked: dict[str, str] = {}

        def fault_of(name: str) -> Callable[[str, str], None]:
            def fault(verb: str, guest_id: str) -> None:
                if verb == "ensure_guest" and asked.setdefault(guest_id, name) == name:
                    raise Conflict(f"{name} cannot run it")

            return fault

        assert self.cloud.local_hosts is not None
        for name, host in self.cloud.local_hosts.hosts.items():
            for part in host.parts:
                if isinstance(part, ComputePart) and isinstance(part.driver, FakeHypervisor):
                    part.driver.fault = fault_of(name)

    async def boot(self, **more: Any) -> str:
        """Create a server and return its id at once."""
        server = {"name": "s", "flavorRef": "42", "networks": [{"uuid": self.network}], **more}
        if "block_device_mapping_v2" not in more:
            server["imageRef"] = self.image
        return (await self.api.post(f"{COMPUTE}/servers", {"server": server}))["server"]["id"]

    async def act_on(self, server: str, action: str, argument: Any = None) -> None:
        """Send an action and wait until it has ended."""
        await self.api.post(f"{COMPUTE}/servers/{server}/action", {action: argument})
        await self.idle()

    async def ready(self, **more: Any) -> str:
        """Return a server that has been built."""
        server = await self.boot(**more)
        await self.idle()
        return server

    async def volume(self, **more: Any) -> str:
        """Return a volume that has been made."""
        made = await self.api.post(f"{VOLUME}/volumes", {"volume": {"name": "v", "size": 1, **more}})
        await self.idle()
        return made["volume"]["id"]

    async def attached(self) -> tuple[str, str]:
        """Return a server and a volume attached to it."""
        server, volume = await self.ready(), await self.volume()
        body = {"volumeAttachment": {"volumeId": volume}}
        await self.api.post(f"{COMPUTE}/servers/{server}/os-volume_attachments", body)
        await self.idle()
        return server, volume

    async def wipe(self) -> None:
        """Delete everything the project has; what is left after that is a defect."""
        for server in (await self.api.get(f"{COMPUTE}/servers"))["servers"]:
            await self.api.delete(f"{COMPUTE}/servers/{server['id']}")
        await self.idle()
        for backup in (await self.api.get(f"{VOLUME}/backups"))["backups"]:
            await self.api.delete(f"{VOLUME}/backups/{backup['id']}")
        await self.idle()
        for snapshot in (await self.api.get(f"{VOLUME}/snapshots"))["snapshots"]:
            await self.api.delete(f"{VOLUME}/snapshots/{snapshot['id']}")
        await self.idle()
        for volume in (await self.api.get(f"{VOLUME}/volumes"))["volumes"]:
            await self.api.delete(f"{VOLUME}/volumes/{volume['id']}")
        await self.idle()
        for image in (await self.api.get(f"{IMAGE}/images"))["images"]:
            if image["id"] != self.image and image["visibility"] != "public":
                await self.api.delete(f"{IMAGE}/images/{image['id']}")


async def restart_agent(cloud: Runtime, name: str) -> None:
    """Kill a host's agent as ``kill -9`` does, and start another one on what the host holds."""
    assert cloud.local_hosts is not None
    old = cloud.local_hosts.hosts[name]
    await old.die()
    await cloud.local_hosts.lose(name)
    parts: list[Any] = [type(part)(part.driver) for part in old.parts]  # type: ignore[attr-defined, call-arg]
    await cloud.local_hosts.start_host(Host(name, parts))


@asynccontextmanager
async def undisturbed(cloud: Runtime) -> AsyncIterator[Runtime]:
    """Lend the cloud for one case and take the case's mischief away at its end."""
    yield cloud
    cloud.worker.observe = no_observer


async def check(cloud: Runtime, case: Case, audit: Audit = audit) -> None:
    """Compare hosts and rows, then delete everything and compare again: nothing may be left or refuse to go."""
    await audit(cloud)
    cloud.worker.observe = no_observer
    user = await User.of(cloud)
    try:
        await user.wipe()
    except Refused as error:
        raise AssertionError(f"cleaning up was refused: {error.message}") from error
    await audit(cloud)
    left = (await user.api.get(f"{COMPUTE}/servers"))["servers"] + (await user.api.get(f"{VOLUME}/volumes"))["volumes"]
    assert not left, f"left after deleting everything: {left}"
    ports = (await user.api.get(f"{NETWORK}/ports", network_id=user.network))["ports"]
    guests = [port["id"] for port in ports if port["device_owner"].startswith("compute:")]
    assert not guests, f"ports left: {guests}"


def new_name() -> str:
    """Return a name nobody has."""
    return ids.new_hex_id()[:12]
