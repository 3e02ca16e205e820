"""Actions on servers: power, lock, rebuild, resize, image, password, security groups."""

from typing import Any

import msgspec

from pileus.kernel.context import Context
from pileus.kernel.db import Tx
from pileus.kernel.errors import ApiError, Conflict, Invalid
from pileus.kernel.lifecycle import Verb
from pileus.kernel.rest import Extra, Response, json_response
from pileus.kernel.rest.references import SomeHost
from pileus.kernel.rest.schema import trim
from pileus.kernel.runtime import Runtime
from pileus.services.compute import images, lifecycle, ports
from pileus.services.compute.api import rules
from pileus.services.compute.api.base import api, require_unlocked, url
from pileus.services.compute.api.server_bodies import (
    ChangePassword,
    CreateImage,
    Lock,
    Reboot,
    Rebuild,
    ResetState,
    Resize,
    SecurityGroupName,
)
from pileus.services.compute.api.server_views import rebuild_view, server_view
from pileus.services.compute.api.servers import new_password
from pileus.services.compute.app import verbs
from pileus.services.compute.app.create import (
    canonical_addresses,
    check_files,
    check_hostname,
    check_name,
    check_user_data,
)
from pileus.services.compute.limits import claim_per_server
from pileus.services.compute.model import Server
from pileus.services.compute.store import catalog
from pileus.services.compute.store import servers as store
from pileus.services.compute.wanted import ImageInput, WantedFile

PATH = "/servers/{server}/action"
Nothing = Extra | str | None
"""What clients send with an action that takes nothing: null, {} or an empty text."""


def _run(tx: Tx, ctx: Context, server: Server, verb: Verb) -> None:
    require_unlocked(ctx, server)
    verbs.run(tx, ctx, verb, server)


@api.action(PATH, "os-start", rules.START, status=202)
def start(tx: Tx, ctx: Context, server: Server, body: Nothing) -> None:
    _run(tx, ctx, server, lifecycle.START)


@api.action(PATH, "os-stop", rules.STOP, status=202)
def stop(tx: Tx, ctx: Context, server: Server, body: Nothing) -> None:
    _run(tx, ctx, server, lifecycle.STOP)


@api.action(PATH, "reboot", rules.REBOOT, status=202)
def reboot(tx: Tx, ctx: Context, server: Server, body: Reboot) -> None:
    _run(tx, ctx, server, lifecycle.REBOOT_HARD if body.type.lower() == "hard" else lifecycle.REBOOT)


@api.action(PATH, "pause", rules.PAUSE, status=202)
def pause(tx: Tx, ctx: Context, server: Server, body: Nothing) -> None:
    _run(tx, ctx, server, lifecycle.PAUSE)


@api.action(PATH, "unpause", rules.UNPAUSE, status=202)
def unpause(tx: Tx, ctx: Context, server: Server, body: Nothing) -> None:
    _run(tx, ctx, server, lifecycle.UNPAUSE)


@api.action(PATH, "suspend", rules.SUSPEND, status=202)
def suspend(tx: Tx, ctx: Context, server: Server, body: Nothing) -> None:
    _run(tx, ctx, server, lifecycle.SUSPEND)


@api.action(PATH, "resume", rules.RESUME, status=202)
def resume(tx: Tx, ctx: Context, server: Server, body: Nothing) -> None:
    _run(tx, ctx, server, lifecycle.RESUME)


@api.action(PATH, "forceDelete", rules.FORCE_DELETE, status=202)
def force_delete(tx: Tx, ctx: Context, server: Server, body: Nothing) -> None:
    require_unlocked(ctx, server)
    verbs.delete_server(tx, ctx, server)


@api.action(PATH, "lock", rules.LOCK, status=202)
def lock(tx: Tx, ctx: Context, server: Server, body: Lock | None) -> None:
    reason = body.locked_reason if body is not None else None
    owner = "owner" if server.project_id == ctx.project_id else "admin"
    store.touch(server, locked_by=owner, locked_reason=reason)


