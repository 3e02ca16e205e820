"""What the Linux driver writes: names, nftables rules, dnsmasq files. No host is needed."""

from pathlib import Path

import msgspec
import pytest

from pileus.services.network.drivers.base import HostNetworkError
from pileus.services.network.drivers.contract import dhcp, new_id
from pileus.services.network.drivers.linux import dhcp as dnsmasq
from pileus.services.network.drivers.linux import filters, routers
from pileus.services.network.drivers.linux.names import BRIDGE, TAP, Names, inner
from pileus.services.network.wanted import (
    AddressPair,
    DhcpHost,
    DhcpOption,
    FloatingIpSpec,
    NetworkSpec,
    PortSpec,
    Route,
    RouterLeg,
    RouterSpec,
    RuleSpec,
    SecurityGroupSpec,
    SubnetSpec,
)

PORT_ID = "3f2a9c1e-1111-2222-3333-444455556666"


class TestNames:
    def test_fit_the_kernel_and_carry_the_cloud(self) -> None:
        assert Names("c0de").interface(TAP, PORT_ID) == "tc0de3f2a9c1e11"
        assert Names("c0de", "02").interface(TAP, PORT_ID) == "tc0de023f2a9c1e"
        assert len(inner("qr", PORT_ID)) <= 15

    def test_know_their_own(self) -> None:
        names = Names("c0de")
        assert names.owns_interface(names.interface(BRIDGE, PORT_ID))
        assert not names.owns_interface(Names("beef").interface(BRIDGE, PORT_ID))
        assert not names.owns_interface("eth0")
        assert not names.owns_interface("tc0de-tunnel-up")
        assert names.namespace_owner(names.dhcp_namespace("n")) == ("dhcp", "n")
        assert names.namespace_owner(names.router_namespace("r")) == ("router", "r")
        assert names.namespace_owner(Names("beef").router_namespace("r")) is None
        assert names.namespace_owner(Names("c0de", "01").router_namespace("r")) is None

    @pytest.mark.parametrize(("cloud", "tag"), [("c0d", ""), ("C0DE", ""), ("c0de", "123"), ("c0de", "x")])
    def test_refuse_what_would_not_fit(self, cloud: str, tag: str) -> None:
        with pytest.raises(ValueError, match="hex digits"):
            Names(cloud, tag)


@pytest.mark.parametrize(
    ("rule", "text"),
    [
        ({}, "meta nfproto ipv4 accept"),
        ({"ethertype": "IPv6"}, "meta nfproto ipv6 accept"),
        ({"protocol": "any"}, "meta nfproto ipv4 accept"),
        (
            {"protocol": "tcp", "port_range_min": 22, "port_range_max": 22},
            "meta nfproto ipv4 meta l4proto 6 th dport 22 accept",
        ),
        (
            {"protocol": "17", "port_range_min": 1, "port_range_max": 9, "remote_ip_prefix": "10.0.0.5/8"},
            "meta nfproto ipv4 ip saddr 10.0.0.0/8 meta l4proto 17 th dport 1-9 accept",
        ),
        (
            {"protocol": "icmp", "port_range_min": 8, "port_range_max": 0},
            "meta nfproto ipv4 meta l4proto 1 icmp type 8 icmp code 0 accept",
        ),
        (
            {"protocol": "icmp", "ethertype": "IPv6", "port_range_min": 128},
            "meta nfproto ipv6 meta l4proto 58 icmpv6 type 128 accept",
        ),
        ({"protocol": "vrrp"}, "meta nfproto ipv4 meta l4proto 112 accept"),
        ({"protocol": "112"}, "meta nfproto ipv4 meta l4proto 112 accept"),
        ({"remote_group_id": "g"}, "meta nfproto ipv4 ip saddr @members4_g accept"),
        (
            {"direction": "egress", "ethertype": "IPv6", "remote_group_id": "g"},
            "meta nfproto ipv6 ip6 daddr @members6_g accept",
        ),
    ],
)
def test_a_rule_becomes_a_match(rule: dict[str, object], text: str) -> None:
    spec = msgspec.convert({"id": "r", "direction": "ingress", **rule}, RuleSpec)
    assert filters.rule(spec) == text


