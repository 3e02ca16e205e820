"""Handing a volume to another project, under the old path and the new one (3.55 and later)."""

from typing import Annotated, Any

from msgspec import UNSET, UnsetType

from pileus.kernel import clock, policy
from pileus.kernel.context import Context
from pileus.kernel.db import Tx
from pileus.kernel.policy import Rule
from pileus.kernel.rest import OpenBody, Page, View, since
from pileus.kernel.rest.references import referred
from pileus.services.block_storage.api.base import api
from pileus.services.block_storage.api.queries import ListQuery, project_of, window
from pileus.services.block_storage.api.references import VolumeId
from pileus.services.block_storage.api.views import Link, links
from pileus.services.block_storage.api.volumes import Name
from pileus.services.block_storage.app import access
from pileus.services.block_storage.app import transfers as app
from pileus.services.block_storage.model import Transfer
from pileus.services.block_storage.store import transfers

CREATE = Rule("volume:create_transfer", policy.ADMIN_OR_MEMBER)
ACCEPT = Rule("volume:accept_transfer", policy.ADMIN_OR_MEMBER)
DELETE = Rule("volume:delete_transfer", policy.ADMIN_OR_MEMBER)
SHOW = Rule("volume:get_transfer", policy.ADMIN_OR_READER)
LIST = Rule("volume:get_all_transfers", policy.ADMIN_OR_READER)


class TransferSummary(View):
    id: str
    name: str | None
    volume_id: str
    links: list[Link]


class TransferView(TransferSummary):
    created_at: str
    no_snapshots: Annotated[bool | UnsetType, since("3.55")] = False
    source_project_id: Annotated[str | UnsetType, since("3.57")] = UNSET
    destination_project_id: Annotated[str | UnsetType | None, since("3.57")] = None
    accepted: Annotated[bool | UnsetType, since("3.57")] = False
    auth_key: str | UnsetType = UNSET


def transfer_summary(ctx: Context, row: Transfer) -> TransferSummary:
    """Return an offer for the short list."""
    return TransferSummary(id=row.id, name=row.name, volume_id=row.volume_id, links=links(ctx, "transfers", row.id))


def transfer_view(ctx: Context, row: Transfer, key: str | None = None) -> TransferView:
    """Return an offer; ``key`` only to who made it, and only once."""
    return TransferView(
        id=row.id,
        name=row.name,
        volume_id=row.volume_id,
        links=links(ctx, "transfers", row.id),
        created_at=clock.iso_micro(row.created_at),
        no_snapshots=row.no_snapshots,
        source_project_id=row.project_id,
        auth_key=key if key is not None else UNSET,
    )


class TransferCreate(OpenBody):
    volume_id: VolumeId
    name: Name | None = None
    no_snapshots: Annotated[bool, since("3.55")] = False


class TransferAccept(OpenBody):
    auth_key: str


def list_summaries(tx: Tx, ctx: Context, query: ListQuery) -> Page:
    rows, marker = transfers.list_transfers(tx, project_of(ctx, query), window(query, transfers.SORT_KEYS))
    return Page([transfer_summary(ctx, row) for row in rows], marker)


def list_details(tx: Tx, ctx: Context, query: ListQuery) -> Page:
    rows, marker = transfers.list_transfers(tx, project_of(ctx, query), window(query, transfers.SORT_KEYS))
    return Page([transfer_view(ctx, row) for row in rows], marker)


def show(tx: Tx, ctx: Context, transfer: Transfer) -> TransferView:
    return transfer_view(ctx, transfer)


def create(tx: Tx, ctx: Context, body: TransferCreate) -> TransferView:
    volume = referred(tx, "volume", body.volume_id)
    row, key = app.offer(tx, ctx, volume, body.name, no_snapshots=body.no_snapshots)
    return transfer_view(ctx, row, key)


def accept(tx: Tx, ctx: Context, transfer: str, body: TransferAccept) -> dict[str, Any]:
    row = access.get_transfer(tx, transfer)
    summary = transfer_summary(ctx, row)
    app.accept(tx, ctx, row, body.auth_key)
    return {"id": summary.id, "name": summary.name, "volume_id": summary.volume_id, "links": summary.links}


def delete(tx: Tx, ctx: Context, transfer: Transfer) -> None:
    app.withdraw(tx, ctx, transfer)


for _path, _since in (("/os-volume-transfer", None), ("/volume-transfers", "3.55")):
    api.get(_path, LIST, wrap="transfers", since=_since)(list_summaries)
    api.get(f"{_path}/detail", LIST, wrap="transfers", since=_since)(list_details)
    api.get(f"{_path}/{{transfer}}", SHOW, wrap="transfer", since=_since)(show)
    api.post(_path, CREATE, wrap="transfer", status=202, since=_since)(create)
    api.post(f"{_path}/{{transfer}}/accept", ACCEPT, wrap="transfer", body="accept", status=202, since=_since)(accept)
    api.delete(f"{_path}/{{transfer}}", DELETE, status=202, since=_since)(delete)
