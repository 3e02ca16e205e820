"""A real cloud of the tests' own, driven by unmodified clients: the ``openstack`` command, openstacksdk, ssh."""

import json
import os
import socket
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import openstack
from openstack.connection import Connection

from pileus.cli.openrc import exports
from pileus.cli.state import State

TOOLS = Path(sys.executable).parent


class RealCloud:
    """A cloud in a directory; ``pileus`` and ``openstack`` run as commands, as a user would run them."""

    def __init__(self, folder: Path) -> None:
        self.state = State(folder / "state")
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            self.port = probe.getsockname()[1]
        self.key = folder / "key"
        if not self.key.exists():
            words = ["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", str(self.key)]
            subprocess.run(words, check=True)

    def pileus(self, *words: str) -> str:
        """Run the ``pileus`` command and return what it prints."""
        command = [TOOLS / "pileus", words[0], "--state", str(self.state.path), *words[1:]]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        assert done.returncode == 0, f"pileus {' '.join(words)}: {done.stdout}{done.stderr}"
        return done.stdout

    def up(self) -> None:
        self.pileus("up", "--port", str(self.port))

    def exports(self, project: str) -> dict[str, str]:
        return exports(self.state.load(), self.state, project)

    def openstack(self, *words: str, project: str = "demo", fails: bool = False) -> Any:
        """Run the client; return its JSON answer, or with ``fails`` what it complained about."""
        inherited = {name: value for name, value in os.environ.items() if not name.startswith("OS_")}
        environment = {**inherited, **self.exports(project)}
        shows = {"list", "show", "create", "issue"} & set(words) and not {"delete", "log"} & set(words)
        formatted = ["-f", "json"] if shows and not fails else []
        command = [TOOLS / "openstack", *words, *formatted]
        done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
        if fails:
            assert done.returncode != 0, f"openstack {' '.join(words)} should have failed: {done.stdout}"
            return done.stderr
        assert done.returncode == 0, f"openstack {' '.join(words)}: {done.stderr}"
        return json.loads(done.stdout) if formatted and done.stdout.strip() else done.stdout

    def sdk(self, project: str = "demo") -> Connection:
        """Return openstacksdk's connection."""
        told = self.exports(project)
        return openstack.connect(
            auth_url=told["OS_AUTH_URL"],
            username=told["OS_USERNAME"],
            password=told["OS_PASSWORD"],
            project_name=project,
            user_domain_id="default",
            project_domain_id="default",
            region_name="RegionOne",
        )

    def ssh(self, address: str, command: str, *, patience_s: float = 120) -> str:
        """Run a command on a guest, waiting for it to come up; return what it prints."""
        deadline = time.monotonic() + patience_s
        options = ["StrictHostKeyChecking=no", "UserKnownHostsFile=/dev/null", "LogLevel=ERROR", "ConnectTimeout=5"]
        words = ["ssh", "-i", str(self.key), *(word for option in options for word in ("-o", option))]
        while True:
            done = subprocess.run([*words, f"demo@{address}", command], capture_output=True, text=True, check=False)
            if done.returncode != 255:
                assert done.returncode == 0, f"{command}: {done.stdout}{done.stderr}"
                return done.stdout.strip()
            assert time.monotonic() < deadline, f"no ssh to {address} within {patience_s} s: {done.stderr}"
            time.sleep(0.5)


def wait(what: str, check: Callable[[], Any], patience_s: float = 60) -> Any:
    """Return the first true answer of ``check``; fail, saying ``what`` was waited for."""
    deadline = time.monotonic() + patience_s
    while not (answer := check()):
        assert time.monotonic() < deadline, f"{what} did not happen within {patience_s} s"
        time.sleep(0.25)
    return answer


def host_picture(cloud_id: str) -> dict[str, list[str]]:
    """Return everything on this host that carries the cloud's id: namespaces, links, tables, processes."""

    def lines(*words: str) -> list[str]:
        done = subprocess.run(words, capture_output=True, text=True, check=False)
        return sorted(line.strip() for line in done.stdout.splitlines() if cloud_id in line)

    processes = []
    for entry in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            words = entry.read_bytes().replace(b"\0", b" ").decode(errors="replace")
        except OSError:
            continue
        if cloud_id in words:
            processes.append(words)
    return {
        "namespaces": lines("ip", "netns", "list"),
        "links": lines("ip", "-o", "link"),
        "tables": lines("nft", "list", "tables"),
        "processes": processes,
    }
