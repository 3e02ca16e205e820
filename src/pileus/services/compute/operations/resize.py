"""Another size, or another host: begun by resize or migrate, ended by confirm or revert.

Rule: until one of the two has come, the room for going back stays allocated, under the migration's id.
"""

from typing import Any

import msgspec

from pileus.kernel import clock, ids
from pileus.kernel.db import Tx
from pileus.kernel.errors import Conflict, NotFound
from pileus.kernel.operations import Operation, operation
from pileus.services.compute import inventory, ports
from pileus.services.compute.commands import EnsureGuestGone, PowerGuestOff
from pileus.services.compute.ending import fail, finish
from pileus.services.compute.guests import GuestPlan, flavor_copy, plan_guest
from pileus.services.compute.lifecycle import ACTIVE, CONFIRM_RESIZE, RESIZE, REVERT_RESIZE, STOPPED
from pileus.services.compute.local_disks import keeps_data
from pileus.services.compute.model import RUNNING, SHUT_DOWN, Migration, Server
from pileus.services.compute.operations.candidates import best_host
from pileus.services.compute.operations.placing import allocate, demand_of, resources_of
from pileus.services.compute.operations.power import SOFT_TIMEOUT_S
from pileus.services.compute.operations.reviving import restore, revive
from pileus.services.compute.store import catalog
from pileus.services.compute.store import servers as store
from pileus.services.compute.wanted import MigrationInput, ResizeServer


class Move(msgspec.Struct, frozen=True, kw_only=True):
    """Where the server goes, and whether it is to run there."""

    target: str
    running: bool


def resize_failed(tx: Tx, input: ResizeServer, reason: str) -> None:
    """The server is as it was."""
    count_as_it_is(tx, input.server_id)
    fail(tx, RESIZE, input.server_id, reason)


@operation("server.resize", input=ResizeServer, deadline_s=900, on_failure=resize_failed, queues=True)
async def resize_server(op: Operation, input: ResizeServer) -> None:
    """Stop the guest and make it anew in its new size, here or on another host.

    The old guest is made whole again last, when the rows have its old size and host.
    """
    await op.compensate("old guest", make_whole, op, input)
    move = await op.commit("place", place_again, input, undo=put_back)
    await op.command("stop", input.host, PowerGuestOff(guest_id=input.server_id, timeout_s=SOFT_TIMEOUT_S))
    plan = await op.commit("carry", carry, input.server_id, undo=carry_back)
    await revive(op, plan, running=move.running, removable=move.target != input.host)
    await op.finish(resized, input.server_id, move.running)


async def make_whole(op: Operation, input: ResizeServer) -> None:
    """Make the guest on its old host as the rows say again: its ports, its size, and whether it runs."""
    if "place" not in op.journal.steps:
        return
    plan = await op.db.read(plan_guest, input.server_id)
    await restore(op, plan, running=input.was == ACTIVE)


def place_again(tx: Tx, input: ResizeServer) -> Move:
    """Choose a host for the new size, hold the old room for the way back, and write the new size down."""
    server = _get(tx, input.server_id)
    new = catalog.get_flavor(tx, input.flavor_id)
    if new is None:
        raise NotFound(f"Flavor {input.flavor_id} could not be found: it was deleted meanwhile.")
    flavor, old = flavor_copy(new), server.flavor
    local_root = server.image_id is not None
    now = clock.now()
    migration = Migration(
        uuid=ids.new_id(),
        server_id=server.id,
        project_id=server.project_id,
        user_id=server.user_id,
        type="resize" if old["id"] != flavor["id"] else "migration",
        status="finished",
        source_host=input.host,
        old_flavor=old,
        new_flavor=flavor,
        was=input.was,
        created_at=now,
        updated_at=now,
    )
    inventory.release(tx, server.id)
    allocate(tx, migration.uuid, input.host, resources_of(old, local_root=local_root), server)
    stays = input.host if keeps_data(server) else None
    demand = demand_of(tx, server, flavor, host=input.target or stays)
    target = best_host(tx, demand).name
    allocate(tx, server.id, target, demand.resources, server)
    migration.target_host = target
    tx.add(migration)
    _become(server, flavor, target)
    tx.flush()
    return Move(target=target, running=input.was == ACTIVE)


def carry(tx: Tx, server_id: str) -> GuestPlan:
    """Let the new host carry the ports, now that the old guest needs them no more."""
    return plan_guest(tx, server_id, bind=True)


def _become(server: Server, flavor: dict[str, Any], host: str) -> None:
    grown = max(int(server.image.get("root_gib", 0)), server.flavor["disk"], flavor["disk"])
    store.touch(
        server,
        flavor=flavor,
        flavor_id=flavor["id"],
        vcpus=flavor["vcpus"],
        memory_mb=flavor["ram"],
        host=host,
        image={**server.image, "root_gib": grown},
    )


def carry_back(tx: Tx, server_id: str) -> None:
    """Let the old host carry the ports."""
    migration = store.get_migration(tx, server_id, "finished")
    if migration is not None:
        ports.carry(tx, store.port_ids(tx, server_id), migration.source_host)


