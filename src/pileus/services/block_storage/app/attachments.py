"""Who holds a volume.  One rule: a volume's status follows from its attachments, here and nowhere else.

A hold that Compute has made is Compute's to change and to end: every verb here refuses it with 409, as Cinder does
since OSSA-2023-003, unless the caller is Compute (``managed=True``, which only ``public.py`` says).
"""

from typing import Any

from pileus.kernel import clock, events, ids
from pileus.kernel.db import Tx
from pileus.kernel.errors import Conflict, Invalid
from pileus.services.block_storage import model
from pileus.services.block_storage.model import Attachment, Volume
from pileus.services.block_storage.store import volumes

MODES = ("rw", "ro")


def reserve(
    tx: Tx,
    volume: Volume,
    *,
    server_id: str | None,
    mode: str | None = None,
    device: str | None = None,
    managed: bool = False,
) -> Attachment:
    """Hold an available volume for a server (a multiattach one also while others use it)."""
    shared = volume.multiattach and volume.status in (model.IN_USE, model.RESERVED, model.ATTACHING)
    if volume.status != model.AVAILABLE and not shared:
        raise Invalid(
            f"Invalid volume: Volume {volume.id} status must be available or downloading to reserve, but the current "
            f"status is {volume.status}."
        )
    held = volumes.attachments_of(tx, [volume.id]).get(volume.id, [])
    if server_id is not None and any(other.server_id == server_id for other in held):
        raise Invalid(f"Invalid volume: volume {volume.id} is already attached to server {server_id}.")
    attachment = Attachment(
        id=ids.new_id(),
        volume_id=volume.id,
        project_id=volume.project_id,
        server_id=server_id,
        status=model.RESERVED,
        mode=_mode(volume, mode) if mode else None,
        host_name=None,
        device=device,
        connector=None,
        connection_info=None,
        managed=managed,
        attached_at=None,
        created_at=clock.now(),
    )
    tx.add(attachment)
    _follow(volume, model.IN_USE if volume.status == model.IN_USE else model.RESERVED)
    return attachment


def connect(
    attachment: Attachment,
    volume: Volume,
    connector: dict[str, Any],
    connection: dict[str, Any],
    mode: str | None = None,
    *,
    managed: bool = False,
) -> None:
    """Note from where the volume is used and how it is reached there."""
    _refuse(attachment, managed)
    attachment.connector = connector
    attachment.connection_info = connection
    attachment.mode = _mode(volume, mode or attachment.mode or connector.get("mode"))
    attachment.host_name = connector.get("host")
    attachment.device = attachment.device or connector.get("mountpoint")
    attachment.status = model.ATTACHING
    if volume.status != model.IN_USE:
        _follow(volume, model.ATTACHING)


def complete(
    tx: Tx, attachment: Attachment, volume: Volume, device: str | None = None, *, managed: bool = False
) -> None:
    """Note that the server has the volume now."""
    _refuse(attachment, managed)
    if attachment.status == model.ATTACHED:
        return
    attachment.status = model.ATTACHED
    attachment.device = device or attachment.device
    attachment.attached_at = clock.now()
    _follow(volume, model.IN_USE)
    events.emit(tx, "block_storage.volume.updated", volume.id, project_id=volume.project_id)


def release(tx: Tx, attachment: Attachment, volume: Volume, *, force: bool = False, managed: bool = False) -> None:
    """End a hold; the volume is available again when it was the last, with ``force`` whatever its status was."""
    _refuse(attachment, managed)
    tx.delete(attachment)
    rest = [a for a in volumes.attachments_of(tx, [volume.id]).get(volume.id, []) if a.id != attachment.id]
    if any(other.status == model.ATTACHED for other in rest):
        _follow(volume, model.IN_USE)
    elif rest:
        _follow(volume, model.ATTACHING if any(o.status == model.ATTACHING for o in rest) else model.RESERVED)
    elif force or volume.status in (model.IN_USE, model.RESERVED, model.ATTACHING, model.DETACHING):
        _follow(volume, model.AVAILABLE)
    events.emit(tx, "block_storage.volume.updated", volume.id, project_id=volume.project_id)


