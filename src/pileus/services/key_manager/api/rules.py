"""Who may do what, under upstream's names; a secret's and a container's access list counts, too.

Rule: what is judged is ``target.secret`` or ``target.container``: its project, its maker, and what its list says of
the caller (``read``: the caller is on it; ``read_project_access``: the project's members are not kept out).
"""

from pileus.kernel.context import Context
from pileus.kernel.db import Tx
from pileus.kernel.policy import Rule
from pileus.kernel.rest.regular import CREATE, DELETE, LIST, SHOW
from pileus.services.key_manager.model import Container, Order, Secret
from pileus.services.key_manager.store.things import acl_of

MEMBER, ADMIN, READER = "role:member", "role:admin", "role:reader"


def owned(kind: str) -> str:
    """Declare the rules about whose a secret or container is; return the check of who may change it."""
    Rule(f"{kind}_project_match", f"project_id:%(target.{kind}.project_id)s")
    Rule(f"{kind}_project_member", f"role:member and rule:{kind}_project_match")
    Rule(f"{kind}_project_admin", f"role:admin and rule:{kind}_project_match")
    Rule(f"{kind}_owner", f"user_id:%(target.{kind}.creator_id)s")
    Rule(f"{kind}_is_not_private", f"True:%(target.{kind}.read_project_access)s")
    Rule(f"{kind}_acl_read", f"'read':%(target.{kind}.read)s")
    return (
        f"rule:{kind}_project_admin or (rule:{kind}_project_member and rule:{kind}_owner) or"
        f" (rule:{kind}_project_member and rule:{kind}_is_not_private)"
    )


SECRET, CONTAINER = owned("secret"), owned("container")
SECRET_READ, CONTAINER_READ = f"{SECRET} or rule:secret_acl_read", f"{CONTAINER} or rule:container_acl_read"
CHANGE = {"secret": SECRET, "container": CONTAINER}
READ = {"secret": SECRET_READ, "container": CONTAINER_READ}
Rule("order_project_match", "project_id:%(target.order.project_id)s")
Rule("order_project_member", "role:member and rule:order_project_match")

SECRET_CHECKS = {
    CREATE: MEMBER, LIST: MEMBER, SHOW: f"role:admin or {SECRET_READ}", DELETE: f"role:admin or {SECRET}"
}  # fmt: skip
CONTAINER_CHECKS = {CREATE: MEMBER, LIST: MEMBER, SHOW: CONTAINER_READ, DELETE: CONTAINER}
ORDER_CHECKS = {
    CREATE: MEMBER, LIST: MEMBER, SHOW: "rule:order_project_member", DELETE: "rule:order_project_member"
}  # fmt: skip
TRANSPORT_KEY_CHECKS = {CREATE: ADMIN, LIST: READER, SHOW: READER, DELETE: ADMIN}


def target_of(tx: Tx, ctx: Context, thing: object) -> object:
    """Return what rules are judged against: of a thing that is yet to be made, the caller's own project."""
    if isinstance(thing, Order):
        return {"project_id": thing.project_id, "target": {"order": {"project_id": thing.project_id}}}
    if not isinstance(thing, Secret | Container):
        return ctx.own
    acl, users = acl_of(tx, thing.id)
    facts = {
        "project_id": thing.project_id,
        "creator_id": thing.creator_id,
        "read_project_access": True if acl is None else acl.project_access,
        "read": "read" if ctx.user_id and ctx.user_id in users else None,
    }
    return {"project_id": thing.project_id, "target": {type(thing).__name__.lower(): facts}}
