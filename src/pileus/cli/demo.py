"""``pileus demo``: the main job, from a bare host to a login on a guest, with the unmodified openstack client."""

import argparse
import os
import socket
import subprocess
import time
from pathlib import Path
from typing import Any

from pileus.cli import image, openrc, packages, up
from pileus.cli.client import OpenStackClient
from pileus.cli.invocation import as_root, command
from pileus.cli.settings import reached
from pileus.cli.state import Cloud, State
from pileus.cli.terminal import Problem, Steps, say

SERVER = "demo-1"
IMAGE = image.NAME
USER = "demo"
BOOT_PATIENCE_S = 180


def run(words: argparse.Namespace) -> None:
    """Set up, start, walk the classic path, and say how to go on."""
    if os.geteuid() != 0:
        raise Problem("The demo starts real guests on real networks, which needs root.", "Use `sudo ./pileus demo`.")
    state, steps = State(words.state), Steps()
    say("Pileus demo: every step is done for real, with the openstack client as you would use it.\n")
    with steps.step("installing Debian packages") as step:
        if lacking := packages.missing(packages.host_needs()):
            for need in lacking:
                step.note(f"for {need.why}: {', '.join(need.packages)}")
            packages.install(lacking, step)
    with up.bringing_up(state, words, steps) as cloud:
        image.provide(state, cloud, steps)
    client = OpenStackClient(openrc.exports(cloud, state, "demo"))
    key = make_key(state)
    prepare(client, key, steps)
    address = provision(client, steps)
    login(key, address, steps)
    conclude(state, cloud, client, key, address)


def make_key(state: State) -> Path:
    """Return the demo's private key, made at first use."""
    key = state.path / "demo-key"
    if not key.exists():
        words = ["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", "pileus-demo", "-f", str(key)]
        subprocess.run(words, check=True, capture_output=True)
    return key


def prepare(client: OpenStackClient, key: Path, steps: Steps) -> None:
    """Log in, see that the image is there, bring the key, open the door for ssh and ping."""
    with steps.step("openstack token issue") as step:
        step.note(f"project {client.json('token', 'issue')['project_id']}")
    with steps.step(f"openstack image show {IMAGE}") as step:
        found = client.wait("image", "show", IMAGE, until="active", patience_s=60)
        step.note(f"{int(found['size']) / (1 << 20):.0f} MiB, {found['disk_format']}")
    if not client.exists("keypair", "show", "demo-key"):
        with steps.step("openstack keypair create --public-key"):
            client.run("keypair", "create", "--public-key", f"{key}.pub", "demo-key")
    with steps.step("openstack security group rule create (ssh, ping)"):
        allowed = {
            (rule["IP Protocol"], rule["Port Range"])
            for rule in client.json("security", "group", "rule", "list", "default")
        }
        if ("tcp", "22:22") not in allowed:
            client.run("security", "group", "rule", "create", "--proto", "tcp", "--dst-port", "22", "default")
        if not any(protocol == "icmp" for protocol, _ in allowed):
            client.run("security", "group", "rule", "create", "--proto", "icmp", "default")


def provision(client: OpenStackClient, steps: Steps) -> str:
    """Create the server, its volume and its floating IP; return the floating address."""
    if not client.exists("server", "show", SERVER):
        with steps.step(f"openstack server create {SERVER}") as step:
            create = ["--image", IMAGE, "--flavor", "pileus.mini", "--network", "private", "--key-name", "demo-key"]
            client.run("server", "create", *create, SERVER)
            server = client.wait("server", "show", SERVER, until="ACTIVE", patience_s=BOOT_PATIENCE_S)
            step.note(f"ACTIVE, {addresses(server)}")
    if not client.exists("volume", "show", "demo-data"):
        with steps.step("openstack volume create --size 1, server add volume"):
            client.run("volume", "create", "--size", "1", "demo-data")
            client.wait("volume", "show", "demo-data", until="available", patience_s=60)
            client.run("server", "add", "volume", SERVER, "demo-data")
            client.wait("volume", "show", "demo-data", until="in-use", patience_s=60)
    with steps.step("openstack floating ip create public, server add floating ip") as step:
        address = floating_ip(client)
        step.note(address)
    return address


def addresses(server: dict[str, Any]) -> str:
    """Return a server's addresses as text."""
    found = server["addresses"]
    return ", ".join(f"{net} {' '.join(ips)}" for net, ips in found.items()) if isinstance(found, dict) else str(found)


def floating_ip(client: OpenStackClient) -> str:
    """Return the server's floating address, made and joined to it at first use."""
    port = client.json("port", "list", "--server", SERVER)[0]["ID"]
    for known in client.json("floating", "ip", "list"):
        if known["Port"] == port:
            return known["Floating IP Address"]
    made = client.json("floating", "ip", "create", "public")["floating_ip_address"]
    client.run("server", "add", "floating", "ip", SERVER, made)
    return made


def login(key: Path, address: str, steps: Steps) -> None:
    """Wait for ssh and run a command on the guest."""
    with steps.step(f"ssh {USER}@{address}") as step:
        deadline = time.monotonic() + BOOT_PATIENCE_S
        while not answers(address):
            step.fraction(1 - (deadline - time.monotonic()) / BOOT_PATIENCE_S)
            if time.monotonic() > deadline:
                raise Problem(
                    f"{address} did not answer within {BOOT_PATIENCE_S} s.", f"openstack console log show {SERVER}"
                )
            time.sleep(0.3)
        while (done := ssh(key, address, "uname -n; lsblk -dno NAME,SIZE | tr '\\n' ' '")).returncode != 0:
            if time.monotonic() > deadline:
                raise Problem(f"ssh refused: {done.stderr.strip()}", f"openstack console log show {SERVER}")
            time.sleep(0.3)
        step.note(" | ".join(done.stdout.split("\n")).strip(" |"))


def answers(address: str) -> bool:
    """Tell whether something listens on the guest's ssh port."""
    try:
        with socket.create_connection((address, 22), timeout=1) as connection:
            return connection.recv(4) == b"SSH-"
    except OSError:
        return False


def ssh_words(key: Path, address: str) -> list[str]:
    """Return the ssh command line: the demo's guests are new each time, so their host keys are not kept."""
    options = ("StrictHostKeyChecking=no", "UserKnownHostsFile=/dev/null", "LogLevel=ERROR", "ConnectTimeout=5")
    return ["ssh", "-i", str(key), *(word for option in options for word in ("-o", option)), f"{USER}@{address}"]


def ssh(key: Path, address: str, command: str) -> subprocess.CompletedProcess[str]:
    """Run a command on the guest."""
    return subprocess.run([*ssh_words(key, address), command], capture_output=True, text=True, check=False)


def conclude(state: State, cloud: Cloud, client: OpenStackClient, key: Path, address: str) -> None:
    """Say how to go on."""
    variables = openrc.exports(cloud, state, "demo")
    say(f"\nA server runs, with an address, a key and a volume. The cloud lives in {state.path}.\n")
    user = f"user {variables['OS_USERNAME']}, password {variables['OS_PASSWORD']}"
    say(f"  log in        {as_root()}{' '.join(ssh_words(key, address))}")
    say(f"  dashboard     {reached(state, cloud).url}/dashboard   {user}")
    say(f"  shell         {openrc.line(state, 'demo')}")
    say("                openstack server list")
    say(f"  look          {command('status', state)}")
    say(f"  stop          {command('down', state)}")
    say(f"  remove all    {command('down', state, '--purge')}\n")
    say("clouds.yaml:")
    say(openrc.clouds_yaml(variables))
