"""DHCP, DNS and the metadata address of a network: one dnsmasq in a namespace of its own.

One rule: dnsmasq reads files this module wrote and outlives the agent; what changed in which file decides between
nothing, a signal and a restart. It answers known ports only, each with the address the control plane chose.
"""

import ipaddress
import os
import shutil
import signal
import socket
import struct
from collections.abc import Iterable
from functools import partial
from pathlib import Path

from pileus.services.network.drivers.base import HostNetworkError
from pileus.services.network.drivers.linux import names, namespaces, switches
from pileus.services.network.drivers.linux.host import Host, Removal, alias
from pileus.services.network.drivers.linux.names import inner
from pileus.services.network.drivers.linux.netlink import Netlink
from pileus.services.network.wanted import METADATA_IP, DhcpHost, DhcpOption, DhcpSpec, SubnetSpec


def ensure(host: Host, spec: DhcpSpec) -> str:
    """Serve a network; return the namespace in which metadata is to be answered."""
    host.prepare()
    bridge = switches.find(host, spec.network_id, "its DHCP server")
    namespace = host.names.dhcp_namespace(spec.network_id)
    namespaces.make(namespace)
    outer = host.names.interface(names.PLUG, spec.port_id)
    _unplug_others(host, spec.network_id, outer)
    interface = inner("ns", spec.port_id)
    what = alias("dhcp", spec.network_id)

    def plug() -> None:
        switches.plug_veth(host, bridge, outer, interface, mac=spec.mac, namespace=namespace, what=what)
        addresses, gateway = own_addresses(spec), way_out(spec)
        namespaces.inside(namespace, lambda: _address(interface, spec.mac, bridge.mtu, addresses, gateway))

    try:
        plug()
    except switches.LegLost:
        host.netlink.delete_link(outer)
        plug()
    _serve(host, spec, namespace, interface)
    return namespace


def ensure_gone(host: Host, network_id: str) -> list[Removal]:
    folder = _folder(host, network_id)
    _stop(folder)
    if folder.is_dir():
        shutil.rmtree(folder)
    legs = [link for link in host.links() if link.alias == alias("dhcp", network_id)]
    return [
        *(host.removal(link) for link in legs),
        partial(namespaces.remove, host.names.dhcp_namespace(network_id)),
    ]


def stop_all(host: Host) -> None:
    """End every server; what they serve stays on disk."""
    folder = _folder(host, "")
    for network in folder.iterdir() if folder.is_dir() else ():
        _stop(network)


def revive(host: Host, network_id: str) -> int | None:
    """Start a DHCP server again that died; return its process id, None where none is wanted."""
    folder, namespace = _folder(host, network_id), host.names.dhcp_namespace(network_id)
    if (folder / "conf").exists() and namespaces.exists(namespace) and _pid(folder) is None:
        _start(folder, namespace)
    return _pid(folder)


def pid(host: Host, network_id: str) -> int | None:
    return _pid(_folder(host, network_id))


def files_lost(host: Host, network_id: str) -> list[str]:
    """List what a server reads and that is no longer there."""
    folder = _folder(host, network_id)
    return [name for name in ("conf", "hosts", "options", "names") if not (folder / name).exists()]


def hosts_file(spec: DhcpSpec) -> str:
    """Write dnsmasq's dhcp-hostsfile: one line for each port and IP version."""
    return _file(line for host in spec.hosts for line in _host_lines(spec, host))


def _file(lines: Iterable[str]) -> str:
    """Return lines as a file; raise HostNetworkError when one would be two: a tenant's text must not be an order."""
    lines = list(lines)
    broken = next((line for line in lines if not {"\n", "\r", "\0"}.isdisjoint(line)), None)
    if broken is not None:
        raise HostNetworkError(f"dnsmasq cannot be given {broken!r}: it holds a line break")
    return "".join(f"{line}\n" for line in lines)


def options_file(spec: DhcpSpec) -> str:
    """Write dnsmasq's dhcp-optsfile: what each subnet's clients are told, then each port's own options."""
    lines: list[str] = []
    own = [ipaddress.ip_interface(address) for address in spec.addresses]
    for number, subnet in enumerate(_served(spec)):
        network = ipaddress.ip_network(subnet.cidr)
        server = next((str(a.ip) for a in own if a.ip in network), None)
        lines += _subnet_options(spec, subnet, f"tag:subnet{number}", server)
    for host in spec.hosts:
        for option in host.options:
            lines.append(f"tag:port-{host.port_id},{_option_name(option)},{option.value}")
    return _file(lines)


def names_file(spec: DhcpSpec) -> str:
    """Write the names that dnsmasq's DNS knows, in the form of /etc/hosts."""
    return _file(
        f"{ip} {_hostname(host, ip)}.{spec.domain} {_hostname(host, ip)}" for host in spec.hosts for ip in host.ips
    )


