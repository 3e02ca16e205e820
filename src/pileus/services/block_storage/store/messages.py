"""What users are told of failures."""

from datetime import timedelta

import msgspec
from sqlalchemy import delete, select

from pileus.kernel import clock, ids
from pileus.kernel.db import Tx
from pileus.services.block_storage.model import Message
from pileus.services.block_storage.store.listing import Window, fetch, of_project

KEPT = timedelta(days=30)
SORT_KEYS = {
    "id": Message.id,
    "created_at": Message.created_at,
    "guaranteed_until": Message.guaranteed_until,
    "resource_type": Message.resource_type,
    "resource_uuid": Message.resource_id,
    "event_id": Message.event_id,
    "message_level": Message.level,
    "request_id": Message.request_id,
}


class MessageFilter(msgspec.Struct, frozen=True):
    """Which messages are wanted."""

    project_id: str | None = None
    resource_id: str | None = None
    resource_type: str | None = None
    event_id: str | None = None
    request_id: str | None = None
    level: str | None = None


def add_message(
    tx: Tx, *, project_id: str, request_id: str | None, resource_type: str, resource_id: str, action: str, text: str
) -> None:
    """Keep a message; ``action`` is the middle of upstream's event id (``001``: create volume, ``003`` ...)."""
    now = clock.now()
    tx.add(
        Message(
            id=ids.new_id(),
            project_id=project_id,
            request_id=request_id or "",
            resource_type=resource_type,
            resource_id=resource_id,
            event_id=f"VOLUME_{resource_type}_{action}_001",
            level="ERROR",
            text=text,
            created_at=now,
            guaranteed_until=now + KEPT,
        )
    )


def list_messages(tx: Tx, wanted: MessageFilter, window: Window) -> tuple[list[Message], str | None]:
    """Return a page of messages."""
    conditions = [
        getattr(Message, name) == value
        for name in wanted.__struct_fields__
        if (value := getattr(wanted, name)) is not None
    ]
    return fetch(tx, select(Message).where(*conditions), Message, window, of_project(Message, wanted.project_id))


def prune(tx: Tx) -> None:
    """Forget messages nobody was promised any longer."""
    tx.execute(delete(Message).where(Message.guaranteed_until < clock.now()))
