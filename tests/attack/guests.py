"""From inside guests and their networks on this host: spoofing, metadata, routers, ports of the host, other networks.

Rule: what ``tests/host`` attacks for real is called, not written again; each test does what is allowed beside.
"""

import os
import re
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

from tests.attack.parts import Part

ROOT = Path(__file__).resolve().parents[2]
NETWORK = "tests/host/network"
TESTS: dict[str, tuple[str, ...]] = {
    "spoofing of ARP, MAC, IP, DHCP and router advertisements": (
        f"{NETWORK}/test_security_groups.py::test_a_guest_cannot_pretend_to_be_another",
        f"{NETWORK}/test_ipv6_and_taps.py::test_a_guest_cannot_pretend_to_be_a_router",
        f"{NETWORK}/test_ipv6_and_taps.py::test_a_tap_opens_for_its_owner_alone",
    ),
    "metadata of others, by headers and by addresses": (
        f"{NETWORK}/test_metadata.py",
        "tests/unit/network/test_metadata_proxy.py",
        "tests/api/compute/test_metadata.py",
    ),
    "the host's ports": (
        f"{NETWORK}/test_dhcp_and_routers.py::test_guests_reach_nothing_that_listens_on_the_host",
        f"{NETWORK}/test_security_groups.py::test_the_host_is_not_to_be_reached_through_a_network",
    ),
    "routers and other networks": (
        f"{NETWORK}/test_dhcp_and_routers.py::test_private_guests_are_reached_by_floating_ips_alone",
        f"{NETWORK}/test_security_groups.py::test_overlapping_ranges_do_not_meet",
        f"{NETWORK}/test_tunnels.py::test_other_networks_in_the_tunnel_stay_apart",
        f"{NETWORK}/test_tunnels.py::test_a_host_without_a_tunnel_address_refuses_peers",
        "tests/api/network/test_ownership.py",
    ),
    "out of QEMU and the tools that read images": ("tests/host/test_sandbox.py", "tests/host/test_image_safety.py"),
}
NEEDS = ("qemu-system-x86_64", "dnsmasq", "nft", "ip")


def attack(short: bool, tell: Callable[[str], None]) -> Part:
    """Run them one after the other; say why where they cannot be."""
    part = Part("from inside guests")
    if short:
        part.skipped = "the short attack starts no guests and networks of the host"
        return part
    if os.geteuid() != 0:
        part.skipped = "it needs root: run `sudo python -m tests.attack --part guests`"
        return part
    if lacking := [program for program in NEEDS if shutil.which(program) is None]:
        part.skipped = f"not installed: {', '.join(lacking)}; `pileus doctor` names the packages"
        return part
    words = []
    for what, tests in TESTS.items():
        tell(what)
        command = [sys.executable, "-m", "pytest", "-q", "-rs", *tests]
        done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
        last = done.stdout.strip().splitlines()[-1].strip("= ") if done.stdout.strip() else done.stderr[-200:]
        words.append(f"{what}: {re.sub(r' in [0-9.]+s.*', '', last)}")
        if done.returncode:
            part.found.append(f"{what}: {done.stdout[-1500:]}")
    part.tried = "; ".join(words)
    part.not_tried = (
        "attacks by a program inside a guest that boots (the attackers are network namespaces behind the same ports,"
        " filters and taps; one test has a real guest on a tap); QEMU's devices themselves; two machines; speculative"
        " execution and other leaks of the processor"
    )
    return part
