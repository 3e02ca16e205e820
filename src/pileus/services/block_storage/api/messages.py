"""The messages resource: why something went wrong (3.3 and later)."""

from typing import Annotated

from pileus.kernel import clock, policy
from pileus.kernel.context import Context
from pileus.kernel.db import Tx
from pileus.kernel.errors import NotFound
from pileus.kernel.policy import Rule
from pileus.kernel.rest import Id, Page, View
from pileus.kernel.rest.references import Refers
from pileus.services.block_storage.api.base import api
from pileus.services.block_storage.api.queries import ListQuery, window
from pileus.services.block_storage.api.views import Link, links
from pileus.services.block_storage.model import Message
from pileus.services.block_storage.store import messages

LIST = Rule("message:get_all", policy.ADMIN_OR_READER)
SHOW = Rule("message:get", policy.ADMIN_OR_READER)
DELETE = Rule("message:delete", policy.ADMIN_OR_MEMBER)


class MessageView(View):
    id: str
    event_id: str
    user_message: str
    message_level: str
    resource_type: str
    resource_uuid: str
    request_id: str
    created_at: str
    guaranteed_until: str
    links: list[Link]


def message_view(ctx: Context, row: Message) -> MessageView:
    """Return a message."""
    return MessageView(
        id=row.id,
        event_id=row.event_id,
        user_message=row.text,
        message_level=row.level,
        resource_type=row.resource_type,
        resource_uuid=row.resource_id,
        request_id=row.request_id,
        created_at=clock.iso_micro(row.created_at),
        guaranteed_until=clock.iso_micro(row.guaranteed_until),
        links=links(ctx, "messages", row.id),
    )


@api.loader(Message)
def load_message(tx: Tx, ctx: Context, id: str) -> Message:
    found = tx.get(Message, id)
    if found is None or not (ctx.is_admin or found.project_id == ctx.project_id):
        raise NotFound(f"Message {id} could not be found.")
    return found


class MessageListQuery(ListQuery):
    resource_uuid: Annotated[Id, Refers("resource", loaded=False)] | None = None
    resource_type: str | None = None
    event_id: str | None = None
    request_id: str | None = None
    message_level: str | None = None


@api.get("/messages", LIST, wrap="messages", since="3.3")
def list_all(tx: Tx, ctx: Context, query: MessageListQuery) -> Page:
    wanted = messages.MessageFilter(
        project_id=ctx.project_id,
        resource_id=query.resource_uuid,
        resource_type=query.resource_type,
        event_id=query.event_id,
        request_id=query.request_id,
        level=query.message_level,
    )
    rows, marker = messages.list_messages(tx, wanted, window(query, messages.SORT_KEYS))
    return Page([message_view(ctx, row) for row in rows], marker)


@api.get("/messages/{message}", SHOW, wrap="message", since="3.3")
def show(ctx: Context, message: Message) -> MessageView:
    return message_view(ctx, message)


@api.delete("/messages/{message}", DELETE, status=204, since="3.3")
def delete(tx: Tx, message: Message) -> None:
    tx.delete(message)
