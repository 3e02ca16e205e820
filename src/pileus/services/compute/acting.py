"""In whose name an operation asks other services for things: its server's project and user, with every right."""

from pileus.kernel.context import Context, internal
from pileus.kernel.policy import Policy
from pileus.services.compute.model import Server

_POLICY = Policy()


def acting_for(project_id: str | None, user_id: str | None) -> Context:
    """Return the context of work done for a project's user, after the request that wanted it."""
    return internal(_POLICY, project_id=project_id, user_id=user_id)


def acting(server: Server) -> Context:
    """Return the context of work done for a server's owner."""
    return acting_for(server.project_id, server.user_id)