@api.action(PATH, "unlock", rules.UNLOCK, status=202)
def unlock(tx: Tx, ctx: Context, server: Server, body: Nothing) -> None:
    if server.locked_by == "admin":
        ctx.require(rules.UNLOCK_OVERRIDE, server)
    store.touch(server, locked_by=None, locked_reason=None)


@api.action(PATH, "resize", rules.RESIZE, status=202)
def resize(tx: Tx, ctx: Context, server: Server, body: Resize) -> None:
    require_unlocked(ctx, server)
    verbs.resize_server(tx, ctx, server, str(body.flavor))
    if body.disk_config is not msgspec.UNSET:
        tx.refresh(server)
        store.touch(server, disk_config=body.disk_config)


@api.action(PATH, "confirmResize", rules.CONFIRM_RESIZE, status=204)
def confirm_resize(tx: Tx, ctx: Context, server: Server, body: Nothing) -> None:
    require_unlocked(ctx, server)
    verbs.confirm_resize(tx, ctx, server)


@api.action(PATH, "revertResize", rules.REVERT_RESIZE, status=202)
def revert_resize(tx: Tx, ctx: Context, server: Server, body: Nothing) -> None:
    require_unlocked(ctx, server)
    verbs.revert_resize(tx, ctx, server)


class Migrate(msgspec.Struct, forbid_unknown_fields=True):
    host: SomeHost | None = None


@api.action(PATH, "migrate", rules.MIGRATE, status=202)
def migrate(tx: Tx, ctx: Context, server: Server, body: Migrate | None) -> None:
    require_unlocked(ctx, server)
    host = body.host if body is not None else None
    if host is not None:
        ctx.require(rules.MIGRATE_TO_HOST, server)
    verbs.migrate_server(tx, ctx, server, host)


@api.action(PATH, "rebuild", rules.REBUILD)
def rebuild(tx: Tx, ctx: Context, server: Server, body: Rebuild) -> Response:
    require_unlocked(ctx, server)
    password = body.admin_password or new_password()
    changes = _rebuild_changes(tx, ctx, body)
    files = tuple(WantedFile(path=file.path, contents=file.contents) for file in body.personality)
    check_files(files)
    claim_per_server(tx, ctx.project_id, "injected_files", len(files))
    verbs.rebuild_server(tx, ctx, server, body.image, password, changes, files)
    headers = [("Location", url(ctx, "servers", server.id))]
    if ctx.version < (2, 75):
        return _answer(ctx, rebuild_view(ctx, server, password), headers)
    view = server_view(ctx, server, store.attached(tx, server.id))
    view.adminPass, view.user_data, view.admin_user_data = password, server.user_data, msgspec.UNSET
    return _answer(ctx, view, headers)


def _answer(ctx: Context, view: Any, headers: list[tuple[str, str]]) -> Response:
    return json_response({"server": trim(view, ctx.version)}, 202, headers)


def _rebuild_changes(tx: Tx, ctx: Context, body: Rebuild) -> dict[str, Any]:
    names = {
        "name": "name",
        "metadata": "meta",
        "disk_config": "disk_config",
        "access_ip_v4": "access_ip_v4",
        "access_ip_v6": "access_ip_v6",
        "description": "description",
        "key_name": "key_name",
        "user_data": "user_data",
        "trusted_image_certificates": "trusted_certs",
        "hostname": "hostname",
    }
    sent = {column: getattr(body, name) for name, column in names.items()}
    changes = {column: value for column, value in sent.items() if value is not msgspec.UNSET}
    if "name" in changes:
        check_name(changes["name"], "name")
    check_hostname(ctx, changes.get("hostname"))
    canonical_addresses(changes)
    check_user_data(changes.get("user_data"))
    claim_per_server(tx, ctx.project_id, "metadata_items", len(changes.get("meta", {})))
    if "key_name" in changes:
        key = catalog.get_key_pair(tx, ctx.user_id, changes["key_name"]) if changes["key_name"] else None
        if changes["key_name"] and key is None:
            raise Invalid(f"Invalid key_name provided: you have no key pair '{changes['key_name']}'.")
        changes["public_key"] = key.public_key if key else None
    return changes


