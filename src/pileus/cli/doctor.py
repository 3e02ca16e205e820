"""``pileus doctor``: check this host and say how to mend what is missing."""

import argparse
import json
import os
import re
import shutil
import subprocess
from dataclasses import asdict, dataclass
from pathlib import Path

from pileus.cli.packages import host_needs, missing
from pileus.cli.state import State, port_is_free
from pileus.cli.terminal import say, table

GIB = 1 << 30
CERTIFICATE_DAYS = 14
"""So long before its end a certificate is to be renewed; the cloud does it for its own, earlier."""


@dataclass(frozen=True)
class Finding:
    """One thing looked at: ``state`` is ok, note or bad."""

    what: str
    state: str
    detail: str
    remedy: str = ""


def run(words: argparse.Namespace) -> int:
    """Print all findings, then the remedies; exit code 1 when something is to be mended."""
    findings = [
        privileges(),
        packages(),
        acceleration(),
        tun(),
        namespaces(),
        bridge_filter(),
        memory(),
        disk(words.state),
        port(words.state),
        *certificate(words.state),
    ]
    remedies = [finding for finding in findings if finding.remedy]
    if words.json:
        say(json.dumps([asdict(finding) for finding in findings], indent=2))
    else:
        table([(finding.state, finding.what, finding.detail) for finding in findings], ("", "CHECK", "FOUND"))
        if remedies:
            say("\nTo mend:")
        for finding in remedies:
            say(f"  {finding.what}: {finding.remedy}")
    return 1 if remedies or any(finding.state == "bad" for finding in findings) else 0


def missing_packages() -> list[str]:
    """Return the names of Debian packages that a real cloud lacks here."""
    return sorted({name for need in missing(host_needs()) for name in need.packages})


def privileges() -> Finding:
    if os.geteuid() == 0:
        return Finding("privileges", "ok", "root")
    return Finding("privileges", "note", "not root", "a real cloud needs `sudo pileus up`; `pileus up --fake` does not")


def packages() -> Finding:
    names = missing_packages()
    if not names:
        return Finding("packages", "ok", "all there")
    return Finding("packages", "bad", f"missing: {', '.join(names)}", f"apt-get install {' '.join(names)}")


def acceleration() -> Finding:
    flags = Path("/proc/cpuinfo").read_text()
    if not re.search(r"\b(svm|vmx)\b", flags):
        return Finding("acceleration", "note", "the CPU shows neither svm nor vmx: guests are emulated (TCG), slower")
    if not os.access("/dev/kvm", os.R_OK | os.W_OK):
        return Finding(
            "acceleration", "note", "/dev/kvm cannot be opened", "modprobe kvm_intel or kvm_amd, run as root"
        )
    return Finding("acceleration", "ok", "KVM")


def tun() -> Finding:
    if Path("/dev/net/tun").exists():
        return Finding("taps", "ok", "/dev/net/tun")
    return Finding("taps", "bad", "/dev/net/tun is missing", "modprobe tun")


def namespaces() -> Finding:
    if Path("/proc/self/ns/net").exists() and shutil.which("ip"):
        return Finding("network namespaces", "ok", "there")
    return Finding(
        "network namespaces", "bad", "not there", "apt-get install iproute2, and a kernel with CONFIG_NET_NS"
    )


def bridge_filter() -> Finding:
    if Path("/proc/sys/net/bridge/bridge-nf-call-iptables").exists():
        return Finding("bridge filter", "ok", "br_netfilter")
    loaded = subprocess.run(["modprobe", "-n", "br_netfilter"], capture_output=True, check=False).returncode == 0
    if loaded:
        return Finding("bridge filter", "note", "br_netfilter is not loaded yet; the agent loads it")
    return Finding("bridge filter", "bad", "no br_netfilter", "security groups need a kernel with br_netfilter")


def memory() -> Finding:
    kib = int(re.search(r"MemAvailable:\s+(\d+)", Path("/proc/meminfo").read_text())[1])  # type: ignore[index]
    free = kib * 1024 / GIB
    if free < 1:
        return Finding(
            "memory", "bad", f"{free:.1f} GiB available", "free some: the cloud needs 250 MiB, a guest 128 MiB or more"
        )
    return Finding("memory", "ok", f"{free:.1f} GiB available")


def disk(path: Path) -> Finding:
    there = next(parent for parent in (path, *path.parents) if parent.exists())
    free = shutil.disk_usage(there).free / GIB
    if free < 2:
        return Finding(
            "disk", "bad", f"{free:.1f} GiB free in {there}", "free some, or choose another directory with --state"
        )
    return Finding("disk", "ok", f"{free:.1f} GiB free in {there}")


def port(path: Path) -> Finding:
    state = State(path)
    if not state.exists():
        return Finding("port", "ok" if port_is_free("127.0.0.1", 8774) else "note", "8774", "")
    cloud = state.load()
    if state.pid("server"):
        return Finding("port", "ok", f"{cloud.port}, used by this cloud")
    if port_is_free(cloud.host, cloud.port):
        return Finding("port", "ok", f"{cloud.port} is free")
    return Finding("port", "bad", f"{cloud.port} is taken by another program", "choose another: pileus up --port N")


def certificate(path: Path) -> list[Finding]:
    """Look at the certificate of a cloud that serves by TLS: what it is worth, how long it lasts."""
    state = State(path)
    if not state.exists() or not state.load().tls:
        return []
    from datetime import UTC, datetime

    from cryptography import x509

    from pileus.cli.settings import configuration
    from pileus.cli.tls import Tls
    from pileus.kernel.config import ConfigError

    try:
        file = Tls(configuration(state)).certificate
        ends = x509.load_pem_x509_certificate(file.read_bytes()).not_valid_after_utc
    except PermissionError:
        return [Finding("certificate", "note", "only the cloud's own user can read it")]
    except (ConfigError, OSError, ValueError) as error:
        return [Finding("certificate", "bad", str(error), "mend [cloud] tls_certificate")]
    days = (ends - datetime.now(UTC)).days
    if days < CERTIFICATE_DAYS:
        return [Finding("certificate", "bad", f"{file} ends {ends:%Y-%m-%d}", "put a new one there in time")]
    return [Finding("certificate", "ok", f"until {ends:%Y-%m-%d}")]