def test_members_that_overlap_are_merged() -> None:
    group = SecurityGroupSpec(id="g", member_ips=("10.0.0.5", "10.0.0.0/24", "10.0.1.7", "10.0.1.7", "fd00::1"))
    text = filters.group("t", group)
    assert "members4_g { 10.0.0.0/24, 10.0.1.7 }" in text
    assert "members6_g { fd00::1 }" in text


def test_a_guard_knows_every_address_of_its_port() -> None:
    pair = AddressPair(ip="10.0.0.64/30", mac="fa:16:3e:00:00:09")
    port = PortSpec(
        id=PORT_ID, network_id="n", mac="fa:16:3e:00:00:01", ips=("10.0.0.5",), allowed_address_pairs=(pair,)
    )
    text = filters.port("t", "tap0", 7, port)
    assert "ether saddr != { fa:16:3e:00:00:01, fa:16:3e:00:00:09 } drop" in text
    assert "ether saddr fa:16:3e:00:00:01 ip saddr 10.0.0.5 accept" in text
    assert "arp saddr ether fa:16:3e:00:00:09 arp saddr ip 10.0.0.64/30 accept" in text
    assert "ether saddr fa:16:3e:00:00:01 ip saddr 10.0.0.64/30" not in text
    assert filters.link_local("fa:16:3e:00:00:01") == "fe80::f816:3eff:fe00:1"


def test_a_port_without_addresses_may_still_ask_for_one() -> None:
    text = filters.port("t", "tap0", 7, PortSpec(id=PORT_ID, network_id="n", mac="fa:16:3e:00:00:01"))
    assert "jump guard_first" in text
    assert " ip saddr 1" not in text
    assert "udp sport 68 udp dport 67 accept" in filters.tables("t").split("guard_first")[3]


class TestDnsmasq:
    def test_gives_routes_and_metadata(self) -> None:
        spec = dhcp(NetworkSpec(id=new_id()))
        route = Route(destination="10.9.0.0/16", nexthop="10.7.0.9")
        subnet = msgspec.structs.replace(spec.subnets[0], host_routes=(route,), dns_nameservers=("192.0.2.1",))
        lines = dnsmasq.options_file(msgspec.structs.replace(spec, subnets=(subnet,))).splitlines()
        flat = "10.9.0.0/16,10.7.0.9,169.254.169.254/32,10.7.0.2,0.0.0.0/0,10.7.0.1"
        assert lines == [
            "tag:subnet0,option:dns-server,192.0.2.1",
            f"tag:subnet0,option:classless-static-route,{flat}",
            f"tag:subnet0,249,{flat}",
            "tag:subnet0,option:router,10.7.0.1",
        ]

    def test_without_a_gateway_names_no_router(self) -> None:
        spec = dhcp(NetworkSpec(id=new_id()))
        subnet = msgspec.structs.replace(spec.subnets[0], gateway_ip=None)
        lines = dnsmasq.options_file(msgspec.structs.replace(spec, subnets=(subnet,), metadata=False)).splitlines()
        assert lines == ["tag:subnet0,option:dns-server,10.7.0.2", "tag:subnet0,option:router"]

    def test_a_value_never_begins_a_line_of_its_own(self) -> None:
        spec = msgspec.structs.replace(dhcp(NetworkSpec(id=new_id())), domain="x\ndhcp-script=/bin/true")
        with pytest.raises(HostNetworkError, match="line break"):
            dnsmasq.configuration(spec, Path("/d"), "d0")

    def test_serves_only_subnets_with_dhcp(self) -> None:
        spec = dhcp(NetworkSpec(id=new_id()), DhcpHost(port_id="p", mac="m", ips=("10.7.0.5", "10.8.0.5")))
        off = SubnetSpec(id=new_id(), cidr="10.8.0.0/24", enable_dhcp=False)
        spec = msgspec.structs.replace(spec, subnets=(*spec.subnets, off))
        assert dnsmasq.hosts_file(spec) == "m,host-10-7-0-5.openstacklocal,10.7.0.5\n"
        text = dnsmasq.configuration(spec, Path("/x"), "ns-1")
        assert "dhcp-range=set:subnet0,10.7.0.0,static,255.255.255.0,86400s" in text
        assert "10.8.0.0" not in text

    def test_tags_only_ports_with_options_of_their_own(self) -> None:
        option, six = DhcpOption(name="67", value="boot"), DhcpOption(name="dns-server", value="[::1]", ip_version=6)
        plain = DhcpHost(port_id="a", mac="fa:16:3e:00:00:0a", ips=("10.7.0.5",))
        special = DhcpHost(port_id="b", mac="fa:16:3e:00:00:0b", ips=("10.7.0.6",), options=(option, six))
        spec = dhcp(NetworkSpec(id=new_id()), plain, special)
        assert "set:" not in dnsmasq.hosts_file(spec)
        macs = [line for line in dnsmasq.configuration(spec, Path("/x"), "ns").splitlines() if "dhcp-mac" in line]
        assert macs == ["dhcp-mac=set:port-b,fa:16:3e:00:00:0b"]
        assert "tag:port-b,67,boot\ntag:port-b,option6:dns-server,[::1]\n" in dnsmasq.options_file(spec)


