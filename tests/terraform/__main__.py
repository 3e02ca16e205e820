"""``python -m tests.terraform``: Terraform, or OpenTofu, with the provider for OpenStack, unmodified, at its defaults.

A realistic stack on a fake cloud is applied at once, planned (nothing is to be changed), changed, planned again, taken
out of the state in part and imported, planned again, destroyed; then nothing of it may be left.  Both programs must be
there; no package of Debian has them: ``--terraform`` and ``--provider`` name them.  The provider is made by
``go install github.com/terraform-provider-openstack/terraform-provider-openstack/v3@latest``.
"""

import argparse
import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from pileus.cli.openrc import exports
from pileus.cli.state import State

STACK = Path(__file__).parent / "stack"
SOURCE = "terraform-provider-openstack/openstack"
CHANGED = {"web_servers": "4", "data_gib": "2", "open_ports": "[80, 8443]", "stage": "production"}
LISTS = {
    "compute": ("servers", "keypairs", "flavors", "server_groups"),
    "network": ("networks", "subnets", "ports", "routers", "security_groups", "security_group_rules", "ips"),
    "block_storage": ("volumes", "snapshots", "types"),
    "image": ("images",),
    "identity": ("projects", "users", "groups", "roles"),
    "object_store": ("containers",),
}
"""What may not have grown at the end, by the SDK's names."""


class Stack:
    """The stack in a folder of its own, and the program that works on it."""

    def __init__(self, terraform: str, provider: Path, folder: Path, cloud: dict[str, str]) -> None:
        self.terraform, self.folder = terraform, folder
        shutil.copytree(STACK, folder / "stack")
        (folder / "image").write_bytes(bytes(1 << 20))
        keygen = ["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", str(folder / "key")]
        subprocess.run(keygen, check=True)
        plugins = folder / "plugins"
        plugins.mkdir()
        (plugins / "terraform-provider-openstack").symlink_to(provider.absolute())
        overrides = f'dev_overrides {{ "{SOURCE}" = "{plugins}" }}\n direct {{}}'
        (folder / "rc").write_text(f"provider_installation {{\n {overrides}\n}}\n")
        self.environment = {name: value for name, value in os.environ.items() if not name.startswith("OS_")}
        self.environment |= {**cloud, "TF_CLI_CONFIG_FILE": str(folder / "rc"), "TF_IN_AUTOMATION": "1"}
        self.environment |= {"TF_VAR_public_key": f"{folder}/key.pub", "TF_VAR_image_file": f"{folder}/image"}

    def run(self, *words: str, variables: dict[str, str] | None = None, codes: tuple[int, ...] = (0,)) -> str:
        """Run the program; return what it printed; fail, showing it, when its code is none of ``codes``."""
        given = self.environment | {f"TF_VAR_{name}": value for name, value in (variables or {}).items()}
        command = [
            self.terraform,
            words[0],
            *(["-no-color"] if words[0] not in ("output", "state") else []),
            *words[1:],
        ]
        done = subprocess.run(
            command, cwd=self.folder / "stack", env=given, stdin=subprocess.DEVNULL, capture_output=True, text=True
        )
        if done.returncode not in codes:
            raise SystemExit(f"{' '.join(command)} ended with {done.returncode}:\n{done.stdout[-6000:]}\n{done.stderr}")
        return done.stdout

    def plan_is_empty(self, variables: dict[str, str] | None = None) -> None:
        """Fail, showing it, when there is anything left to do."""
        said = self.run("plan", "-input=false", "-detailed-exitcode", variables=variables, codes=(0, 2))
        if "No changes" not in said:
            raise SystemExit(f"the plan is not empty:\n{said[-6000:]}")


def counts(cloud: dict[str, str]) -> dict[str, int]:
    """Return how many things of each kind there are, as the administrator sees them."""
    import openstack

    auth: dict[str, Any] = {
        name: cloud[f"OS_{name.upper()}"] for name in ("auth_url", "username", "password", "project_name")
    }
    session: Any = openstack.connect(**auth, user_domain_id="default", project_domain_id="default")
    everywhere = {"servers": {"all_projects": True}, "volumes": {"all_projects": True}}
    found = {}
    for service, kinds in LISTS.items():
        for kind in kinds:
            found[f"{service} {kind}"] = len(list(getattr(getattr(session, service), kind)(**everywhere.get(kind, {}))))
    return found


