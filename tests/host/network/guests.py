"""Guests made of network namespaces: a port's veth end with the guest's MAC, and the programs a guest would run."""

import os
import signal
import subprocess
from dataclasses import dataclass, field
from pathlib import Path
from secrets import token_hex
from uuid import uuid4

from pileus.services.network.drivers.base import NetworkDriver
from pileus.services.network.drivers.contract import new_id, new_mac
from pileus.services.network.wanted import (
    DhcpHost,
    DhcpSpec,
    NetworkSpec,
    Plug,
    PortSpec,
    RouterLeg,
    RuleSpec,
    SecurityGroupSpec,
    SubnetSpec,
)


def run(*command: str, check: bool = True) -> str:
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=30)
    assert done.returncode == 0 or not check, f"{command}: {done.stdout}{done.stderr}"
    return done.stdout


@dataclass
class Guest:
    """One guest on one port."""

    port: PortSpec
    name: str = field(default_factory=lambda: f"pnt-{token_hex(4)}")

    def make(self, interface: str) -> None:
        run("ip", "netns", "add", self.name)
        run("ip", "link", "set", interface, "netns", self.name, "name", "eth0")
        self.run("ip", "link", "set", "lo", "up")
        self.run("ip", "link", "set", "eth0", "up")

    def remove(self) -> None:
        for pid in run("ip", "netns", "pids", self.name, check=False).split():
            os.kill(int(pid), signal.SIGKILL)
        run("ip", "netns", "delete", self.name, check=False)

    def run(self, *command: str, check: bool = True) -> str:
        return run("ip", "netns", "exec", self.name, *command, check=check)

    def address(self, address: str, gateway: str | None = None) -> None:
        self.run("ip", "address", "replace", address, "dev", "eth0")
        if gateway:
            self.run("ip", "route", "replace", "default", "via", gateway)

    def pings(self, ip: str, *, source: str | None = None, tries: int = 2) -> bool:
        """Tell whether one of a few pings is answered within a second."""
        return pings(ip, netns=self.name, source=source, tries=tries)

    def keep_pinging(self, ip: str) -> subprocess.Popen[str]:
        """Ping on as one tracked connection (one identifier) and return once two pings were answered."""
        command = ["ip", "netns", "exec", self.name, "ping", "-n", "-i", "0.2", ip]
        ping = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
        assert ping.stdout is not None
        for _ in range(3):
            ping.stdout.readline()
        return ping

    def dhcp(self, folder: Path) -> dict[str, str]:
        """Get a lease with udhcpc, set the address and routes as a guest would, and return the options."""
        script, answer = folder / f"{self.name}.sh", folder / f"{self.name}.env"
        script.write_text(f'#!/bin/sh\n[ "$1" = bound ] && env > {answer}\nexit 0\n')
        script.chmod(0o755)
        options = [part for name in ("subnet", "router", "dns", "hostname", "domain", "mtu", "staticroutes", "serverid")
                   for part in ("-O", name)]  # fmt: skip
        out = self.run(
            "busybox",
            "udhcpc",
            "-i",
            "eth0",
            "-n",
            "-q",
            "-t",
            "4",
            "-T",
            "1",
            "-s",
            str(script),
            *options,
            check=False,
        )
        if not answer.exists():
            return {"failed": out}
        lease = dict(line.split("=", 1) for line in answer.read_text().splitlines() if "=" in line)
        answer.unlink()
        self.run("ip", "address", "replace", f"{lease['ip']}/{lease['mask']}", "dev", "eth0")
        routes = lease.get("staticroutes", "").split()
        for destination, nexthop in zip(routes[::2], routes[1::2], strict=True):
            self.run("ip", "route", "replace", destination, "via", nexthop, "onlink", "dev", "eth0")
        return lease

    def serve_tcp(self, port: int) -> subprocess.Popen[bytes]:
        """Answer every connection with this guest's name and the caller's address."""
        program = (
            "import socket,sys\n"
            f"s=socket.create_server(('',{port}))\n"
            "sys.stdout.write('.');sys.stdout.flush()\n"
            "while True:\n"
            " c,a=s.accept()\n"
            f" c.sendall(f'{self.name} {{a[0]}}'.encode());c.close()\n"
        )
        server = subprocess.Popen(["ip", "netns", "exec", self.name, "python3", "-c", program], stdout=subprocess.PIPE)
        assert server.stdout is not None
        assert server.stdout.read(1) == b"."
        return server

    def calls(self, ip: str, port: int) -> str:
        """Connect and return what the other side says, or why not."""
        return calls(ip, port, netns=self.name)


def pings(ip: str, *, netns: str | None = None, source: str | None = None, tries: int = 2) -> bool:
    command = ["ip", "netns", "exec", netns] if netns else []
    command += ["ping", "-n", "-q", "-i", "0.2", "-W", "1", "-c", str(tries), *(["-I", source] if source else []), ip]
    return subprocess.run(command, capture_output=True, check=False, timeout=30).returncode == 0


def calls(ip: str, port: int, *, netns: str | None = None) -> str:
    program = (
        "import socket\n"
        "try:\n"
        f" c=socket.create_connection(('{ip}',{port}),1.5);print(c.recv(200).decode(),end='')\n"
        "except OSError as e: print(type(e).__name__,end='')\n"
    )
    return run(*(["ip", "netns", "exec", netns] if netns else []), "python3", "-c", program)


def allow(direction: str = "ingress", **match: object) -> RuleSpec:
    return RuleSpec(id=new_id(), direction=direction, **match)  # type: ignore[arg-type]


def open_group(*rules: RuleSpec, members: tuple[str, ...] = ()) -> SecurityGroupSpec:
    """A group whose guests may send anything; `rules` say what they receive."""
    return SecurityGroupSpec(id=new_id(), rules=(allow("egress"), *rules), member_ips=members)


def port_of(network: NetworkSpec, ip: str, *groups: SecurityGroupSpec) -> PortSpec:
    return PortSpec(
        id=new_id(),
        network_id=network.id,
        mac=new_mac(),
        ips=(ip,),
        plug=Plug.VETH,
        security_group_ids=tuple(group.id for group in groups),
    )


def dhcp_of(network: NetworkSpec, cidr: str, *ports: PortSpec, server: str, gateway: str | None = None) -> DhcpSpec:
    subnet = SubnetSpec(id=str(uuid4()), cidr=cidr, gateway_ip=gateway, dns_nameservers=("192.0.2.53",))
    hosts = tuple(DhcpHost(port_id=port.id, mac=port.mac, ips=port.ips) for port in ports)
    return DhcpSpec(
        network_id=network.id,
        port_id=new_id(),
        mac=new_mac(),
        addresses=(server,),
        subnets=(subnet,),
        hosts=hosts,
        mtu=network.mtu,
    )


def leg_of(network: NetworkSpec, address: str) -> RouterLeg:
    return RouterLeg(port_id=new_id(), network_id=network.id, mac=new_mac(), addresses=(address,))


class Guests:
    """Plugs ports and makes guests behind them; the test's fixture removes what is left."""

    def __init__(self, driver: NetworkDriver) -> None:
        self.driver = driver
        self.made: list[Guest] = []
        self.links: list[str] = []

    async def boot(self, port: PortSpec, address: str | None = None, gateway: str | None = None) -> Guest:
        wiring = await self.driver.ensure_port(port)
        guest = Guest(port)
        self.made.append(guest)
        guest.make(wiring.guest_interface)
        if address:
            guest.address(address, gateway)
        return guest

    def remove(self) -> None:
        for guest in self.made:
            guest.remove()
        for link in self.links:
            run("ip", "link", "delete", link, check=False)