def put_back(tx: Tx, input: ResizeServer) -> None:
    """Take ``place_again`` back."""
    migration = store.get_migration(tx, input.server_id, "finished")
    if migration is not None:
        go_back(tx, _get(tx, input.server_id), migration, "error")


def go_back(tx: Tx, server: Server, migration: Migration, status: str) -> None:
    """Give the server its old size and its old room again."""
    inventory.release(tx, server.id)
    inventory.release(tx, migration.uuid)
    old, host = migration.old_flavor, migration.source_host
    allocate(tx, server.id, host, resources_of(old, local_root=server.image_id is not None), server)
    _become(server, old, host)
    migration.status, migration.updated_at = status, clock.now()
    tx.flush()


def resized(tx: Tx, server_id: str, running: bool) -> None:
    """The server waits for its owner to confirm."""
    finish(tx, RESIZE, server_id, power_state=RUNNING if running else SHUT_DOWN)


def confirm_failed(tx: Tx, input: MigrationInput, reason: str) -> None:
    """It may be tried again."""
    fail(tx, CONFIRM_RESIZE, input.server_id, reason)


@operation("server.confirm_resize", input=MigrationInput, deadline_s=300, on_failure=confirm_failed, queues=True)
async def confirm_resize(op: Operation, input: MigrationInput) -> None:
    """Give up the way back."""
    left = await op.commit("find", find_left, input)
    if left is not None:
        await op.command("old guest", left, EnsureGuestGone(guest_id=input.server_id))
    await op.finish(confirmed, input)


def find_left(tx: Tx, input: MigrationInput) -> str | None:
    """Return the host the server has left, None when it stayed."""
    migration = _migration(tx, input)
    return migration.source_host if migration.source_host != migration.target_host else None


def confirmed(tx: Tx, input: MigrationInput) -> None:
    """The new size holds."""
    server, migration = _get(tx, input.server_id), _migration(tx, input)
    inventory.release(tx, migration.uuid)
    migration.status, migration.updated_at = "confirmed", clock.now()
    state = ACTIVE if server.power_state == RUNNING else STOPPED
    count_as_it_is(tx, server.id)
    finish(tx, CONFIRM_RESIZE, server.id, vm_state=state)


def revert_failed(tx: Tx, input: MigrationInput, reason: str) -> None:
    """The server is in error: neither size may be whole."""
    count_as_it_is(tx, input.server_id)
    fail(tx, REVERT_RESIZE, input.server_id, reason, broken=True)


class WayBack(msgspec.Struct, frozen=True, kw_only=True):
    """The guest as it was, and where it is now."""

    plan: GuestPlan
    left: str
    running: bool


@operation("server.revert_resize", input=MigrationInput, deadline_s=900, on_failure=revert_failed, queues=True)
async def revert_resize(op: Operation, input: MigrationInput) -> None:
    """Stop the guest and make it anew in its old size, where it was."""
    here = await op.commit("find", find_target, input)
    await op.command("stop", here, PowerGuestOff(guest_id=input.server_id, timeout_s=SOFT_TIMEOUT_S))
    back = await op.commit("back", turn_back, input)
    if back.plan.host != here:
        await op.command("new guest", here, EnsureGuestGone(guest_id=input.server_id))
    await revive(op, back.plan, running=back.running)
    await op.finish(reverted, input.server_id, back.running)


def find_target(tx: Tx, input: MigrationInput) -> str:
    """Return the host the server is on now."""
    return str(_migration(tx, input).target_host)


def turn_back(tx: Tx, input: MigrationInput) -> WayBack:
    """Write the old size down again."""
    server, migration = _get(tx, input.server_id), _migration(tx, input)
    go_back(tx, server, migration, "reverted")
    return WayBack(
        plan=plan_guest(tx, server.id, bind=True), left=str(migration.target_host), running=migration.was == ACTIVE
    )


def reverted(tx: Tx, server_id: str, running: bool) -> None:
    """The server is as it was before the resize."""
    state, power = (ACTIVE, RUNNING) if running else (STOPPED, SHUT_DOWN)
    count_as_it_is(tx, server_id)
    finish(tx, REVERT_RESIZE, server_id, vm_state=state, power_state=power)


def count_as_it_is(tx: Tx, server_id: str) -> None:
    """Have the quota count a server whose resize is over by its size, whatever it is at by now."""
    server = _get(tx, server_id)
    server.quota_vcpus, server.quota_memory_mb = server.vcpus, server.memory_mb
    tx.flush()


def _get(tx: Tx, server_id: str) -> Server:
    server = store.get_server(tx, server_id)
    if server is None:
        raise NotFound(f"Instance {server_id} could not be found.")
    return server


def _migration(tx: Tx, input: MigrationInput) -> Migration:
    migration = tx.get(Migration, input.migration_id)
    if migration is None:
        raise Conflict(f"Instance {input.server_id} has no resize to confirm or revert.")
    return migration
