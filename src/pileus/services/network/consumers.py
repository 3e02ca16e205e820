"""What happens in other services and concerns networks.  Rule: a consumer decides nothing; ``app`` does."""

from pileus.kernel import events, quota
from pileus.kernel.db import Tx
from pileus.kernel.events import Event
from pileus.services.network.app import groups
from pileus.services.network.app.limits import SERVICE


@events.on("identity.project.deleted", name="network.projects")
def project_deleted(tx: Tx, event: Event) -> None:
    """Remove what a project never made itself: its default security group and its quota."""
    groups.forget_project(tx, event.resource_id)
    quota.reset(tx, event.resource_id, SERVICE)
