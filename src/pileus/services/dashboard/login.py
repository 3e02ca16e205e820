"""Logging in and choosing a project, over the public Identity API."""

from typing import Any

from pileus.kernel import ids
from pileus.kernel.rest.local import LocalClient, Refused
from pileus.services.dashboard.session import Session

TOKENS = "/identity/v3/auth/tokens"


async def log_in(api: LocalClient, user: str, password: str, domain: str) -> Session:
    """Return a session in the user's default project, or in the first one the user may enter.

    ``domain`` is an id or a name.  Raises Refused with Identity's sentence.
    """
    known = {"name": user, "password": password, "domain": {"id" if domain == "default" else "name": domain}}
    identity = {"methods": ["password"], "password": {"user": known}}
    answer, headers = await api.call("POST", TOKENS, {"auth": {"identity": identity, "scope": "unscoped"}})
    return await _enter(api, headers["x-subject-token"], answer["token"]["user"])


async def take_token(api: LocalClient, token: str) -> Session:
    """Return a session for a token that single sign-on brought; raise Refused with Identity's sentence."""
    answer, _ = await api.with_token(token).call("GET", TOKENS, headers={"X-Subject-Token": token})
    return await _enter(api, token, answer["token"]["user"])


async def _enter(api: LocalClient, token: str, account: dict[str, Any]) -> Session:
    mine = api.with_token(token)
    projects = (await mine.get("/identity/v3/auth/projects"))["projects"]
    if not projects:
        raise Refused("You have no role on any project; ask an administrator for one.", status=403)
    start = Session(token, account["name"], "", "", ids.new_secret(18))
    preferred = await _default_project(mine, account["id"])
    chosen = next((one["id"] for one in projects if one["id"] == preferred), None)
    same = next((one["id"] for one in projects if one["name"] == account["name"]), projects[0]["id"])
    return await rescope(mine, start, chosen or same)


async def _default_project(api: LocalClient, user_id: str) -> str | None:
    try:
        return (await api.get(f"/identity/v3/users/{user_id}"))["user"].get("default_project_id")
    except Refused:
        return None


async def rescope(api: LocalClient, session: Session, project_id: str) -> Session:
    """Return the session in another project."""
    identity = {"methods": ["token"], "token": {"id": session.token}}
    body = {"auth": {"identity": identity, "scope": {"project": {"id": project_id}}}}
    answer, headers = await api.call("POST", TOKENS, body)
    project = answer["token"]["project"]
    return Session(headers["x-subject-token"], session.user, project["id"], project["name"], session.form_token)


async def projects_of(api: LocalClient) -> list[dict[str, Any]]:
    """Return the projects the user may enter, by name; none when the token has ended meanwhile."""
    try:
        found = (await api.get("/identity/v3/auth/projects"))["projects"]
    except Refused:
        return []
    return sorted(found, key=lambda project: project["name"])
