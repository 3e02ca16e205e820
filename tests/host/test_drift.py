"""Drift made by hand on a real cloud: what is of nobody is put aside or left alone, what is lost is told or mended."""

import json
import os
import shutil
import signal
import time
from collections.abc import Iterator
from pathlib import Path
from uuid import uuid4

import pytest

from pileus.services.network.drivers.linux import names
from pileus.services.network.drivers.linux.names import Names
from tests.e2e.cloud import RealCloud, wait
from tests.host.network.guests import run
from tests.real.api import COMPUTE, IMAGE, NETWORK, VOLUME, Api
from tests.real.audit import Rows, processes_of, settled
from tests.real.processes import kill, login, real_cloud, start_again
from tests.section import write_into
from tests.soak.watch import read

pytestmark = [
    pytest.mark.host,
    pytest.mark.timeout(300),
    pytest.mark.skipif(not shutil.which("qemu-system-x86_64"), reason="the Debian package qemu-system-x86 is missing"),
    pytest.mark.skipif(os.geteuid() != 0, reason="real guests and networks need root"),
]


@pytest.fixture(scope="module")
def cloud() -> Iterator[RealCloud]:
    with real_cloud("pileus-drift-") as cloud:
        yield cloud


@pytest.fixture(scope="module")
def api(cloud: RealCloud) -> Iterator[Api]:
    api = login(cloud)
    yield api
    api.close()


@pytest.fixture(scope="module")
def server(cloud: RealCloud, api: Api) -> str:
    image = api.get(f"{IMAGE}/images?name=pileus-mini")["images"][0]["id"]
    flavors = api.get(f"{COMPUTE}/flavors")["flavors"]
    flavor = next(flavor["id"] for flavor in flavors if flavor["name"] == "pileus.mini")
    network = api.get(f"{NETWORK}/networks?name=private")["networks"][0]["id"]
    body = {"name": "d", "imageRef": image, "flavorRef": flavor, "networks": [{"uuid": network}]}
    made = api.post(f"{COMPUTE}/servers", {"server": body})["server"]["id"]
    settled(cloud.state.path)
    return made


def test_a_dhcp_server_that_was_killed_is_back_at_once(cloud: RealCloud, server: str) -> None:
    ((pid, _),) = [found for found in processes_of(cloud.state.path) if found[1][0] == "dnsmasq"]
    os.kill(pid, signal.SIGKILL)

    def another() -> bool:
        return [words[0] for other, words in processes_of(cloud.state.path) if other != pid].count("dnsmasq") == 1

    wait("another DHCP server", another, 20)
    settled(cloud.state.path)


BATCHES: list[dict[str, tuple[str, str, str]]] = [
    {
        "a router's namespace": ("ip netns delete {router}", "ip netns exec {router} ip -o address", "{inside}"),
        "what closes the host to guests": (
            "nft flush chain inet {table} through_leg", "nft list chain inet {table} through_leg", "drop"
        ),
        "a DHCP server's leg": ("ip link del {dhcp_leg}", "ip -o link show {dhcp_leg}", "master"),
    },
    {
        "a router's rules": (
            "ip netns exec {router} nft flush ruleset", "ip netns exec {router} nft list ruleset", "snat"
        ),
        "a DHCP server's namespace": ("ip netns delete {dhcp}", "ip netns pids {dhcp}", ""),
        "the host's address in an external network": (
            "ip address del {gateway}/{length} dev {host_leg}", "ip -o address show {host_leg}", "{gateway}"
        ),
    },
    {
        "a router's leg": ("ip link del {leg}", "ip netns exec {router} ip -o address", "{inside}"),
        "a DHCP server's files": ("rm {files}/conf {files}/hosts", "cat {files}/conf {files}/hosts", "dhcp-range"),
        "what hides guests behind the host": (
            "nft flush chain inet {table} masquerade_{outer}", "nft list chain inet {table} masquerade_{outer}",
            "oifname",
        ),
    },
    {
        "a router's way out": (
            "ip netns exec {router} ip route del default", "ip netns exec {router} ip route", "default"
        ),
        "the table of packets": ("nft delete table inet {table}", "nft list chain inet {table} in_{tap}", "jump"),
    },
    {"the table of frames": ("nft delete table bridge {table}", "nft list chain bridge {table} guard_{tap}", "drop")},
    {"a network's bridge": ("ip link del {bridge}", "ip -o link show {tap}", "master {bridge}")},
    {"a tap": ("ip link del {tap}", "ip -o link show {tap}", "master {bridge}")},
]  # fmt: skip
"""What is taken away, together with others that do not depend on it: how, and by which command and word it is back."""
MARKS = "drift by hand: begin", "drift by hand: end"
DOCUMENT = Path(__file__).parents[2] / "docs" / "reliability.md"


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_what_is_taken_away_by_hand_is_back_in_seconds(cloud: RealCloud, api: Api, server: str) -> None:
    """Take away one thing of every kind that the agent makes, and write down when each is back."""
    words = _words(cloud, api, server)
    lines = []
    for batch in BATCHES:
        settled(cloud.state.path)
        since: dict[str, float] = {}
        for what, (take, _, _) in batch.items():
            run(*take.format(**words).split())
            since[what] = time.monotonic()
        while since:
            for what in list(since):
                _, look, word = (text.format(**words) for text in batch[what])
                found = run(*look.split(), check=False)
                if found.strip() and word in found:
                    lines.append(f"| {what} | {time.monotonic() - since.pop(what):.1f} |")
                elif time.monotonic() - since[what] > 90:
                    raise AssertionError(f"{what} is not back after 90 s")
            time.sleep(0.1)
    port = api.get(f"{NETWORK}/ports?device_id={server}")["ports"][0]["id"]
    down = lambda: api.get(f"{NETWORK}/ports/{port}")["port"]["status"] == "DOWN"  # noqa: E731
    wait("the port of the lost tap to be said to be down", down, 90)
    api.post(f"{COMPUTE}/servers/{server}/action", {"reboot": {"type": "HARD"}})
    wait("the port to work again", lambda: not down(), 120)
    settled(cloud.state.path)
    text = (
        "## What is taken away by hand\n`pytest -m slow tests/host/test_drift.py` on a real cloud with a guest, on two"
    )
    text += " busy cores; a host is looked at every 30 s.\n\n"
    text += "| taken away | back after (s) |\n| --- | --- |\n" + "\n".join(lines) + "\n"
    write_into(DOCUMENT, *MARKS, text)