def configuration(spec: DhcpSpec, folder: Path, interface: str, resolvers: tuple[str, ...] = ()) -> str:
    """Write dnsmasq's configuration; a change of it needs a restart."""
    lines = [
        "no-resolv",
        *(f"server={ip}" for ip in resolvers),
        "domain-needed",
        "bogus-priv",
        "no-hosts",
        "no-ping",
        "bind-dynamic",
        "dhcp-authoritative",
        *_identity(folder),
        f"interface={interface}",
        "except-interface=lo",
        f"pid-file={folder / 'pid'}",
        f"dhcp-leasefile={folder / 'leases'}",
        f"dhcp-hostsfile={folder / 'hosts'}",
        f"dhcp-optsfile={folder / 'options'}",
        f"addn-hosts={folder / 'names'}",
        f"domain={spec.domain}",
        f"local=/{spec.domain}/",
        f"dhcp-option-force=option:mtu,{spec.mtu}",
    ]
    count = 0
    for number, subnet in enumerate(_served(spec)):
        network = ipaddress.ip_network(subnet.cidr)
        count += min(network.num_addresses, 65536)
        if network.version == 4:
            lines.append(
                f"dhcp-range=set:subnet{number},{network.network_address},static,{network.netmask},{spec.lease_s}s"
            )
        else:
            size = max(network.prefixlen, 64)
            lines.append(f"dhcp-range=set:subnet{number},{network.network_address},static,{size},{spec.lease_s}s")
    lines.append(f"dhcp-lease-max={max(count, 1000)}")
    # Tags belong here, not on the lines of the hosts file: dnsmasq 2.86 to 2.90 crash on SIGHUP where a client with
    # a lease was tagged by its line. So a port that gains its own options costs a restart.
    lines += [f"dhcp-mac=set:port-{host.port_id},{host.mac}" for host in spec.hosts if host.options]
    return _file(lines)


def _identity(folder: Path) -> list[str]:
    """Run as nobody, who must be able to read the files again; as root only where the state directory forbids that."""
    open_to_all = all(place.stat().st_mode & 0o001 for place in (folder, *folder.parents) if place.exists())
    return ["user=nobody", "group=nogroup"] if open_to_all else ["user=root", "group=root"]


def _served(spec: DhcpSpec) -> list[SubnetSpec]:
    """The subnets that dnsmasq itself hands out: SLAAC alone is the router's matter."""
    return [s for s in spec.subnets if s.enable_dhcp and (":" not in s.cidr or s.ipv6_address_mode != "slaac")]


def _host_lines(spec: DhcpSpec, host: DhcpHost) -> list[str]:
    lines: list[str] = []
    served = [ipaddress.ip_network(subnet.cidr) for subnet in _served(spec)]
    for version in (4, 6):
        ips = [ip for ip in host.ips if ipaddress.ip_address(ip).version == version]
        for ip in ips:
            if not any(ipaddress.ip_address(ip) in network for network in served):
                continue
            shown = ip if version == 4 else f"[{ip}]"
            lines.append(f"{host.mac},{_hostname(host, ip)}.{spec.domain},{shown}")
    return lines


def _option_name(option: DhcpOption) -> str:
    if option.ip_version == 6:
        return f"option6:{option.name}"
    return option.name if option.name.isdigit() else f"option:{option.name}"


def _hostname(host: DhcpHost, ip: str) -> str:
    return host.hostname or f"host-{ip.replace('.', '-').replace(':', '-')}"


def _subnet_options(spec: DhcpSpec, subnet: SubnetSpec, tag: str, server: str | None) -> list[str]:
    if ":" in subnet.cidr:
        nameservers = [ip for ip in subnet.dns_nameservers if ":" in ip]
        return [f"{tag},option6:dns-server,{','.join(f'[{ip}]' for ip in nameservers)}"] if nameservers else []
    routes = [(route.destination, route.nexthop) for route in subnet.host_routes]
    if spec.metadata and server and not any(destination == f"{METADATA_IP}/32" for destination, _ in routes):
        routes.append((f"{METADATA_IP}/32", server))
    if subnet.gateway_ip and not any(destination == "0.0.0.0/0" for destination, _ in routes):
        # A client that understands classless routes ignores the router option (RFC 3442), so say it here too.
        routes.append(("0.0.0.0/0", subnet.gateway_ip))
    flat = ",".join(part for route in routes for part in route)
    nameservers = [ip for ip in subnet.dns_nameservers if ":" not in ip] or ([server] if server else [])
    lines = [f"{tag},option:dns-server,{','.join(nameservers)}"] if nameservers else []
    # 249 is Microsoft's number for the same option.
    lines += [f"{tag},option:classless-static-route,{flat}", f"{tag},249,{flat}"] if flat else []
    # Without a value the option is withheld: dnsmasq would otherwise name itself as the router.
    return [*lines, f"{tag},option:router,{subnet.gateway_ip}" if subnet.gateway_ip else f"{tag},option:router"]


def _serve(host: Host, spec: DhcpSpec, namespace: str, interface: str) -> None:
    folder = _folder(host, spec.network_id)
    folder.mkdir(parents=True, exist_ok=True)
    conf = configuration(spec, folder, interface, host.resolvers if way_out(spec) else ())
    restart = _write(folder / "conf", conf)
    _release_stale(spec, folder, namespace, interface)
    reload = False
    for name, text in (("hosts", hosts_file(spec)), ("options", options_file(spec)), ("names", names_file(spec))):
        reload |= _write(folder / name, text)
    pid = _pid(folder)
    if pid is not None and (restart or not namespaces.contains(namespace, pid)):
        namespaces.end_process(pid)
        pid = None
    if pid is None:
        _start(folder, namespace)
    elif reload:
        os.kill(pid, signal.SIGHUP)


