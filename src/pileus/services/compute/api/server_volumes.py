"""Volumes of a server: list, attach, detach, and whether they go with it."""

import re
from typing import Annotated

from msgspec import UNSET, UnsetType

from pileus.kernel.context import Context
from pileus.kernel.db import Tx
from pileus.kernel.errors import ApiError, Conflict, Invalid, NotFound
from pileus.kernel.rest import Body, Query, Response, View, json_response, page_size, since, until
from pileus.kernel.rest.references import SomeServer
from pileus.kernel.rest.schema import trim
from pileus.services.compute.api import rules
from pileus.services.compute.api.base import api, require_unlocked
from pileus.services.compute.api.server_bodies import DeviceTag, SomeVolume
from pileus.services.compute.app import attaching
from pileus.services.compute.model import BlockDevice, Server
from pileus.services.compute.store import servers as store

PATH = "/servers/{server}/os-volume_attachments"


class AttachmentBody(Body, kw_only=True):
    volumeId: SomeVolume
    device: str | None = None
    tag: Annotated[DeviceTag | None, since("2.49")] = None
    delete_on_termination: Annotated[bool | str, since("2.79")] = False


class AttachmentUpdate(Body, kw_only=True):
    volumeId: SomeVolume
    id: Annotated[SomeVolume | UnsetType, since("2.85")] = UNSET
    device: Annotated[str | UnsetType | None, since("2.85")] = UNSET
    serverId: Annotated[SomeServer | UnsetType, since("2.85")] = UNSET
    tag: Annotated[str | UnsetType | None, since("2.85")] = UNSET
    delete_on_termination: Annotated[bool | UnsetType, since("2.85")] = UNSET


class AttachmentView(View, kw_only=True):
    id: Annotated[str | UnsetType, until("2.88")] = UNSET
    serverId: str
    volumeId: str
    device: str
    tag: Annotated[str | None, since("2.70")] = None
    delete_on_termination: Annotated[bool, since("2.79")] = False
    attachment_id: Annotated[str | UnsetType, since("2.89")] = UNSET
    bdm_uuid: Annotated[str | UnsetType, since("2.89")] = UNSET


class AttachmentQuery(Query, kw_only=True):
    strict_since = "2.75"

    limit: int | None = None
    offset: int = 0


def _view(device: BlockDevice) -> AttachmentView:
    return AttachmentView(
        id=device.volume_id,
        serverId=device.server_id,
        volumeId=device.volume_id,
        device=device.device,
        tag=device.tag,
        delete_on_termination=device.delete_on_termination,
        attachment_id=device.attachment_id,
        bdm_uuid=device.id,
    )


def _find(tx: Tx, server: Server, volume_id: str) -> BlockDevice:
    device = store.get_device(tx, server.id, volume_id)
    if device is None:
        raise NotFound(f"Instance {server.id} is not attached to volume {volume_id}.")
    return device


@api.get(PATH, rules.VOLUMES_INDEX, wrap="volumeAttachments")
def list_attachments(tx: Tx, server: Server, query: AttachmentQuery) -> list[AttachmentView]:
    if query.offset < 0 or (query.limit or 0) < 0:
        raise Invalid("limit and offset must be zero or more.")
    devices = store.list_devices(tx, server.id)[query.offset :]
    return [_view(device) for device in devices[: page_size(tx, query.limit)]]


@api.get(PATH + "/{volume}", rules.VOLUMES_SHOW, wrap="volumeAttachment")
def show_attachment(tx: Tx, server: Server, volume: str) -> AttachmentView:
    return _view(_find(tx, server, volume))


@api.post(PATH, rules.VOLUMES_CREATE, wrap="volumeAttachment")
def attach_volume(tx: Tx, ctx: Context, server: Server, body: AttachmentBody) -> Response:
    require_unlocked(ctx, server)
    if body.device is not None and not re.fullmatch(r"(/dev/)?[a-z]{2,3}[a-z0-9]{1,3}", body.device):
        raise Invalid(f"Invalid input for device: '{body.device}' must look like /dev/vdb.")
    doomed = body.delete_on_termination in (True, "true", "True", "1")
    device = attaching.attach(tx, ctx, server, body.volumeId, body.device, body.tag, doomed)
    if ctx.version >= (2, 101):
        return Response(202, media_type=None)
    view = _view(device)
    view.attachment_id = view.bdm_uuid = UNSET
    answer = trim(view, ctx.version)
    answer.id = device.volume_id
    return json_response({"volumeAttachment": answer}, 200)


@api.put(PATH + "/{volume}", rules.VOLUMES_UPDATE, wrap="volumeAttachment", status=202)
def update_attachment(tx: Tx, ctx: Context, server: Server, volume: str, body: AttachmentUpdate) -> None:
    device = _find(tx, server, volume)
    if body.volumeId != volume:
        ctx.require(rules.VOLUMES_SWAP, server)
        raise ApiError(
            "Volumes cannot be exchanged under a running server here: detach one, attach the other.", status=501
        )
    if body.delete_on_termination is UNSET:
        raise Invalid(
            "The volume is the one that is attached already; since 2.85 delete_on_termination can be changed."
        )
    device.delete_on_termination = body.delete_on_termination


@api.delete(PATH + "/{volume}", rules.VOLUMES_DELETE, status=202)
def detach_volume(tx: Tx, ctx: Context, server: Server, volume: str) -> None:
    require_unlocked(ctx, server)
    device = _find(tx, server, volume)
    if device.boot_index == 0:
        raise Conflict(f"Volume {volume} is the root device of instance {server.id}: it cannot be detached.")
    attaching.detach(tx, ctx, server, device)
