"""A real guest from power-on, or from `POST /servers`, to a login over ssh. Needs root and the host's packages.

The bare figure is the same QEMU with the same devices and the same image, started by hand, its network served by QEMU
itself: what no cloud can go below. Key and host name come from a config drive there, from the metadata service here.
"""

import asyncio
import os
import shutil
import statistics
import subprocess
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from uuid import uuid4

from bench.cloud import FakeCloud
from bench.http import Connection
from bench.requests import Progress
from pileus.services.compute.commands import Disk, FromImage, GuestSpec, LocalFile, Nic
from pileus.services.compute.drivers.config_drive import openstack_files, write_iso
from pileus.services.compute.drivers.qemu.arguments import DiskFile, Sockets, command_line
from pileus.services.compute.drivers.qemu.host import accelerator
from pileus.services.compute.drivers.qemu.slots import first_slots
from pileus.services.image.mini import build_mini

ROUNDS, PATIENCE_S = 5, 120.0


@dataclass(frozen=True)
class Guests:
    """Seconds: medians of rounds that alternate between the two ways."""

    build_s: float
    alone_s: float
    cloud_s: float
    active_s: float


class RealCloud(FakeCloud):
    """A cloud with guests, beside others on this machine."""

    def up(self) -> float:
        started = time.monotonic()
        self._pileus("up", "--port", str(self.port))
        return time.monotonic() - started


class Login:
    """A key of its own, and how long a guest takes to let it in."""

    def __init__(self, folder: Path) -> None:
        self.key = folder / "key"
        subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", str(self.key)], check=True)
        self.public = self.key.with_suffix(".pub").read_text().strip()

    async def wait(self, address: str, port: int = 22) -> None:
        """Return once a command has run on the guest; raise TimeoutError."""
        options = ("StrictHostKeyChecking=no", "UserKnownHostsFile=/dev/null", "LogLevel=ERROR", "ConnectTimeout=5")
        words = ["ssh", "-i", str(self.key), "-p", str(port), "-oBatchMode=yes", *(f"-o{option}" for option in options)]
        async with asyncio.timeout(PATIENCE_S):
            while True:
                if await _listens(address, port):
                    process = await asyncio.create_subprocess_exec(
                        *words, f"demo@{address}", "true", stderr=asyncio.subprocess.DEVNULL
                    )
                    if await process.wait() == 0:
                        return
                await asyncio.sleep(0.05)


async def _listens(address: str, port: int) -> bool:
    try:
        async with asyncio.timeout(0.5):
            reader, writer = await asyncio.open_connection(address, port)
            greeting = await reader.read(4)
            writer.close()
            return greeting == b"SSH-"
    except (OSError, TimeoutError):
        return False


async def alone(image: str, folder: Path, login: Login) -> float:
    """Return the seconds that QEMU takes by itself from its start to the login."""
    files = openstack_files({"uuid": str(uuid4()), "hostname": "alone", "public_keys": {"key": login.public}}, {})
    (folder / "config.iso").write_bytes(write_iso(files))
    overlay = ["qemu-img", "create", "-q", "-f", "qcow2", "-b", image, "-F", "raw", str(folder / "alone.qcow2"), "1G"]
    await asyncio.to_thread(subprocess.run, overlay, check=True)
    spec = GuestSpec(
        id=str(uuid4()),
        name="alone",
        vcpus=1,
        memory_mib=128,
        disks=(
            Disk(id="root", source=FromImage(image_id="i", path=image, format="raw", size_gib=1), boot_index=0),
            Disk(id="drive", source=LocalFile(path="config.iso", format="raw", read_only=True)),
        ),
        nics=(Nic(port_id="p", mac="fa:16:3e:00:00:01", tap=""),),
    )
    disks = {"root": DiskFile("alone.qcow2", "qcow2"), "drive": DiskFile("config.iso", read_only=True)}
    line = command_line(spec, disks, Sockets(0, 0, "vnc"), {"p": 0}, first_slots(spec), accelerator=accelerator())
    port = 20000 + os.getpid() % 20000
    started = time.monotonic()
    process = subprocess.Popen(_by_hand(line, port), cwd=folder)  # noqa: ASYNC220
    try:
        await login.wait("127.0.0.1", port)
        return time.monotonic() - started
    finally:
        process.kill()
        process.wait()


def _by_hand(line: list[str], port: int) -> list[str]:
    """Replace what a driver hands over: no monitors, running at once, a network of QEMU's own."""
    words: list[str] = []
    for option, value in _pairs(line):
        if option == "-S" or "monitor" in (value or "") or "storage" in (value or ""):
            continue
        if option == "-netdev":
            value = f"user,id={(value or '').split('id=')[1].split(',')[0]},hostfwd=tcp:127.0.0.1:{port}-:22"
        words += [option] if value is None else [option, value]
    return words


