"""The classic path with the unmodified ``openstack`` client: from a name and an image to work done on a guest."""

import subprocess

import pytest

from tests.e2e.cloud import RealCloud, wait

BOOT_ID = "cat /proc/sys/kernel/random/boot_id"
"""Another one each time a guest's kernel has started."""


def boot(cloud: RealCloud, name: str, *words: str) -> dict:
    """Create a server, wait until it is ACTIVE and return it."""
    create = ["--flavor", "pileus.mini", "--network", "private", "--key-name", "e2e", *words]
    if "--volume" not in words:
        create += ["--image", "pileus-mini"]
    cloud.openstack("server", "create", *create, name)

    def active() -> dict | None:
        server = cloud.openstack("server", "show", name)
        assert server["status"] != "ERROR", server.get("fault")
        return server if server["status"] == "ACTIVE" else None

    return wait(f"{name} ACTIVE", active, 120)


def float_ip(cloud: RealCloud, server: str) -> str:
    """Give the server a floating IP and return it."""
    address = cloud.openstack("floating", "ip", "create", "public")["floating_ip_address"]
    cloud.openstack("server", "add", "floating", "ip", server, address)
    return address


@pytest.fixture(scope="module")
def pair(cloud: RealCloud):
    """Two guests with floating IPs, ``one`` with user-data."""
    script = cloud.key.with_name("user-data")
    script.write_text("#!/bin/sh\necho made-by-user-data > /tmp/made\n")
    boot(cloud, "one", "--user-data", str(script))
    boot(cloud, "two")
    found = {name: float_ip(cloud, name) for name in ("one", "two")}
    yield found
    for name, address in found.items():
        cloud.openstack("server", "delete", "--wait", name)
        cloud.openstack("floating", "ip", "delete", address)


def fixed_ip(cloud: RealCloud, server: str) -> str:
    return cloud.openstack("server", "show", server)["addresses"]["private"][0]


def test_the_guest_gets_its_address_its_key_and_its_user_data(cloud: RealCloud, pair: dict[str, str]):
    shown = cloud.ssh(pair["one"], "ip -4 -o addr show eth0; hostname")
    assert fixed_ip(cloud, "one") in shown
    assert shown.splitlines()[-1] == "one"
    assert wait("user-data", lambda: cloud.ssh(pair["one"], "cat /tmp/made 2>/dev/null || true")) == "made-by-user-data"
    metadata = cloud.ssh(pair["one"], "curl -s http://169.254.169.254/openstack/latest/meta_data.json")
    server = cloud.openstack("server", "show", "one")
    assert f'"uuid": "{server["id"]}"' in metadata.replace('":"', '": "')


def test_two_guests_reach_each_other(cloud: RealCloud, pair: dict[str, str]):
    assert ", 0% packet loss" in cloud.ssh(pair["one"], f"ping -c 3 -W 5 {fixed_ip(cloud, 'two')}")


def test_a_security_group_allows_and_drops(cloud: RealCloud, pair: dict[str, str]):
    cloud.ssh(pair["two"], "(nc -lk -p 8080 -e echo hello >/dev/null 2>&1 &) ; true")
    ask = f"nc -w 3 {fixed_ip(cloud, 'two')} 8080 </dev/null || true"
    cloud.openstack("security", "group", "create", "web")
    rule = ["--proto", "tcp", "--dst-port", "8080", "--remote-ip", "0.0.0.0/0"]
    wait("the default group lets its own members in", lambda: cloud.ssh(pair["one"], ask) == "hello", 20)
    cloud.openstack("server", "remove", "security", "group", "two", "default")
    cloud.openstack("server", "add", "security", "group", "two", "web")
    wait("dropped", lambda: cloud.ssh(pair["one"], ask) == "", 20)
    cloud.openstack("security", "group", "rule", "create", *rule, "web")
    wait("allowed", lambda: cloud.ssh(pair["one"], ask) == "hello", 20)
    cloud.openstack("server", "add", "security", "group", "two", "default")
    cloud.openstack("server", "remove", "security", "group", "two", "web")
    cloud.openstack("security", "group", "delete", "web")


