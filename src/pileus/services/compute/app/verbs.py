"""Beginning a server's verbs: the state is checked and the operation begun in the request's transaction."""

from typing import Any

import msgspec

from pileus.kernel import quota
from pileus.kernel.context import Context
from pileus.kernel.db import Tx
from pileus.kernel.errors import Conflict, Invalid
from pileus.kernel.lifecycle import Verb
from pileus.kernel.operations import begin
from pileus.kernel.rest.references import referred
from pileus.services.compute import images
from pileus.services.compute.app.create import usable_flavor
from pileus.services.compute.lifecycle import (
    CONFIRM_RESIZE,
    DELETE,
    MIGRATE,
    REBUILD,
    RESIZE,
    REVERT_RESIZE,
    SERVER,
    claim,
)
from pileus.services.compute.limits import LIMITS
from pileus.services.compute.local_disks import keeps_data
from pileus.services.compute.model import Migration, Server
from pileus.services.compute.store import hosts
from pileus.services.compute.store import servers as store
from pileus.services.compute.wanted import MigrationInput, RebuildServer, ResizeServer, ServerInput, WantedFile


def run(tx: Tx, ctx: Context, verb: Verb, server: Server, input: msgspec.Struct | None = None) -> str:
    """Begin a verb on a server; return the operation's id.  Raises Conflict when it may not begin now."""
    require_built(server, verb)
    claim(tx, verb, server)
    given = input or ServerInput(server_id=server.id, host=server.host)
    return begin(tx, ctx, f"server.{verb.name}", store.resource_of(server.id), given)


def require_built(server: Server, verb: Verb) -> None:
    """Raise Conflict for a server that has never been on a host."""
    if server.host is None:
        raise Conflict(f"Cannot '{verb.name}' instance {server.id}: it was never built (state {server.vm_state}).")


def delete_server(tx: Tx, ctx: Context, server: Server) -> None:
    """Begin to delete a server in whatever state; what is at work on it is undone or awaited first."""
    if server.task_state == DELETE.label:
        return
    SERVER.change(tx, server.id, None, {"task_state": DELETE.label})
    given = ServerInput(server_id=server.id, host=server.host)
    begin(tx, ctx, "server.delete", store.resource_of(server.id), given, supersede=True)


def rebuild_server(
    tx: Tx,
    ctx: Context,
    server: Server,
    image_id: str,
    admin_password: str,
    changes: dict[str, Any],
    files: tuple[WantedFile, ...] = (),
) -> None:
    """Begin to rebuild a server from an image, with further columns changed."""
    image = images.usable(referred(tx, "image", image_id))
    if server.image_id is None:
        raise Invalid("Unable to rebuild with a different image for a volume-backed server.")
    flavor = server.flavor
    if image.min_ram > flavor["ram"] or (flavor["disk"] and image.min_disk > flavor["disk"]):
        raise Invalid(f"Flavor's memory or disk is too small for requested image {image.id}.")
    was = server.vm_state
    given = RebuildServer(
        server_id=server.id,
        host=server.host,
        was=was,
        admin_password=admin_password,
        files=files,
        by_admin=ctx.is_admin,
    )
    run(tx, ctx, REBUILD, server, given)
    tx.refresh(server)
    store.touch(server, image_id=image.id, image=images.copy_of(image), **changes)
    tx.flush()


def resize_server(tx: Tx, ctx: Context, server: Server, flavor_id: str) -> None:
    """Begin to give a server another size; until that is confirmed, the quota counts the larger of both."""
    flavor = usable_flavor(tx, flavor_id)
    if flavor.id == server.flavor_id:
        raise Invalid("When resizing, instances must change flavor!")
    if server.image_id is not None and flavor.disk_gib < server.flavor["disk"]:
        raise Invalid(
            f"Flavor {flavor.name} has a smaller disk ({flavor.disk_gib} GB) than the server "
            f"({server.flavor['disk']} GB): a root disk cannot shrink."
        )
    if flavor.ephemeral_gib < server.flavor["ephemeral"]:
        raise Invalid(
            f"Flavor {flavor.name} has a smaller ephemeral disk ({flavor.ephemeral_gib} GB) than the server "
            f"({server.flavor['ephemeral']} GB): a disk cannot shrink."
        )
    more = {"cores": flavor.vcpus - server.vcpus, "ram": flavor.memory_mb - server.memory_mb}
    quota.claim(tx, server.project_id, LIMITS, {name: amount for name, amount in more.items() if amount > 0})
    require_built(server, RESIZE)
    given = ResizeServer(server_id=server.id, host=str(server.host), flavor_id=flavor.id, was=server.vm_state)
    run(tx, ctx, RESIZE, server, given)
    tx.refresh(server)
    server.quota_vcpus = max(server.vcpus, flavor.vcpus)
    server.quota_memory_mb = max(server.memory_mb, flavor.memory_mb)
    tx.flush()


def migrate_server(tx: Tx, ctx: Context, server: Server, target: str | None) -> None:
    """Begin to move a server to another host, stopped."""
    require_built(server, MIGRATE)
    if keeps_data(server):
        raise Conflict(
            f"Instance {server.id} has a disk on host {server.host}, which cannot be moved yet: only servers booted "
            "from a volume, without an ephemeral disk, can be migrated."
        )
    if target is not None and hosts.get_host(tx, target) is None:
        raise Invalid(f"Compute host {target} could not be found.")
    given = ResizeServer(
        server_id=server.id, host=str(server.host), flavor_id=server.flavor_id, was=server.vm_state, target=target
    )
    claim(tx, MIGRATE, server)
    begin(tx, ctx, "server.resize", store.resource_of(server.id), given)


def _finished(tx: Tx, server: Server) -> Migration:
    migration = store.get_migration(tx, server.id, "finished")
    if migration is None:
        raise Conflict(f"Instance {server.id} has no resize to confirm or revert.")
    return migration


def confirm_resize(tx: Tx, ctx: Context, server: Server) -> None:
    """Begin to give up the way back from a resize."""
    migration = _finished(tx, server)
    run(tx, ctx, CONFIRM_RESIZE, server, MigrationInput(server_id=server.id, migration_id=migration.id))


def revert_resize(tx: Tx, ctx: Context, server: Server) -> None:
    """Begin to go back from a resize."""
    migration = _finished(tx, server)
    run(tx, ctx, REVERT_RESIZE, server, MigrationInput(server_id=server.id, migration_id=migration.id))
