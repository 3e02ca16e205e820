"""The API object all resources share, and how it finds rows."""

from pileus.dialects.nova import nova_error
from pileus.kernel.context import Context
from pileus.kernel.db import Tx
from pileus.kernel.errors import ApiError, NotFound
from pileus.kernel.rest import Api, Microversions, link_page
from pileus.kernel.rest.references import Refers, each
from pileus.services.block_storage.app import access
from pileus.services.block_storage.model import Attachment, Backup, Snapshot, Transfer, Volume, VolumeType

FIRST, LATEST = "3.0", "3.71"

MISSING = {
    "volume": "Volume {id} could not be found.",
    "snapshot": "Snapshot {id} could not be found.",
    "volume_type": "Volume type with name {id} could not be found.",
}


def missing(refers: Refers, id: str, field: str) -> ApiError:
    """Return the refusal of a reference to what the caller does not see."""
    return NotFound(MISSING[refers.kind].format(id=id))


api = Api(
    "block_storage",
    "/v3",
    Microversions("volume", FIRST, LATEST),
    error=nova_error,
    page=link_page,
    request_id_header="x-compute-request-id",
    project_in_path=True,
    strict=False,
    final_slash=False,
    missing=missing,
)
api.reference("volume")(each(access.get_volume))
api.reference("snapshot")(each(access.get_snapshot))
api.reference("volume_type")(each(access.find_type))


@api.loader(Volume)
def load_volume(tx: Tx, ctx: Context, id: str) -> Volume:
    return access.get_volume(tx, ctx, id)


@api.loader(Snapshot)
def load_snapshot(tx: Tx, ctx: Context, id: str) -> Snapshot:
    return access.get_snapshot(tx, ctx, id)


@api.loader(Attachment)
def load_attachment(tx: Tx, ctx: Context, id: str) -> Attachment:
    return access.get_attachment(tx, ctx, id)


@api.loader(Backup)
def load_backup(tx: Tx, ctx: Context, id: str) -> Backup:
    return access.get_backup(tx, ctx, id)


@api.loader(Transfer)
def load_transfer(tx: Tx, ctx: Context, id: str) -> Transfer:
    return access.get_transfer(tx, id)


@api.loader(VolumeType)
def load_type(tx: Tx, ctx: Context, id: str) -> VolumeType:
    return access.get_type(tx, ctx, id)