class TestTranslation:
    LEG = RouterLeg(port_id=PORT_ID, network_id="n", mac="m", addresses=("10.7.0.1/24",))
    OUT = RouterLeg(port_id=PORT_ID, network_id="o", mac="m", addresses=("198.51.100.7/24", "fd00::7/64"))

    def test_without_a_gateway_translates_nothing(self) -> None:
        assert "nat ip" not in routers.translation(RouterSpec(id="r", interfaces=(self.LEG,)))

    def test_floating_ips_come_before_the_routers_own(self) -> None:
        floating = FloatingIpSpec(id="f", floating_ip="198.51.100.8", fixed_ip="10.7.0.5")
        text = routers.translation(
            RouterSpec(id="r", interfaces=(self.LEG,), gateway=self.OUT, floating_ips=(floating,))
        )
        own, back = text.index("snat ip to 198.51.100.7"), text.index("snat ip to ip saddr map { 10.7.0.5 : 198.51")
        assert back < own
        assert "dnat ip to ip daddr map { 198.51.100.8 : 10.7.0.5 }" in text

    def test_without_snat_only_floating_ips_are_translated(self) -> None:
        text = routers.translation(RouterSpec(id="r", interfaces=(self.LEG,), gateway=self.OUT, enable_snat=False))
        assert "snat" not in text.replace("srcnat", "")


class TestHostLeg:
    """What guests reach of the host by its leg in an external network."""

    def test_all_is_dropped_at_the_end_and_nothing_of_an_earlier_text_stays(self) -> None:
        lines = filters.host_leg("pileus_t", "h1", ("192.0.2.53", "2001:db8::53"), (443, 8080)).splitlines()
        rules = [line.removeprefix("add rule inet pileus_t through_leg ") for line in lines if "add rule" in line]
        assert lines.index("flush chain inet pileus_t through_leg") < lines.index(
            f"add rule inet pileus_t through_leg {rules[0]}"
        )
        assert rules[-1] == "drop"
        assert "tcp dport { 443, 8080 } accept" in rules
        assert "ip daddr 192.0.2.53 udp dport 53 accept" in rules
        assert "ip6 daddr 2001:db8::53 tcp dport 53 accept" in rules
        closed = filters.host_leg("pileus_t", "h1", (), ())
        assert "dport" not in closed

    def test_a_router_that_translates_lets_in_answers_and_floating_ips_only(self) -> None:
        router = RouterSpec(id="r", gateway=scenario_leg(), interfaces=())
        head, rules = routers.chains(router)["through"]
        assert head.endswith("policy accept;")
        assert rules[-1].endswith("meta nfproto ipv4 drop")
        assert any("ct status dnat accept" in rule for rule in rules)
        assert routers.chains(msgspec.structs.replace(router, enable_snat=False))["through"][1] == []
        assert routers.chains(msgspec.structs.replace(router, admin_up=False))["through"][0].endswith("policy drop;")


def scenario_leg() -> RouterLeg:
    return RouterLeg(port_id="p", network_id="n", mac="fa:16:3e:00:00:01", addresses=("198.51.100.7/24",))
