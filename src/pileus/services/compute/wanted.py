"""What a request asks of a server, resolved to ids: the inputs of its operations.

Rule: plain values, since they are kept in the journal and read again after a crash.
"""

from typing import Literal

import msgspec

from pileus.services.compute.commands import DiskSource


class WantedNic(msgspec.Struct, frozen=True, kw_only=True):
    """A card: on a network, or for a port that is there already."""

    network_id: str
    port_id: str | None = None
    fixed_ip: str | None = None
    tag: str | None = None


class WantedVolume(msgspec.Struct, frozen=True, kw_only=True):
    """A volume: one that is there (``source`` is volume), or one to be made from an image, a snapshot or nothing."""

    source: Literal["volume", "image", "snapshot", "blank"]
    id: str | None = None
    size_gib: int | None = None
    volume_type: str | None = None
    boot_index: int | None = None
    delete_on_termination: bool = False
    device: str
    tag: str | None = None
    attachment_id: str | None = None
    """Of a volume that is there: held since the request."""


class WantedFile(msgspec.Struct, frozen=True, kw_only=True):
    """A file for the config drive; ``contents`` is base64."""

    path: str
    contents: str


class CreateServer(msgspec.Struct, frozen=True, kw_only=True):
    """Input of ``server.create``."""

    server_id: str
    nics: tuple[WantedNic, ...] = ()
    volumes: tuple[WantedVolume, ...] = ()
    group_ids: tuple[str, ...] = ()
    """Security groups of the ports it makes."""
    admin_password: str | None = None
    files: tuple[WantedFile, ...] = ()
    host: str | None = None
    forced: bool = False
    by_admin: bool = False
    """Whether an administrator asked: then private types and images of others may be used."""


class ServerInput(msgspec.Struct, frozen=True, kw_only=True):
    """Input of the verbs that need nothing but the server and its host."""

    server_id: str
    host: str | None


class RebuildServer(msgspec.Struct, frozen=True, kw_only=True):
    """Input of ``server.rebuild``; the server's row holds the new image already, ``was`` its state before."""

    server_id: str
    host: str | None
    was: str
    admin_password: str | None = None
    files: tuple[WantedFile, ...] = ()
    by_admin: bool = False


class ResizeServer(msgspec.Struct, frozen=True, kw_only=True):
    """Input of ``server.resize`` and ``server.migrate``."""

    server_id: str
    host: str
    flavor_id: str
    was: str
    target: str | None = None


class MigrationInput(msgspec.Struct, frozen=True, kw_only=True):
    """Input of ``server.confirm_resize`` and ``server.revert_resize``."""

    server_id: str
    migration_id: int


class VolumeInput(msgspec.Struct, frozen=True, kw_only=True):
    """Input of ``server.attach_volume`` and ``server.detach_volume``."""

    server_id: str
    host: str | None
    volume_id: str
    attachment_id: str
    device_id: str
    source: DiskSource | None = None
    """How the guest has the disk, where it is to be taken out."""

    def part(self) -> str:
        """Return what of the server it changes."""
        return f"volume/{self.volume_id}"


class NicInput(msgspec.Struct, frozen=True, kw_only=True):
    """Input of ``server.attach_interface`` and ``server.detach_interface``."""

    server_id: str
    host: str | None
    port_id: str

    def part(self) -> str:
        """Return what of the server it changes."""
        return f"port/{self.port_id}"


class ImageInput(msgspec.Struct, frozen=True, kw_only=True):
    """Input of ``server.create_image``: the image's row is there, queued."""

    server_id: str
    host: str
    image_id: str
