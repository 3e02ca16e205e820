"""The host side of block storage: each command becomes one verb of the host's volume driver."""

from collections.abc import Awaitable, Callable, Mapping
from typing import Any

import msgspec

from pileus.kernel.agent import AgentPart, Command, HostContext
from pileus.services.block_storage import commands
from pileus.services.block_storage.drivers.base import Export, Inventory, SnapshotFacts, VolumeDriver, VolumeFacts


class BlockStoragePart(AgentPart):
    """Runs one driver, that is one pool, on one host."""

    service = "block_storage"

    def __init__(self, driver: VolumeDriver) -> None:
        self.driver = driver
        self._host: HostContext | None = None

    @property
    def handles(self) -> Mapping[type[Command[Any]], Callable[[Any], Awaitable[Any]]]:
        return {
            commands.EnsureVolume: self.ensure_volume,
            commands.EnsureVolumeGone: self.ensure_volume_gone,
            commands.EnsureSnapshot: self.ensure_snapshot,
            commands.EnsureSnapshotGone: self.ensure_snapshot_gone,
            commands.ExtendVolume: self.extend,
            commands.RevertVolume: self.revert,
            commands.EnsureExport: self.ensure_export,
            commands.EnsureExportGone: self.ensure_export_gone,
            commands.WriteImage: self.write_image,
            commands.ListInventory: self.list_inventory,
            commands.QuarantineFile: self.quarantine,
        }

    async def start(self, host: HostContext) -> None:
        self._host = host
        await self.driver.start()

    async def facts(self) -> dict[str, Any]:
        capacity = await self.driver.capacity()
        return {
            "driver": self.driver.name,
            "storage_protocol": self.driver.storage_protocol,
            **msgspec.structs.asdict(capacity),
        }

    async def ensure_volume(self, command: commands.EnsureVolume) -> VolumeFacts:
        return await self.driver.ensure_volume(command.volume_id, command.size_gib, command.source)

    async def ensure_volume_gone(self, command: commands.EnsureVolumeGone) -> None:
        await self.driver.ensure_volume_gone(command.volume_id)

    async def ensure_snapshot(self, command: commands.EnsureSnapshot) -> SnapshotFacts:
        return await self.driver.ensure_snapshot(command.snapshot_id, command.volume_id, command.monitor)

    async def ensure_snapshot_gone(self, command: commands.EnsureSnapshotGone) -> None:
        await self.driver.ensure_snapshot_gone(command.snapshot_id)

    async def extend(self, command: commands.ExtendVolume) -> VolumeFacts:
        return await self.driver.extend(command.volume_id, command.size_gib, command.monitor)

    async def revert(self, command: commands.RevertVolume) -> VolumeFacts:
        return await self.driver.revert(command.volume_id, command.snapshot_id)

    async def ensure_export(self, command: commands.EnsureExport) -> Export:
        return await self.driver.ensure_export(command.volume_id, nbd=command.nbd, read_only=command.read_only)

    async def ensure_export_gone(self, command: commands.EnsureExportGone) -> None:
        await self.driver.ensure_export_gone(command.volume_id)

    async def write_image(self, command: commands.WriteImage) -> int:
        if command.snapshot_id is not None:
            return await self.driver.write_image("snapshot", command.snapshot_id, command.path, command.format)
        return await self.driver.write_image("volume", command.volume_id, command.path, command.format, command.monitor)

    async def list_inventory(self, command: commands.ListInventory) -> Inventory:
        return await self.driver.inventory()

    async def quarantine(self, command: commands.QuarantineFile) -> None:
        await self.driver.quarantine(command.kind, command.id)
