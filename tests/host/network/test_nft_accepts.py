"""Whatever rule or pair the API lets through, nft must take: a refusal would leave a port without its filters."""

from collections.abc import Iterator
from secrets import token_hex

import pytest

from pileus.services.network.drivers.contract import new_id
from pileus.services.network.drivers.linux import filters, namespaces
from pileus.services.network.drivers.linux.nftables import Nft
from pileus.services.network.wanted import AddressPair, PortSpec, RuleSpec, SecurityGroupSpec

pytestmark = pytest.mark.host

PORTS = (("tcp", 1, 65535), ("udp", 53, 53), ("sctp", 1, 2), ("udplite", 5, 6), ("dccp", 5, 6), ("6", 22, 22))
ICMP = (("icmp", None, None), ("icmp", 8, None), ("icmp", 3, 4), ("icmp", 0, 0), ("icmp", 255, 255))
PLAIN = tuple((name, None, None) for name in (*filters.PROTOCOLS, "any", "0", "255", None))


@pytest.fixture
def place() -> Iterator[str]:
    name = f"pnt-{token_hex(4)}"
    namespaces.make(name)
    yield name
    namespaces.remove(name)


def rules(ethertype: str, prefixes: tuple[str | None, ...]) -> list[RuleSpec]:
    return [
        RuleSpec(
            id=new_id(),
            direction=direction,
            ethertype=ethertype,
            protocol=protocol,
            port_range_min=low,
            port_range_max=high,
            remote_ip_prefix=prefix,
        )
        for direction in ("ingress", "egress")
        for protocol, low, high in (*PORTS, *ICMP, *PLAIN)
        for prefix in prefixes
    ]


def test_every_rule_every_pair_any_number_of_times(place: str) -> None:
    four = rules("IPv4", (None, "0.0.0.0/0", "10.0.0.1/32", "10.1.2.3/8"))
    six = rules("IPv6", (None, "::/0", "fd00::1/128", "fd00::1/8"))
    group = SecurityGroupSpec(
        id=new_id(),
        rules=(*four, *six),
        member_ips=("0.0.0.0/0", "::/0", "10.0.0.5", "10.0.0.5/32", "10.0.0.4", "fd00::5"),
    )
    pairs = [("0.0.0.0/0", "01"), ("::/0", "02"), ("10.0.0.9", "03"), ("10.0.0.0/24", "03"), ("fd00::/64", "01")]
    port = PortSpec(
        id=new_id(),
        network_id=new_id(),
        mac="fa:16:3e:00:00:01",
        ips=("10.0.0.5", "fd00::5"),
        allowed_address_pairs=tuple(AddressPair(ip=ip, mac=f"FA:16:3E:00:00:{mac}") for ip, mac in pairs),
        security_group_ids=(group.id,),
    )

    def apply() -> int:
        with Nft() as nft:
            for _ in range(2):
                nft.apply(filters.tables("pileus_test"))
                nft.apply(filters.bridge("pileus_test", "br0", 7))
                nft.apply(filters.group("pileus_test", group))
                nft.apply(filters.port("pileus_test", "tap0", 7, port))
                nft.apply(filters.port("pileus_test", "tap0", 8, port, 7))
            there = len([entry for entry in nft.list("table inet pileus_test") if "rule" in entry])
            for _ in range(2):
                nft.apply(filters.port_gone("pileus_test", "tap0", 8))
                nft.apply(filters.group_gone("pileus_test", group.id))
                nft.apply(filters.bridge_gone("pileus_test", "br0"))
            return there

    assert namespaces.inside(place, apply) > len(group.rules)