def walk(stack: Stack, cloud: dict[str, str]) -> None:
    """Go through the stack's life, and say how long each step took."""

    def step(what: str, *words: str, variables: dict[str, str] | None = None) -> str:
        began = time.monotonic()
        said = stack.run(*words, variables=variables)
        last = next((line for line in reversed(said.splitlines()) if "complete!" in line), "")
        print(f"  ok  {what} ({time.monotonic() - began:.0f} s)  {last}", flush=True)
        return said

    before = counts(cloud)
    step("apply", "apply", "-input=false", "-auto-approve")
    stack.plan_is_empty()
    print("  ok  the plan is empty", flush=True)
    step("change", "apply", "-input=false", "-auto-approve", variables=CHANGED)
    stack.plan_is_empty(CHANGED)
    print("  ok  the plan is empty", flush=True)
    imports = json.loads(stack.run("output", "-json", "imports"))
    for address, id in imports.items():  # one by one: outputs name them all, at each import
        stack.run("state", "rm", address)
        stack.run("import", "-input=false", address, id, variables=CHANGED)
    said = stack.run("plan", "-input=false", "-detailed-exitcode", codes=(0, 2), variables=CHANGED)
    replaced = [line for line in said.splitlines() if "must be replaced" in line or "will be created" in line]
    if replaced:
        raise SystemExit(f"what was imported is not what was made: {replaced}\n{said[-6000:]}")
    step(
        f"{len(imports)} resources imported, what only their configuration says taken up",
        "apply",
        "-input=false",
        "-auto-approve",
        variables=CHANGED,
    )
    stack.plan_is_empty(CHANGED)
    print("  ok  the plan is empty", flush=True)
    step("destroy", "destroy", "-input=false", "-auto-approve", variables=CHANGED)
    left = {kind: number - before[kind] for kind, number in counts(cloud).items() if number != before[kind]}
    if left:
        raise SystemExit(f"left after destroy: {left}")
    print("  ok  nothing is left", flush=True)


def main() -> int:
    """Start a fake cloud, walk, stop it."""
    parser = argparse.ArgumentParser(prog="python -m tests.terraform", description=__doc__)
    parser.add_argument("--terraform", default="terraform", help="the program; tofu will do (default terraform)")
    provider = Path.home() / "go/bin/terraform-provider-openstack"
    parser.add_argument("--provider", type=Path, default=provider, help=f"the provider's program (default {provider})")
    parser.add_argument("--keep", action="store_true", help="leave cloud and stack as they are at a failure")
    words = parser.parse_args()
    if shutil.which(words.terraform) is None or not words.provider.exists():
        parser.error("terraform (or tofu) and its provider are needed; see the head of this file")
    folder = Path(tempfile.mkdtemp(prefix="pileus-terraform-"))
    state = State(folder / "cloud")
    pileus = [sys.executable, "-m", "pileus.cli.main"]
    own = ["--state", str(state.path)]
    up = [*pileus, "up", "--fake", "--fake-hosts", "3", "--port", str(_free_port()), *own]
    subprocess.run(up, check=True, stdout=subprocess.DEVNULL)
    try:
        cloud = exports(state.load(), state, "admin")
        walk(Stack(words.terraform, words.provider, folder, cloud), cloud)
    except SystemExit as failure:
        print(failure)
        print(f"The cloud's log: {state.log('server')}" if words.keep else "--keep would have left the cloud running")
        return 1
    finally:
        if not words.keep:
            subprocess.run([*pileus, "down", "--purge", *own], check=True, stdout=subprocess.DEVNULL)
            shutil.rmtree(folder)
    return 0


def _free_port() -> int:
    import socket

    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


if __name__ == "__main__":
    sys.exit(main())