def refuse_if_held(tx: Tx, volume: Volume) -> None:
    """Raise Conflict when Compute holds the volume: what a hold of Compute's relies on stays as it is."""
    for attachment in volumes.attachments_of(tx, [volume.id]).get(volume.id, []):
        _refuse(attachment, managed=False)


def refuse_if_managed(attachment: Attachment) -> None:
    """Raise Conflict when ending the hold is Compute's business: asked before a host is told anything."""
    _refuse(attachment, managed=False)


def _refuse(attachment: Attachment, managed: bool) -> None:
    if attachment.managed and not managed and attachment.server_id is not None:
        raise Conflict(
            f"Detach volume {attachment.volume_id} from instance {attachment.server_id} using the Compute API: the "
            "server uses it."
        )


def attach(
    tx: Tx,
    volume: Volume,
    *,
    server_id: str | None,
    host_name: str | None,
    device: str | None,
    mode: str | None,
) -> Attachment:
    """Record an attachment in one step, as clients of the first attach call do after os-reserve."""
    allowed = {model.AVAILABLE, model.ATTACHING, model.RESERVED} | ({model.IN_USE} if volume.multiattach else set())
    if volume.status not in allowed:
        raise Invalid(
            f"Invalid volume: Volume {volume.id} is {volume.status}; to be attached it must be available or attaching."
        )
    attachment = Attachment(
        id=ids.new_id(),
        volume_id=volume.id,
        project_id=volume.project_id,
        server_id=server_id,
        status=model.ATTACHED,
        mode=_mode(volume, mode),
        host_name=host_name,
        device=device,
        connector=None,
        connection_info=None,
        managed=False,
        attached_at=clock.now(),
        created_at=clock.now(),
    )
    tx.add(attachment)
    _follow(volume, model.IN_USE)
    events.emit(tx, "block_storage.volume.updated", volume.id, project_id=volume.project_id)
    return attachment


def detach(tx: Tx, volume: Volume, attachment_id: str | None, *, force: bool = False) -> None:
    """End the hold that is named, or the only one; a volume that nothing holds is available, as Cinder has it."""
    attachment = _find(tx, volume, attachment_id)
    if attachment is not None:
        release(tx, attachment, volume, force=force)
    elif force or volume.status in (model.IN_USE, model.RESERVED, model.ATTACHING, model.DETACHING):
        _follow(volume, model.AVAILABLE)


def _find(tx: Tx, volume: Volume, attachment_id: str | None) -> Attachment | None:
    held = list(volumes.attachments_of(tx, [volume.id]).get(volume.id, []))
    if attachment_id is not None:
        held = [attachment for attachment in held if attachment.id == attachment_id]
        if not held:
            raise Invalid(f"Invalid volume: volume {volume.id} has no attachment {attachment_id}.")
    if len(held) > 1:
        raise Invalid(f"Invalid volume: volume {volume.id} has {len(held)} attachments: say which with attachment_id.")
    return held[0] if held else None


def forget_all(tx: Tx, volume: Volume) -> None:
    """Drop every hold that Compute does not answer for, by an administrator's word."""
    for attachment in volumes.attachments_of(tx, [volume.id]).get(volume.id, []):
        _refuse(attachment, managed=False)
        tx.delete(attachment)


def move(volume: Volume, start: frozenset[str], end: str, verb: str) -> None:
    """Change the status as the four calls around an attachment do (reserve, unreserve, begin and roll detaching)."""
    if volume.status not in start:
        raise Invalid(
            f"Invalid volume: Unable to {verb} volume {volume.id}: its status must be {' or '.join(sorted(start))}, "
            f"but is {volume.status}."
        )
    _follow(volume, end)


def _mode(volume: Volume, mode: str | None) -> str:
    if mode is None:
        mode = "ro" if volume.read_only else "rw"
    if mode not in MODES:
        raise Invalid(f"Invalid input: mode must be 'rw' or 'ro', not '{mode}'.")
    if mode == "rw" and volume.read_only:
        raise Invalid(f"Invalid volume: volume {volume.id} is read-only: attach it with mode 'ro'.")
    return mode


def _follow(volume: Volume, status: str) -> None:
    if volume.status != status:
        volume.previous_status, volume.status = volume.status, status
        volume.updated_at = clock.now()
