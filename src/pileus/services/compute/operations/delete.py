"""Deleting a server in whatever state it is.  Rule: what cannot be reached now is settled when its host is back."""

import msgspec

from pileus.kernel import clock
from pileus.kernel.agent import hosts as kernel_hosts
from pileus.kernel.db import Tx
from pileus.kernel.operations import Operation, operation
from pileus.services.compute import inventory, ports, volumes
from pileus.services.compute.acting import acting
from pileus.services.compute.commands import EnsureGuestGone
from pileus.services.compute.ending import changed, fail
from pileus.services.compute.lifecycle import DELETE, DELETED
from pileus.services.compute.store import servers as store
from pileus.services.compute.wanted import ServerInput


class Remains(msgspec.Struct, frozen=True, kw_only=True):
    """What is left of a server: on which hosts, with which attachments."""

    hosts: tuple[str, ...] = ()
    attachments: tuple[str, ...] = ()


def delete_failed(tx: Tx, input: ServerInput, reason: str) -> None:
    """The server is still there: its owner may try again."""
    fail(tx, DELETE, input.server_id, reason, broken=True)


@operation("server.delete", input=ServerInput, deadline_s=600, cancellable=False, on_failure=delete_failed, queues=True)
async def delete_server(op: Operation, input: ServerInput) -> None:
    """Remove the guest, then everything the server had."""
    remains = await op.commit("find", find_remains, input.server_id)
    for host in remains.hosts:
        await op.command(f"guest on {host}", host, EnsureGuestGone(guest_id=input.server_id))
    if remains.hosts:
        for number, attachment_id in enumerate(remains.attachments):
            await volumes.disconnect(op, attachment_id, name=f"volume {number}")
    await op.finish(forget, input.server_id)


def find_remains(tx: Tx, server_id: str) -> Remains:
    """Return what has to be removed; hosts that are down are left to the reconciler."""
    server = store.get_server(tx, server_id)
    if server is None:
        return Remains()
    alive = set(kernel_hosts.running(tx, "compute"))
    migration = store.get_migration(tx, server_id, "finished")
    hosts = {server.host, migration.source_host if migration else None}
    return Remains(
        hosts=tuple(sorted(host for host in hosts if host in alive)),
        attachments=tuple(device.attachment_id for device in store.list_devices(tx, server_id)),
    )


def forget(tx: Tx, server_id: str) -> None:
    """Give back ports, volumes and room; the row stays, marked deleted."""
    server = store.get_server(tx, server_id)
    if server is None or server.deleted_at is not None:
        return
    for device in store.list_devices(tx, server_id):
        volumes.release(tx, device.attachment_id)
        if device.delete_on_termination:
            volumes.delete(tx, acting(server), device.volume_id)
    store.delete_devices(tx, server_id)
    ports.unplug_all(tx, server)
    inventory.release(tx, server_id)
    migration = store.get_migration(tx, server_id, "finished")
    if migration is not None:
        inventory.release(tx, migration.uuid)
        migration.status = "confirmed"
    store.forget_console_tokens(tx, server_id)
    now = clock.now()
    store.touch(server, vm_state=DELETED, task_state=None, power_state=0, deleted_at=now, terminated_at=now)
    tx.flush()
    changed(tx, server_id, "delete")
