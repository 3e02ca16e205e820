"""The host side of compute: each command becomes one verb of the host's hypervisor.

One rule: the host decides nothing; a guest that changes by itself is only told of, on the topic `GUEST_CHANGED`.
"""

import asyncio
from collections.abc import Mapping
from typing import Any

import msgspec

from pileus.kernel.agent import AgentPart, Command, Handler, HostContext
from pileus.kernel.service import AgentSettings
from pileus.services.compute import commands
from pileus.services.compute.commands import ConsoleAddress, GuestEvent, GuestFacts, Power
from pileus.services.compute.drivers.base import Hypervisor
from pileus.services.compute.drivers.fake import FakeHypervisor

GUEST_CHANGED = "compute.guest.changed"
"""Topic on which a host tells that a guest stopped by itself: a dict of host, guest_id, power, reason."""

SHUT_DOWN_S = 20.0
"""How long guests may take to shut down with their host."""


class ComputePart(AgentPart):
    """Runs one hypervisor on one host."""

    service = "compute"

    def __init__(self, driver: Hypervisor) -> None:
        self.driver = driver
        self._host: HostContext | None = None

    @property
    def handles(self) -> Mapping[type[Command[Any]], Handler]:
        return {
            commands.EnsureGuest: self.ensure_guest,
            commands.EnsureGuestGone: self.ensure_guest_gone,
            commands.PowerGuestOn: self.power_on,
            commands.PowerGuestOff: self.power_off,
            commands.RebootGuest: self.reboot,
            commands.PauseGuest: self.pause,
            commands.ResumeGuest: self.resume,
            commands.SuspendGuest: self.suspend,
            commands.EnsureDiskAttached: self.ensure_disk_attached,
            commands.EnsureDiskDetached: self.ensure_disk_detached,
            commands.EnsureNicAttached: self.ensure_nic_attached,
            commands.EnsureNicDetached: self.ensure_nic_detached,
            commands.ShowDiskSize: self.resize_disk,
            commands.SnapshotGuestDisk: self.snapshot_disk,
            commands.ReadConsoleLog: self.console_log,
            commands.FindConsole: self.console_address,
            commands.TakeScreenshot: self.screenshot,
            commands.ListGuests: self.list_guests,
        }

    async def start(self, host: HostContext) -> None:
        self._host = host
        await self.driver.start(self._tell)

    async def stop(self) -> None:
        await self.driver.close()

    async def clear(self, *, purge: bool) -> None:
        await self.driver.start(self._tell)
        try:
            if purge:
                await self.driver.ensure_all_gone()
            else:
                running = [guest.id for guest in await self.driver.guests() if guest.power is Power.RUNNING]
                await asyncio.gather(*(self.driver.power_off(guest_id, SHUT_DOWN_S) for guest_id in running))
        finally:
            await self.driver.close()

    async def facts(self) -> dict[str, Any]:
        return msgspec.to_builtins(await self.driver.facts())

    def _tell(self, event: GuestEvent) -> None:
        if self._host:
            self._host.publish(GUEST_CHANGED, msgspec.to_builtins(event) | {"host": self._host.name})

    async def ensure_guest(self, command: commands.EnsureGuest) -> GuestFacts:
        return await self.driver.ensure_guest(command.spec, running=command.running)

    async def ensure_guest_gone(self, command: commands.EnsureGuestGone) -> None:
        await self.driver.ensure_guest_gone(command.guest_id)

    async def power_on(self, command: commands.PowerGuestOn) -> GuestFacts:
        return await self.driver.power_on(command.guest_id)

    async def power_off(self, command: commands.PowerGuestOff) -> GuestFacts:
        return await self.driver.power_off(command.guest_id, command.timeout_s)

    async def reboot(self, command: commands.RebootGuest) -> GuestFacts:
        return await self.driver.reboot(command.guest_id, hard=command.hard, timeout_s=command.timeout_s)

    async def pause(self, command: commands.PauseGuest) -> GuestFacts:
        return await self.driver.pause(command.guest_id)

    async def resume(self, command: commands.ResumeGuest) -> GuestFacts:
        return await self.driver.resume(command.guest_id)

    async def suspend(self, command: commands.SuspendGuest) -> GuestFacts:
        return await self.driver.suspend(command.guest_id)

    async def ensure_disk_attached(self, command: commands.EnsureDiskAttached) -> str | None:
        await self.driver.ensure_disk_attached(command.guest_id, command.disk)
        return (await self.driver.guest(command.guest_id)).storage_monitor

    async def ensure_disk_detached(self, command: commands.EnsureDiskDetached) -> None:
        await self.driver.ensure_disk_detached(command.guest_id, command.disk_id, command.timeout_s)

    async def ensure_nic_attached(self, command: commands.EnsureNicAttached) -> None:
        await self.driver.ensure_nic_attached(command.guest_id, command.nic)

    async def ensure_nic_detached(self, command: commands.EnsureNicDetached) -> None:
        await self.driver.ensure_nic_detached(command.guest_id, command.port_id, command.timeout_s)

    async def resize_disk(self, command: commands.ShowDiskSize) -> None:
        await self.driver.resize_disk(command.guest_id, command.disk_id, command.size_bytes)

    async def snapshot_disk(self, command: commands.SnapshotGuestDisk) -> int:
        return await self.driver.snapshot_disk(command.guest_id, command.disk_id, command.path)

    async def console_log(self, command: commands.ReadConsoleLog) -> str:
        return await self.driver.console_log(command.guest_id, command.lines)

    async def console_address(self, command: commands.FindConsole) -> ConsoleAddress:
        return await self.driver.console_address(command.guest_id)

    async def screenshot(self, command: commands.TakeScreenshot) -> bytes:
        return await self.driver.screenshot(command.guest_id)

    async def list_guests(self, command: commands.ListGuests) -> list[GuestFacts]:
        return list(await self.driver.guests())


def compute_part(settings: AgentSettings) -> ComputePart:
    """Make a host's part with the driver that its settings name."""
    folder = settings.folder("compute")
    if settings.fake:
        return ComputePart(FakeHypervisor(folder / f"guests-{settings.host}.json"))
    # Imported where it is needed: a fake cloud runs where nothing of QEMU's is.
    from pileus.services.compute.drivers.qemu import QemuHypervisor

    return ComputePart(QemuHypervisor(folder))