@api.action(PATH, "createImage", rules.CREATE_IMAGE)
def create_image(tx: Tx, ctx: Context, server: Server, body: CreateImage, runtime: Runtime) -> Response:
    require_unlocked(ctx, server)
    check_name(body.name, "name")
    claim_per_server(tx, ctx.project_id, "metadata_items", len(body.metadata))
    if server.image_id is None:
        raise Conflict(
            f"Instance {server.id} is booted from a volume: upload the volume to an image, or take its snapshot."
        )
    kept = {name: str(value) for name, value in server.image.get("properties", {}).items()}
    own = {"image_type": "snapshot", "instance_uuid": server.id, "base_image_ref": server.image_id}
    image_id = images.create(
        tx,
        ctx,
        runtime,
        name=body.name,
        disk_format="qcow2",
        min_disk=server.flavor["disk"],
        properties={**kept, **own, **body.metadata},
    )
    given = ImageInput(server_id=server.id, host=server.host or "", image_id=image_id)
    verbs.run(tx, ctx, lifecycle.CREATE_IMAGE, server, given)
    if ctx.version >= (2, 45):
        return json_response({"image_id": image_id}, 202)
    return Response(202, headers=[("Location", f"{ctx.base_url}/image/v2/images/{image_id}")], media_type=None)


@api.action(PATH, "changePassword", rules.ADMIN_PASSWORD, status=202)
def change_password(tx: Tx, ctx: Context, server: Server, body: ChangePassword) -> None:
    require_unlocked(ctx, server)
    if server.vm_state != lifecycle.ACTIVE:
        raise Conflict(f"Cannot 'changePassword' instance {server.id} while it is in vm_state {server.vm_state}.")
    raise ApiError(
        "Unable to set password on instance: no guest agent is asked for by this cloud's guests. Log in with your key.",
        status=501,
    )


@api.action(PATH, "os-resetState", rules.RESET_STATE, status=202)
def reset_state(tx: Tx, ctx: Context, server: Server, body: ResetState) -> None:
    if server.task_state is not None:
        raise Conflict(
            f"Instance {server.id} is {server.task_state}: its operation will end by itself, well or badly; "
            "reset the state afterwards if it is still wrong."
        )
    store.touch(server, vm_state=body.state)


@api.action(PATH, "addSecurityGroup", rules.SECURITY_GROUPS_ADD, status=202)
def add_security_group(tx: Tx, ctx: Context, server: Server, body: SecurityGroupName) -> None:
    ports.add_security_group(tx, ctx, server, body.name)


@api.action(PATH, "removeSecurityGroup", rules.SECURITY_GROUPS_REMOVE, status=202)
def remove_security_group(tx: Tx, ctx: Context, server: Server, body: SecurityGroupName) -> None:
    ports.remove_security_group(tx, ctx, server, body.name)


def _unsupported(action: str, rule: Any, why: str) -> None:
    @api.action(PATH, action, rule)
    def refuse(tx: Tx, ctx: Context, server: Server, body: Any) -> None:
        raise ApiError(f"'{action}' is not possible: {why}", status=501)


@api.action(PATH, "restore", rules.RESTORE)
def restore(tx: Tx, ctx: Context, server: Server, body: Nothing) -> None:
    raise Conflict(
        f"Cannot 'restore' instance {server.id} while it is in vm_state {server.vm_state}: only servers whose "
        "deletion was deferred can be restored, and this cloud deletes at once."
    )


_unsupported("rescue", rules.RESCUE, "this cloud has no rescue mode yet; attach the disk's snapshot to another server.")
_unsupported("unrescue", rules.UNRESCUE, "this cloud has no rescue mode yet, so no server is in it.")
_unsupported("os-migrateLive", rules.LIVE_MIGRATE, "guests cannot be moved while they run yet; migrate them stopped.")
_unsupported("shelve", rules.SHELVE, "servers cannot be shelved yet; create an image and delete the server.")
_unsupported("unshelve", rules.UNSHELVE, "servers cannot be shelved yet, so none can be brought back.")
_unsupported("createBackup", rules.BACKUP, "there is no rotation of backups yet; use createImage.")
