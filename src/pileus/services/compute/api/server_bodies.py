"""What clients send about servers, in every version."""

from typing import Annotated, Literal

import msgspec
from msgspec import UNSET, Meta, UnsetType

from pileus.kernel.rest import Body, Extra, Id, at_most, since, until
from pileus.kernel.rest.references import Refers, SomeHost

field = msgspec.field
Name = Annotated[str, Meta(min_length=1, max_length=255)]
Description = Annotated[str, Meta(max_length=255)]
MetaKey = Annotated[str, Meta(min_length=1, max_length=255)]
MetaValue = Annotated[str, Meta(max_length=255)]
Metadata = Annotated[dict[MetaKey, MetaValue], at_most(256)]
Tag = Annotated[str, Meta(min_length=1, max_length=60, pattern=r"^[^,/]*\Z")]
DeviceTag = Annotated[str, Meta(min_length=1, max_length=60, pattern=r"^[^,/]*\Z")]
DiskConfig = Literal["AUTO", "MANUAL"]
UserData = Annotated[str, Meta(max_length=65535)]
Hostname = Annotated[str, Meta(min_length=2, max_length=255, pattern=r"^[a-zA-Z0-9][a-zA-Z0-9.-]*[a-zA-Z0-9]\Z")]
Certificates = Annotated[list[Annotated[str, Meta(min_length=1)]], Meta(min_length=1, max_length=50)]
Count = int | Annotated[str, Meta(max_length=16, pattern=r"^[0-9]+\Z")]
Whole = int | Annotated[str, Meta(max_length=16, pattern=r"^-?[0-9]+\Z")]
FlavorId = Annotated[Annotated[str, Meta(min_length=1, max_length=255)] | int, Refers("flavor")]
ImageId = Annotated[Id, Refers("image", words=frozenset({""}))]
NetworkId = Annotated[Id, Refers("network")]
PortId = Annotated[Id, Refers("port")]
KeyName = Annotated[Id, Refers("keypair", loaded=False)]
"""One of the caller's own."""
SomeImage = Annotated[Id, Refers("image", loaded=False)]
SomeFlavor = Annotated[Id, Refers("flavor", loaded=False)]
SomeVolume = Annotated[Id, Refers("volume", loaded=False)]
Source = Annotated[Id, Refers("device_source", loaded=False)]
"""An image, a snapshot or a volume, as ``source_type`` says."""
Hints = Annotated[
    Extra,
    Refers("server_group", loaded=False, at="group"),
    Refers("server", loaded=False, at="same_host"),
    Refers("server", loaded=False, at="different_host"),
]
"""Hints have forms of their own, which ``app.placing`` checks; servers are looked for when a host is chosen."""
OldDevices = Annotated[
    list[Annotated[Extra, Refers("volume", loaded=False, at="volume_id"),
                   Refers("snapshot", loaded=False, at="snapshot_id")]],
    at_most(64),
]  # fmt: skip


class NetworkBody(Body, kw_only=True):
    """One card asked for: a network, or a port that is there already."""

    uuid: NetworkId | None = None
    port: PortId | None = None
    fixed_ip: str | None = None
    tag: Annotated[DeviceTag | None, since("2.32")] = None


class DeviceBody(Body, kw_only=True):
    """One entry of ``block_device_mapping_v2``."""

    boot_index: Whole | None = None
    source_type: Literal["blank", "image", "snapshot", "volume"] = "volume"
    destination_type: Literal["local", "volume"] | None = None
    uuid: Source | None = None
    volume_size: Whole | None = None
    volume_type: Annotated[Annotated[Id, Refers("volume_type", loaded=False)] | None, since("2.67")] = None
    delete_on_termination: bool | str = False
    device_name: str | None = None
    device_type: str | None = None
    disk_bus: str | None = None
    guest_format: str | None = None
    no_device: bool | str | None = None
    tag: Annotated[DeviceTag | None, since("2.32")] = None
    image_id: Source | None = None
    snapshot_id: Source | None = None
    volume_id: Source | None = None
    virtual_name: str | None = None


class GroupName(Body, kw_only=True):
    name: Annotated[str, Meta(min_length=1, max_length=255)]


class File(Body, kw_only=True):
    """A file put into the guest's config drive; gone since 2.57."""

    path: str
    contents: str