def _pairs(line: list[str]) -> list[tuple[str, str | None]]:
    """Split a command line into options and their values."""
    found: list[tuple[str, str | None]] = []
    for word in line:
        if word.startswith("-") or not found:
            found.append((word, None))
        else:
            found[-1] = (found[-1][0], word)
    return found


class Provisioning:
    """The way through the APIs: everything but the server is made before the clock starts."""

    def __init__(self, connection: Connection, login: Login) -> None:
        self._api = connection
        self._login = login
        self._ids: dict[str, str] = {}

    async def _post(self, path: str, wrap: str, /, **fields: Any) -> dict[str, Any]:
        return (await self._api.request("POST", path, {wrap: fields})).expect(200, 201, 202).json()[wrap]

    async def _find(self, path: str, plural: str, name: str) -> str:
        answer = (await self._api.request("GET", f"{path}?name={name}")).expect(200).json()
        return next(item["id"] for item in answer[plural] if item["name"] == name)

    async def prepare(self) -> None:
        """Find what the cloud has and let ssh in."""
        self._ids = {
            "image": await self._find("/image/v2/images", "images", "pileus-mini"),
            "flavor": await self._find("/compute/v2.1/flavors", "flavors", "pileus.mini"),
            "private": await self._find("/networking/v2.0/networks", "networks", "private"),
            "public": await self._find("/networking/v2.0/networks", "networks", "public"),
        }
        await self._post("/compute/v2.1/os-keypairs", "keypair", name="bench", public_key=self._login.public)
        group = await self._find("/networking/v2.0/security-groups", "security_groups", "default")
        rule = {"direction": "ingress", "protocol": "tcp", "port_range_min": 22, "port_range_max": 22}
        await self._post(
            "/networking/v2.0/security-group-rules", "security_group_rule", security_group_id=group, **rule
        )

    async def boot(self) -> tuple[float, float]:
        """Boot a server with a floating IP; return the seconds to ACTIVE and to the login, then delete it."""
        port = await self._post("/networking/v2.0/ports", "port", network_id=self._ids["private"])
        floating = await self._post(
            "/networking/v2.0/floatingips",
            "floatingip",
            floating_network_id=self._ids["public"],
            port_id=port["id"],
        )
        body = {"name": "bench", "imageRef": self._ids["image"], "flavorRef": self._ids["flavor"], "key_name": "bench"}
        started = time.monotonic()
        server = await self._post("/compute/v2.1/servers", "server", **body, networks=[{"port": port["id"]}])
        path = f"/compute/v2.1/servers/{server['id']}"
        active = asyncio.create_task(self._active(path, started))
        await self._login.wait(floating["floating_ip_address"])
        seconds = await active, time.monotonic() - started
        await self._api.request("DELETE", path)
        while (await self._api.request("GET", path)).status != 404:  # noqa: ASYNC110
            await asyncio.sleep(0.1)
        for thing in (f"floatingips/{floating['id']}", f"ports/{port['id']}"):
            await self._api.request("DELETE", f"/networking/v2.0/{thing}")
        return seconds

    async def _active(self, path: str, started: float) -> float:
        while True:
            server = (await self._api.request("GET", path)).expect(200).json()["server"]
            if server["status"] == "ACTIVE":
                return time.monotonic() - started
            if server["status"] == "ERROR":
                raise RuntimeError(server["fault"]["message"])
            await asyncio.sleep(0.05)


async def run(say: Progress) -> Guests:
    """Measure both ways in turn, so that a noisy neighbour disturbs both alike."""
    folder = Path(tempfile.mkdtemp(prefix="pileus-bench-guests-"))
    try:
        say("building pileus-mini")
        build_mini(folder / "images")  # fetches the packages
        for built in (folder / "images").glob("pileus-mini-*"):
            built.unlink()
        started = time.monotonic()
        mini = build_mini(folder / "images")
        build_s = time.monotonic() - started
        raw = str(folder / "mini.raw")
        await asyncio.to_thread(subprocess.run, ["qemu-img", "convert", "-O", "raw", mini.path, raw], check=True)
        login = Login(folder)
        say("starting a cloud")
        with RealCloud() as cloud:
            token = await cloud.login("demo")
            way = Provisioning(Connection(cloud.url, {"X-Auth-Token": token}), login)
            await way.prepare()
            await way.boot()  # the first copies the image to the host
            bare, whole, active = [], [], []
            for number in range(ROUNDS):
                say(f"round {number + 1} of {ROUNDS}")
                bare.append(await alone(raw, folder, login))
                (folder / "alone.qcow2").unlink()
                to_active, to_login = await way.boot()
                active.append(to_active)
                whole.append(to_login)
        median = statistics.median
        return Guests(build_s, median(bare), median(whole), median(active))
    finally:
        shutil.rmtree(folder, ignore_errors=True)
