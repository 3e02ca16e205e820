"""The names of everything the driver makes on a host.

One rule: a name is computed from ids alone, carries the cloud's id, and fits the kernel's 15 characters, so that a new
process finds what an old one made and clouds (or several agents of one cloud on one machine) never touch each other.
"""

import re
from dataclasses import dataclass, field

PREFIX = "pileus"

# First letter of an interface name: what the interface is.
TAP, PLUG, GUEST_END, BRIDGE, VXLAN, HOST_LEG, HOST_LEG_PEER = "t", "v", "g", "b", "x", "h", "p"


@dataclass(frozen=True)
class Names:
    """Names of one agent's things. `host_tag` (up to 2 hex digits) tells agents of one cloud on one machine apart."""

    cloud_id: str
    host_tag: str = ""
    tag: str = field(init=False)

    def __post_init__(self) -> None:
        if not re.fullmatch(r"[0-9a-f]{4}", self.cloud_id) or not re.fullmatch(r"[0-9a-f]{0,2}", self.host_tag):
            raise ValueError(
                f"cloud id {self.cloud_id!r} must be 4 hex digits and host tag {self.host_tag!r} at most 2"
            )
        object.__setattr__(self, "tag", self.cloud_id + self.host_tag)

    @property
    def table(self) -> str:
        return f"{PREFIX}_{self.tag}"

    def interface(self, letter: str, id: str) -> str:
        """Name an interface: the letter, the tag, and as many digits of the id as fit."""
        return f"{letter}{self.tag}{id.replace('-', '')}"[:15]

    def owns_interface(self, name: str) -> bool:
        letters = TAP + PLUG + GUEST_END + BRIDGE + VXLAN + HOST_LEG + HOST_LEG_PEER
        return re.fullmatch(rf"[{letters}]{self.tag}[0-9a-f]{{{14 - len(self.tag)}}}", name) is not None

    def dhcp_namespace(self, network_id: str) -> str:
        return f"{PREFIX}-{self.tag}-dhcp-{network_id}"

    def router_namespace(self, router_id: str) -> str:
        return f"{PREFIX}-{self.tag}-router-{router_id}"

    def namespace_owner(self, namespace: str) -> tuple[str, str] | None:
        """Tell ("dhcp", network id) or ("router", router id) of a namespace of ours, None of any other."""
        match = re.fullmatch(rf"{PREFIX}-{self.tag}-(dhcp|router)-(.+)", namespace)
        return (match[1], match[2]) if match else None


def inner(prefix: str, port_id: str) -> str:
    """Name an interface inside a namespace of ours the way operators know it: qr-, qg- or ns- and the port's id."""
    return f"{prefix}-{port_id}"[:14]
