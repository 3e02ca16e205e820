"""In whose name an operation asks other services for things.

Rule: what is made or read for a user is made with that user's sight (``seeing_as``); only the upkeep of what the
server has already is done with every right (``acting``).
"""

from pileus.kernel import context
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


def seeing_as(server: Server, *, admin: bool) -> Context:
    """Return the context of who asked for a server: a member of its project, or ``admin``, who sees everything."""
    return context.seeing_as(_POLICY, project_id=server.project_id, user_id=server.user_id, admin=admin)
