"""Who sees an image, who may change it: rules under upstream's names, and the loading that applies them.

The one rule: an image that the caller may not see is not there (404); one that it sees but may not change is 403.
"""

from pileus.kernel.context import Context
from pileus.kernel.db import Tx
from pileus.kernel.errors import NotFound
from pileus.kernel.policy import ADMIN, ADMIN_OR_MEMBER, ADMIN_OR_SERVICE, Rule
from pileus.services.image import store
from pileus.services.image.model import ImageRow

_OWN_MEMBER = ADMIN_OR_MEMBER
_READER = f"{ADMIN} or role:reader"

ADD = Rule(
    "add_image",
    f"{ADMIN} or (role:member and project_id:%(project_id)s and project_id:%(owner)s)",
    "Create an image of one's own project; for another one: admins.",
)
GET = Rule("get_image", _READER, "Show an image that is visible to the caller.")
LIST = Rule("get_images", _READER, "List the images that are visible to the caller.")
MODIFY = Rule("modify_image", _OWN_MEMBER, "Change an image.")
DELETE = Rule("delete_image", _OWN_MEMBER, "Delete an image.")
PUBLICIZE = Rule("publicize_image", ADMIN, "Show an image to every project.")
COMMUNITIZE = Rule("communitize_image", _OWN_MEMBER, "Let every project use an image that it knows of.")
DOWNLOAD = Rule("download_image", f"{ADMIN} or role:member", "Download an image that is visible to the caller.")
UPLOAD = Rule("upload_image", _OWN_MEMBER, "Upload or stage an image's bytes.")
DEACTIVATE = Rule("deactivate", _OWN_MEMBER, "Forbid downloads of an image.")
REACTIVATE = Rule("reactivate", _OWN_MEMBER, "Allow downloads of an image again.")
ADD_MEMBER = Rule("add_member", _OWN_MEMBER, "Share an image with a project.")
DELETE_MEMBER = Rule("delete_member", _OWN_MEMBER, "Take an image back from a project.")
GET_MEMBERS = Rule("get_members", _READER, "List whom an image is shared with.")
GET_MEMBER = Rule("get_member", _READER, "Show one of those whom an image is shared with.")
MODIFY_MEMBER = Rule(
    "modify_member",
    f"{ADMIN} or (role:member and project_id:%(member_id)s)",
    "Accept or reject an image that is shared with the caller's project.",
)
TASKS = Rule("tasks_api_access", ADMIN, "Show imports by the API of tasks; those of an image everybody who sees it.")
STORES = Rule("stores_info_detail", ADMIN_OR_SERVICE, "Show details of stores.")
USAGE = Rule("get_usage", _READER, "Show the quota of the caller's project.")


def load_image(tx: Tx, ctx: Context, id: str) -> ImageRow:
    """Return an image that the caller sees.  Raises NotFound."""
    row = store.get_image(tx, id)
    if row is None or not sees(tx, ctx, row):
        raise NotFound(f"No image found with ID {id}")
    return row


def sees(tx: Tx, ctx: Context, row: ImageRow) -> bool:
    """Tell whether an image is visible to the caller."""
    if ctx.is_admin or owns(ctx, row) or row.visibility in ("public", "community"):
        return True
    shared = row.visibility == "shared" and bool(ctx.project_id)
    return shared and store.get_member(tx, row.id, ctx.project_id) is not None


def owns(ctx: Context, row: ImageRow) -> bool:
    """Tell whether the image belongs to the caller's project."""
    return row.project_id is not None and row.project_id == ctx.project_id
