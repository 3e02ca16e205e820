"""What a guest is told about itself: the same files on a config drive and from the metadata service.

Formats: https://docs.openstack.org/nova/latest/user/metadata.html
"""

import base64
from typing import Any

import msgspec

from pileus.kernel import ids
from pileus.kernel.db import Tx
from pileus.services.compute import guest_network
from pileus.services.compute.local_disks import local_devices
from pileus.services.compute.model import Nic, Server
from pileus.services.compute.store import servers as store
from pileus.services.compute.wanted import WantedFile

DOMAIN = "novalocal"
VERSIONS = (
    "2012-08-10",
    "2013-04-04",
    "2013-10-17",
    "2015-10-15",
    "2016-06-30",
    "2016-10-06",
    "2017-02-22",
    "2018-08-27",
    "2020-10-14",
    "latest",
)
EC2_VERSIONS = ("1.0", "2007-01-19", "2008-02-01", "2008-09-01", "2009-04-04", "latest")


def meta_data(tx: Tx, server: Server, nics: list[Nic], admin_password: str | None = None) -> dict[str, Any]:
    """Return ``meta_data.json``."""
    data: dict[str, Any] = {
        "uuid": server.id,
        "name": server.name,
        "hostname": fqdn(server),
        "launch_index": server.launch_index,
        "availability_zone": server.availability_zone or "nova",
        "project_id": server.project_id,
        "random_seed": base64.b64encode(ids.random_bytes(512)).decode(),
        "devices": _devices(tx, server, nics),
        "dedicated_cpus": [],
    }
    if server.meta:
        data["meta"] = server.meta
    if server.public_key and server.key_name:
        data["public_keys"] = {server.key_name: server.public_key}
        data["keys"] = [{"name": server.key_name, "type": "ssh", "data": server.public_key}]
    if admin_password:
        data["admin_pass"] = admin_password
    return data


def fqdn(server: Server) -> str:
    """Return the guest's full host name."""
    return server.hostname if "." in server.hostname else f"{server.hostname}.{DOMAIN}"


def _devices(tx: Tx, server: Server, nics: list[Nic]) -> list[dict[str, Any]]:
    """Return what the guest's owner tagged, so that a guest can tell its cards and disks apart."""
    cards = [{"type": "nic", "bus": "pci", "address": "", "mac": nic.mac, "tags": [nic.tag]} for nic in nics if nic.tag]
    disks = [
        {"type": "disk", "bus": "virtio", "address": "", "serial": device.volume_id, "tags": [device.tag]}
        for device in store.list_devices(tx, server.id)
        if device.tag
    ]
    return [*cards, *disks]


def user_data(server: Server) -> bytes:
    """Return the user data as the guest reads it."""
    return base64.b64decode(server.user_data) if server.user_data else b""


def config_drive(
    tx: Tx, server: Server, nics: list[Nic], admin_password: str | None, files: tuple[WantedFile, ...]
) -> dict[str, bytes]:
    """Return the files of a config drive, by path."""
    data = meta_data(tx, server, nics, admin_password)
    content = {f"openstack/content/{index:04}": file for index, file in enumerate(files)}
    if content:
        data["files"] = [
            {"path": file.path, "content_path": path.removeprefix("openstack")} for path, file in content.items()
        ]
    found = {
        "openstack/latest/meta_data.json": msgspec.json.encode(data),
        "openstack/latest/network_data.json": msgspec.json.encode(guest_network.network_data(tx, server.id)),
        "openstack/latest/vendor_data.json": b"{}",
        "openstack/latest/vendor_data2.json": b"{}",
        "ec2/latest/meta-data.json": msgspec.json.encode(ec2_meta_data(tx, server)),
        **{path: base64.b64decode(file.contents) for path, file in content.items()},
    }
    if server.user_data:
        found["openstack/latest/user_data"] = found["ec2/latest/user-data"] = user_data(server)
    return found


def ec2_meta_data(tx: Tx, server: Server) -> dict[str, Any]:
    """Return the tree of EC2's ``meta-data``, as nested dictionaries."""
    number = int(server.id.replace("-", "")[:8], 16)
    fixed, floating = _addresses(server)
    data: dict[str, Any] = {
        "ami-id": f"ami-{(server.image_id or server.id).replace('-', '')[:8]}",
        "ami-launch-index": str(server.launch_index),
        "ami-manifest-path": "",
        "block-device-mapping": {"ami": "vda", "root": "/dev/vda", **local_devices(server.flavor)},
        "hostname": fqdn(server),
        "instance-action": "none",
        "instance-id": f"i-{number:08x}",
        "instance-type": server.flavor["name"],
        "local-hostname": fqdn(server),
        "local-ipv4": fixed,
        "placement": {"availability-zone": server.availability_zone or "nova"},
        "public-hostname": fqdn(server),
        "public-ipv4": floating,
        "reservation-id": server.reservation_id,
        "security-groups": "\n".join(server.security_groups),
    }
    if server.public_key and server.key_name:
        data["public-keys"] = {"0": {"_name": server.key_name, "openssh-key": server.public_key}}
    return data


def _addresses(server: Server) -> tuple[str, str]:
    found = {"fixed": "", "floating": ""}
    for cards in server.addresses.values():
        for card in cards:
            kind = card.get("OS-EXT-IPS:type", "fixed")
            if card["version"] == 4 and not found[kind]:
                found[kind] = card["addr"]
    return found["fixed"], found["floating"]