class ServerCreate(Body, kw_only=True):
    name: Name
    flavor: FlavorId = field(name="flavorRef")
    image: ImageId | None = field(name="imageRef", default=None)
    admin_password: str | None = field(name="adminPass", default=None)
    metadata: Metadata = {}
    networks: Annotated[list[NetworkBody], at_most(64)] | Literal["auto", "none"] | None = None
    disk_config: DiskConfig = field(name="OS-DCF:diskConfig", default="MANUAL")
    access_ip_v4: str | None = field(name="accessIPv4", default=None)
    access_ip_v6: str | None = field(name="accessIPv6", default=None)
    availability_zone: Annotated[str, Meta(min_length=1, max_length=255)] | None = None
    block_device_mapping: OldDevices = []
    block_device_mapping_v2: Annotated[list[DeviceBody], at_most(64)] = []
    config_drive: bool | str | None = None
    key_name: KeyName | None = None
    min_count: Count | None = None
    max_count: Count | None = None
    return_reservation_id: bool | str = False
    security_groups: Annotated[list[GroupName], at_most(100)] = []
    user_data: UserData | None = None
    personality: Annotated[Annotated[list[File], at_most(100)], until("2.56")] = []
    description: Annotated[Description | None, since("2.19")] = None
    tags: Annotated[Annotated[list[Tag], Meta(max_length=50)], since("2.52")] = []
    trusted_image_certificates: Annotated[Certificates | None, since("2.63")] = None
    host: Annotated[SomeHost | None, since("2.74")] = None
    hypervisor_hostname: Annotated[SomeHost | None, since("2.74")] = None
    hostname: Annotated[Hostname | None, since("2.90")] = None


class CreateRequest(Body, kw_only=True):
    """The whole body of a creation: the server, and the hints for the scheduler beside it."""

    server: ServerCreate
    hints: Hints = field(name="os:scheduler_hints", default={})
    old_hints: Hints = field(name="OS-SCH-HNT:scheduler_hints", default={})


class ServerUpdate(Body, kw_only=True):
    name: Name | UnsetType = UNSET
    disk_config: DiskConfig | UnsetType = field(name="OS-DCF:diskConfig", default=UNSET)
    access_ip_v4: str | UnsetType | None = field(name="accessIPv4", default=UNSET)
    access_ip_v6: str | UnsetType | None = field(name="accessIPv6", default=UNSET)
    description: Annotated[Description | UnsetType | None, since("2.19")] = UNSET
    hostname: Annotated[Hostname | UnsetType, since("2.90")] = UNSET


class Rebuild(Body, kw_only=True):
    image: Annotated[Id, Refers("image")] = field(name="imageRef")
    name: Name | UnsetType = UNSET
    admin_password: str | None = field(name="adminPass", default=None)
    metadata: Metadata | UnsetType = UNSET
    preserve_ephemeral: bool | str = False
    disk_config: DiskConfig | UnsetType = field(name="OS-DCF:diskConfig", default=UNSET)
    access_ip_v4: str | UnsetType | None = field(name="accessIPv4", default=UNSET)
    access_ip_v6: str | UnsetType | None = field(name="accessIPv6", default=UNSET)
    personality: Annotated[Annotated[list[File], at_most(100)], until("2.56")] = []
    description: Annotated[Description | UnsetType | None, since("2.19")] = UNSET
    key_name: Annotated[KeyName | UnsetType | None, since("2.54")] = UNSET
    user_data: Annotated[UserData | UnsetType | None, since("2.57")] = UNSET
    trusted_image_certificates: Annotated[Certificates | UnsetType | None, since("2.63")] = UNSET
    hostname: Annotated[Hostname | UnsetType, since("2.90")] = UNSET


class Resize(Body, kw_only=True):
    flavor: FlavorId = field(name="flavorRef")
    disk_config: DiskConfig | UnsetType = field(name="OS-DCF:diskConfig", default=UNSET)


class Reboot(Body, kw_only=True):
    type: Annotated[str, Meta(max_length=4, pattern=r"^(?i:soft|hard)\Z")]


class CreateImage(Body, kw_only=True):
    name: Annotated[str, Meta(min_length=1, max_length=255)]
    metadata: Metadata = {}


class Lock(Body, kw_only=True):
    locked_reason: Annotated[Annotated[str, Meta(min_length=1, max_length=255)] | None, since("2.73")] = None


class ChangePassword(Body, kw_only=True):
    password: str = field(name="adminPass")


class ConsoleOutput(Body, kw_only=True):
    length: int | str | None = None


class SecurityGroupName(Body, kw_only=True):
    name: Annotated[str, Meta(min_length=1)]


class ConsoleType(Body, kw_only=True):
    type: str


class ResetState(Body, kw_only=True):
    state: Literal["active", "error"]