def _start(folder: Path, namespace: str) -> None:
    namespaces.run("ip", "netns", "exec", namespace, "dnsmasq", f"--conf-file={folder / 'conf'}")


def _stop(folder: Path) -> None:
    pid = _pid(folder)
    if pid is not None:
        namespaces.end_process(pid)


def _pid(folder: Path) -> int | None:
    """Tell the dnsmasq that runs on this folder's configuration; a recycled process id does not deceive us."""
    try:
        pid = int((folder / "pid").read_text())
        command = Path(f"/proc/{pid}/cmdline").read_bytes()
    except (FileNotFoundError, ProcessLookupError, ValueError):
        return None
    return pid if f"--conf-file={folder / 'conf'}".encode() in command.split(b"\0") else None


def _write(path: Path, text: str) -> bool:
    """Replace a file as a whole; tell whether that changed it."""
    if path.exists() and path.read_text() == text:
        return False
    fresh = path.with_suffix(".new")
    fresh.write_text(text)
    fresh.rename(path)
    return True


def own_addresses(spec: DhcpSpec) -> set[str]:
    """Return the addresses of the server's own leg."""
    return {*spec.addresses, f"{METADATA_IP}/32"} if spec.metadata else {*spec.addresses}


def way_out(spec: DhcpSpec) -> str | None:
    """Tell the gateway by which the DNS reaches the world, as the guests themselves would."""
    own = [ipaddress.ip_interface(address).network for address in spec.addresses]
    gateways = [subnet.gateway_ip for subnet in spec.subnets if subnet.gateway_ip and ":" not in subnet.gateway_ip]
    return next((ip for ip in gateways if any(ipaddress.ip_address(ip) in network for network in own)), None)


def _address(interface: str, mac: str, mtu: int, addresses: set[str], gateway: str | None) -> None:
    with Netlink() as netlink:
        link, loopback = netlink.link(interface), netlink.link("lo")
        if link is None or loopback is None:
            raise switches.LegLost(f"Interface {interface} is not in its namespace; ensure DHCP of the network again.")
        if link.mac != mac.lower() or link.mtu != mtu or not link.up:
            netlink.set_link(loopback.index, up=True)
            netlink.set_link(link.index, up=True, mac=mac, mtu=mtu)
        present = {address for index, address in netlink.addresses() if index == link.index}
        for address in present - addresses:
            netlink.delete_address(link.index, address)
        for address in addresses - present:
            netlink.add_address(link.index, address)
        if gateway is not None:
            netlink.replace_route("0.0.0.0/0", gateway, link.index)
        else:
            netlink.delete_route("0.0.0.0/0", None, None)


def _unplug_others(host: Host, network_id: str, keep: str) -> None:
    """Remove legs an earlier DHCP port of this network left."""
    for link in host.links():
        if link.alias == alias("dhcp", network_id) and link.name != keep:
            host.netlink.delete_link(link.name)


def _folder(host: Host, network_id: str) -> Path:
    return host.settings.folder / "dhcp" / network_id


def _release_stale(spec: DhcpSpec, folder: Path, namespace: str, interface: str) -> None:
    """Free leases of addresses that now belong to another port, which dnsmasq would otherwise refuse to hand out."""
    leases = folder / "leases"
    owners = {ip: host.mac.lower() for host in spec.hosts for ip in host.ips}
    rows = [line.split() for line in leases.read_text().splitlines()] if leases.exists() else []
    stale = [(row[2], row[1]) for row in rows if len(row) >= 4 and "." in row[2] and owners.get(row[2]) != row[1]]
    if stale and _pid(folder) is not None:
        servers = [ipaddress.ip_interface(address) for address in spec.addresses if "." in address]
        namespaces.inside(namespace, lambda: _send_releases(stale, servers, interface))


def _send_releases(
    leases: list[tuple[str, str]],
    servers: list[ipaddress.IPv4Interface | ipaddress.IPv6Interface],
    interface: str,
) -> None:
    """Send DHCPRELEASE (RFC 2131) to dnsmasq in the clients' name."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sender:
        sender.setsockopt(socket.SOL_SOCKET, socket.SO_BINDTODEVICE, interface.encode())
        for ip, mac in leases:
            server = next((s.ip for s in servers if ipaddress.ip_address(ip) in s.network), None)
            if server is None:
                continue
            hardware = bytes.fromhex(mac.replace(":", ""))
            head = struct.pack("!BBBBIHH", 1, 1, 6, 0, 0, 0, 0) + ipaddress.ip_address(ip).packed + b"\0" * 12
            options = b"\x63\x82\x53\x63\x35\x01\x07\x36\x04" + server.packed + b"\xff"
            sender.sendto(head + hardware.ljust(16, b"\0") + b"\0" * 192 + options, (str(server), 67))