def test_a_volume_is_written_moved_and_read_back(cloud: RealCloud, pair: dict[str, str]):
    cloud.openstack("volume", "create", "--size", "1", "data")
    wait("volume", lambda: cloud.openstack("volume", "show", "data")["status"] == "available")
    cloud.openstack("server", "add", "volume", "one", "data")
    wait("attached", lambda: cloud.openstack("volume", "show", "data")["status"] == "in-use")
    write = "until [ -b /dev/vdb ]; do sleep 0.2; done; sudo mkfs.ext4 -q /dev/vdb && sudo mount /dev/vdb /mnt"
    cloud.ssh(pair["one"], f"{write} && echo precious | sudo tee /mnt/file >/dev/null && sudo umount /mnt")
    cloud.openstack("server", "remove", "volume", "one", "data")
    wait("detached", lambda: cloud.openstack("volume", "show", "data")["status"] == "available")
    wait("gone from the guest", lambda: cloud.ssh(pair["one"], "ls /dev/vdb 2>/dev/null || true") == "")
    cloud.openstack("volume", "snapshot", "create", "--volume", "data", "data-snap")
    wait("snapshot", lambda: cloud.openstack("volume", "snapshot", "show", "data-snap")["status"] == "available")
    cloud.openstack("server", "add", "volume", "two", "data")
    wait("attached", lambda: cloud.openstack("volume", "show", "data")["status"] == "in-use")
    read = "until [ -b /dev/vdb ]; do sleep 0.2; done; sudo mount /dev/vdb /mnt && cat /mnt/file; sudo umount /mnt"
    assert cloud.ssh(pair["two"], read) == "precious"
    cloud.openstack("server", "remove", "volume", "two", "data")
    wait("detached", lambda: cloud.openstack("volume", "show", "data")["status"] == "available")
    cloud.openstack("volume", "snapshot", "delete", "data-snap")
    wait("snapshot gone", lambda: not cloud.openstack("volume", "snapshot", "list"))
    cloud.openstack("volume", "delete", "data")
    wait("volume gone", lambda: not cloud.openstack("volume", "list"))


def test_a_server_boots_from_a_volume_and_the_volume_outlives_it(cloud: RealCloud):
    cloud.openstack("volume", "create", "--size", "1", "--image", "pileus-mini", "root")
    wait("volume", lambda: cloud.openstack("volume", "show", "root")["status"] == "available")
    for name in ("from-volume", "from-volume-again"):
        boot(cloud, name, "--volume", "root")
        address = float_ip(cloud, name)
        if name == "from-volume":
            cloud.ssh(address, "echo kept | sudo tee /kept >/dev/null; sync")
        else:
            assert cloud.ssh(address, "cat /kept") == "kept"
        cloud.openstack("server", "delete", "--wait", name)
        cloud.openstack("floating", "ip", "delete", address)
    wait("volume free", lambda: cloud.openstack("volume", "show", "root")["status"] == "available")
    cloud.openstack("volume", "delete", "root")


def test_a_snapshot_of_a_server_boots(cloud: RealCloud, pair: dict[str, str]):
    cloud.ssh(pair["one"], "echo snapped | sudo tee /snapped >/dev/null; sync")
    cloud.openstack("server", "image", "create", "--name", "one-snap", "one")
    wait("image", lambda: cloud.openstack("image", "show", "one-snap")["status"] == "active", 120)
    create = ["--flavor", "pileus.mini", "--network", "private", "--key-name", "e2e", "--image", "one-snap"]
    cloud.openstack("server", "create", *create, "from-snap")
    wait("ACTIVE", lambda: cloud.openstack("server", "show", "from-snap")["status"] == "ACTIVE", 120)
    address = float_ip(cloud, "from-snap")
    assert cloud.ssh(address, "cat /snapped") == "snapped"
    cloud.openstack("server", "delete", "--wait", "from-snap")
    cloud.openstack("floating", "ip", "delete", address)
    cloud.openstack("image", "delete", "one-snap")


def test_the_console_shows_what_the_guest_says(cloud: RealCloud, pair: dict[str, str]):
    assert "login:" in wait("a login prompt", lambda: cloud.openstack("console", "log", "show", "one"))
    url = cloud.openstack("console", "url", "show", "one")["url"]
    assert "token" in url


def test_stop_start_and_reboot(cloud: RealCloud, pair: dict[str, str]):
    cloud.openstack("server", "stop", "two")
    wait("SHUTOFF", lambda: cloud.openstack("server", "show", "two")["status"] == "SHUTOFF")
    cloud.openstack("server", "start", "two")
    wait("ACTIVE", lambda: cloud.openstack("server", "show", "two")["status"] == "ACTIVE")
    before = cloud.ssh(pair["two"], BOOT_ID)
    cloud.openstack("server", "reboot", "--hard", "two")
    wait("ACTIVE", lambda: cloud.openstack("server", "show", "two")["status"] == "ACTIVE")
    wait("another boot", lambda: cloud.ssh(pair["two"], BOOT_ID) != before)


def test_guests_outlive_a_restart_of_the_cloud(cloud: RealCloud, pair: dict[str, str]):
    marked = cloud.ssh(pair["one"], BOOT_ID)
    cloud.pileus("down")
    assert subprocess.run(["ping", "-c1", "-W5", pair["one"]], capture_output=True, check=False).returncode == 0
    cloud.up()
    assert cloud.ssh(pair["one"], BOOT_ID) == marked
    assert cloud.openstack("server", "show", "one")["status"] == "ACTIVE"
