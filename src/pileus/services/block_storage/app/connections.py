"""How a volume is reached from where it is used.  One rule: the host that has it says how."""

from typing import Any

from pileus.services.block_storage.commands import EnsureExport, Export, LocalFile
from pileus.services.block_storage.model import Attachment, Volume


def export_for(volume: Volume, connector_host: str | None, mode: str | None) -> EnsureExport:
    """Return the command that makes a volume reachable: as a file on its own host, over NBD from elsewhere."""
    return EnsureExport(volume_id=volume.id, nbd=connector_host != host_of(volume), read_only=mode == "ro")


def host_of(volume: Volume) -> str:
    """Return the name of the host that keeps the volume; empty while it has none."""
    return (volume.host or "").partition("@")[0]


def describe(attachment: Attachment, export: Export) -> dict[str, Any]:
    """Return ``connection_info`` as clients of the attachments API know it: one flat object."""
    found = connection(attachment.volume_id, export)
    return {"driver_volume_type": found["driver_volume_type"], "attachment_id": attachment.id, **found["data"]}


def connection(volume_id: str, export: Export) -> dict[str, Any]:
    """Return ``connection_info`` as os-initialize_connection answers it: a kind and its data."""
    data: dict[str, Any] = {
        "volume_id": volume_id,
        "access_mode": "ro" if export.read_only else "rw",
        "encrypted": False,
        "qos_specs": None,
        "cacheable": False,
    }
    if isinstance(export, LocalFile):
        return {"driver_volume_type": "local", "data": {**data, "device_path": export.path, "format": export.format}}
    return {"driver_volume_type": "nbd", "data": {**data, "server": f"unix:{export.path}", "export": export.export}}