def _words(cloud: RealCloud, api: Api, server: str) -> dict[str, object]:
    """Return the names on the host of the guest's network, its router and the external network."""
    of = Names(cloud.state.load().cloud_id)
    (port,) = api.get(f"{NETWORK}/ports?device_id={server}")["ports"]
    network = port["network_id"]
    (leg,) = api.get(f"{NETWORK}/ports?network_id={network}&device_owner=network:router_interface")["ports"]
    (dhcp,) = api.get(f"{NETWORK}/ports?network_id={network}&device_owner=network:dhcp")["ports"]
    outer = api.get(f"{NETWORK}/networks?name=public")["networks"][0]["id"]
    ((gateway, cidr),) = read(
        cloud.state.path,
        f"select gateway_ip, cidr from network_subnets where network_id = '{outer}' and ip_version = 4",
    )
    return {
        "table": of.table,
        "router": of.router_namespace(leg["device_id"]),
        "inside": leg["fixed_ips"][0]["ip_address"],
        "leg": of.interface(names.PLUG, leg["id"]),
        "dhcp": of.dhcp_namespace(network),
        "dhcp_leg": of.interface(names.PLUG, dhcp["id"]),
        "files": cloud.state.path / "network" / "dhcp" / network,
        "bridge": of.interface(names.BRIDGE, network),
        "outer": of.interface(names.BRIDGE, outer),
        "host_leg": of.interface(names.HOST_LEG, outer),
        "gateway": gateway,
        "length": cidr.partition("/")[2],
        "tap": of.interface(names.TAP, port["id"]),
    }


def test_a_guest_and_a_file_of_nobody_are_kept_and_told_and_a_lost_file_is_told(
    cloud: RealCloud, api: Api, server: str
) -> None:
    state = cloud.state.path
    volume = api.post(f"{VOLUME}/volumes", {"volume": {"size": 1}})["volume"]["id"]
    settled(state)
    files = state / "block_storage" / "volumes"
    stray_volume, stray_guest = str(uuid4()), str(uuid4())
    shutil.copy(files / f"{volume}.qcow2", files / f"{stray_volume}.qcow2")
    (files / f"{volume}.qcow2").unlink()
    guests = state / "compute" / "guests"
    record = json.loads((guests / server / "guest.json").read_text())
    record["spec"] |= {"id": stray_guest, "nics": [], "disks": []}
    (guests / stray_guest).mkdir(mode=0o700)
    (guests / stray_guest / "guest.json").write_text(json.dumps(record | {"wanted": "off", "made": {}}))

    kill(cloud.state, "agent")
    start_again(cloud.state)
    told = wait("a stray guest", lambda: read(state, "select guest_id from compute_strays"), 60)
    assert told == [(stray_guest,)]
    assert (guests / stray_guest / "guest.json").exists(), "a guest that nobody knows may be somebody's"
    aside = state / "block_storage" / "quarantine"
    wait("quarantine", lambda: [path.name for path in aside.iterdir() if stray_volume in path.name], 60)
    assert not (files / f"{stray_volume}.qcow2").exists()
    wait("the loss", lambda: api.get(f"{VOLUME}/volumes/{volume}")["volume"]["status"] == "error", 60)
    (message,) = api.get(f"{VOLUME}/messages")["messages"]
    assert message["resource_uuid"] == volume
    assert api.get(f"{COMPUTE}/servers/{server}")["server"]["status"] == "ACTIVE"

    for path in (*aside.iterdir(), guests / stray_guest):  # what an operator does after having looked
        shutil.rmtree(path) if path.is_dir() else path.unlink()
    kill(cloud.state, "agent")
    start_again(cloud.state)
    api.delete(f"{VOLUME}/volumes/{volume}")
    api.delete(f"{COMPUTE}/servers/{server}")
    wait("the volume deleted", lambda: volume not in Rows.read(state).volumes, 60)
    settled(state)
    wait("no stray", lambda: not read(state, "select guest_id from compute_strays"), 60)
