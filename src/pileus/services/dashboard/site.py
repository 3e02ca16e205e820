"""The site: log-in, the frame around all panels, and the routes that every panel has.

Rule: a page is complete without JavaScript; htmx only renews a part of it when something has changed.
"""

import logging
from pathlib import Path
from typing import Any
from urllib.parse import quote, urlencode

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import HTMLResponse, RedirectResponse, Response
from starlette.routing import Mount, Route
from starlette.staticfiles import StaticFiles

from pileus import __version__
from pileus.kernel import events
from pileus.kernel.rest.local import LocalClient, Refused
from pileus.kernel.runtime import Runtime
from pileus.services.dashboard import live
from pileus.services.dashboard.formats import age, bar, size_bytes
from pileus.services.dashboard.login import log_in, projects_of, rescope, take_token
from pileus.services.dashboard.panel import Panel, Visit, find_panels
from pileus.services.dashboard.session import Session, Sessions, is_genuine
from pileus.services.identity import public as identity

HERE = Path(__file__).parent
ROOT = "/dashboard"
SIGN_ON = "pileus_sign_on"
"""The cookie of a browser that is on its way to an identity provider."""
log = logging.getLogger("pileus.dashboard")
HEADERS = {
    "Content-Security-Policy": "default-src 'self'; frame-ancestors 'self'; style-src 'self'; img-src 'self' data:",
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "same-origin",
    "Cache-Control": "no-store",
}


def make_site(runtime: Runtime) -> Starlette:
    """Return the ASGI application."""
    return Site(runtime).application()


class Site:
    """Everything the handlers share."""

    def __init__(self, runtime: Runtime) -> None:
        self.runtime = runtime
        self.sessions = Sessions(runtime.config.state / "dashboard")
        self.panels = {panel.slug: panel for panel in find_panels()}
        self._templates = Environment(
            loader=FileSystemLoader(HERE / "templates"), autoescape=True, undefined=StrictUndefined, auto_reload=False
        )
        self._templates.filters.update(age=age, size_bytes=size_bytes, bar=bar)
        self._templates.globals.update(root=ROOT, version=__version__, panels=list(self.panels.values()))

    def application(self) -> Starlette:
        """Return the routes as an ASGI application."""
        one = f"{ROOT}/{{slug}}/{{id}}"
        return Starlette(
            routes=[
                Mount(f"{ROOT}/static", StaticFiles(directory=HERE / "static")),
                Route(ROOT, self.home),
                Route(f"{ROOT}/", self.home),
                Route(f"{ROOT}/login", self.login, methods=["GET", "POST"]),
                Route(f"{ROOT}/sign-on/{{provider}}/{{protocol}}", self.sign_on),
                Route(f"{ROOT}/auth/websso/", self.signed_on, methods=["POST"]),
                Route(f"{ROOT}/logout", self.logout, methods=["POST"]),
                Route(f"{ROOT}/project", self.switch_project, methods=["POST"]),
                Route(f"{ROOT}/events", self.events),
                Route(f"{ROOT}/{{slug}}", self.list_page),
                Route(f"{ROOT}/{{slug}}", self.create, methods=["POST"]),
                Route(f"{ROOT}/{{slug}}/new", self.form_page),
                Route(one, self.one_page),
                Route(f"{one}/part/{{name}}", self.part),
                Route(f"{one}/{{action}}", self.act, methods=["POST"]),
            ]
        )

    def page(self, request: Request, template: str, status: int = 200, **values: Any) -> HTMLResponse:
        """Render a template; a message for the user travels in the URL as ``?said=`` or ``?failed=``."""
        session: Session | None = values.get("session")
        base: dict[str, Any] = {
            "session": session,
            "said": request.query_params.get("said", ""),
            "failed": request.query_params.get("failed", ""),
            "panel": None,
            "projects": [],
            "choices": [],
            "path": request.url.path,
        }
        text = self._templates.get_template(template).render({**base, **values})
        return HTMLResponse(text, status, HEADERS)

    def api(self, request: Request, token: str | None) -> LocalClient:
        """Return the APIs as the user of ``token``."""
        return LocalClient(self.runtime, token, self.base_url(request), self.runtime.app.source_ip(request.scope))

    def base_url(self, request: Request) -> str:
        """Return how the browser reaches this cloud."""
        return self.runtime.config.cloud.public_url or f"{request.url.scheme}://{request.url.netloc}"

    async def home(self, request: Request) -> Response:
        return RedirectResponse(f"{ROOT}/overview", 303)

    async def login(self, request: Request) -> Response:
        choices = await self.runtime.db.read(identity.sign_on_choices, self.runtime)
        if request.method == "GET":
            return self.page(request, "login.html", choices=choices)
        form = await request.form()
        user, password = str(form.get("user", "")), str(form.get("password", ""))
        try:
            session = await log_in(self.api(request, None), user, password, str(form.get("domain") or "default"))
        except Refused as error:
            return self.page(request, "login.html", 401, failed=error.message, user=user, choices=choices)
        response = RedirectResponse(f"{ROOT}/overview", 303)
        self.sessions.put(response, session, secure=request.url.scheme == "https")
        return response

    async def sign_on(self, request: Request) -> Response:
        """Send the browser to an identity provider; the cookie tells later that it set out here."""
        provider, protocol = (quote(request.path_params[name], safe="") for name in ("provider", "protocol"))
        query = urlencode({"origin": f"{self.base_url(request)}{ROOT}/auth/websso/"})
        where = f"/identity/v3/auth/OS-FEDERATION/identity_providers/{provider}/protocols/{protocol}/websso?{query}"
        response = RedirectResponse(where, 303)
        secure = request.url.scheme == "https"
        response.set_cookie(SIGN_ON, "1", max_age=600, path=ROOT, httponly=True, samesite="lax", secure=secure)
        return response

    async def signed_on(self, request: Request) -> Response:
        """Take the token that Identity's page carries here; other sites' pages come without the cookie."""
        form = await request.form()
        if request.cookies.get(SIGN_ON) is None:
            return self._to_login(request, "This sign-on was not begun here; begin it again.")
        try:
            session = await take_token(self.api(request, None), str(form.get("token", "")))
        except Refused as error:
            return self._to_login(request, error.message)
        response = RedirectResponse(f"{ROOT}/overview", 303)
        response.delete_cookie(SIGN_ON, path=ROOT)
        self.sessions.put(response, session, secure=request.url.scheme == "https")
        return response

    async def logout(self, request: Request) -> Response:
        response = RedirectResponse(f"{ROOT}/login", 303)
        session = self.sessions.open(request)
        form = await request.form()
        if session is not None and is_genuine(session, form.get("form_token")):
            try:
                api = self.api(request, session.token)
                await api.call("DELETE", "/identity/v3/auth/tokens", headers={"X-Subject-Token": session.token})
            except Refused as error:
                log.info("the token of a logged-out session could not be revoked: %s", error.message)
            self.sessions.forget(response)
        return response

    async def switch_project(self, request: Request) -> Response:
        visit = await self._visit(request)
        if isinstance(visit, Response):
            return visit
        try:
            session = await rescope(visit.api, visit.session, visit.text("project_id"))
        except Refused as error:
            return _back(f"{ROOT}/overview", failed=error.message)
        response = RedirectResponse(f"{ROOT}/overview", 303)
        self.sessions.put(response, session, secure=request.url.scheme == "https")
        return response

    async def events(self, request: Request) -> Response:
        session = self.sessions.open(request)
        if session is None:
            return Response("Log in first.", 401)
        # A browser that connects again tells the last message it has seen.
        seen = request.headers.get("last-event-id") or request.query_params.get("after", "")
        return live.stream(self.runtime, session.project_id, int(seen) if seen.isdecimal() else None)

    async def list_page(self, request: Request) -> Response:
        return await self._show(request, lambda panel, visit: panel.load(visit), "{slug}.html")

    async def form_page(self, request: Request) -> Response:
        def load(panel: Panel, visit: Visit) -> Any:
            return panel.load_form(visit) if panel.load_form is not None else None

        return await self._show(request, load, "{slug}_new.html")

    async def one_page(self, request: Request) -> Response:
        def load(panel: Panel, visit: Visit) -> Any:
            return panel.load_one(visit, request.path_params["id"]) if panel.load_one is not None else None

        return await self._show(request, load, "{slug}_one.html")

    async def part(self, request: Request) -> Response:
        name = request.path_params["name"]

        def load(panel: Panel, visit: Visit) -> Any:
            loader = panel.downloads.get(name)
            return loader(visit, request.path_params["id"]) if loader is not None else None

        return await self._show(request, load, "{slug}_" + name + ".html")

    async def create(self, request: Request) -> Response:
        visit = await self._visit(request)
        if isinstance(visit, Response):
            return visit
        slug = request.path_params["slug"]
        panel = self.panels.get(slug)
        if panel is None or panel.create is None:
            return self._nothing(request, visit)
        try:
            return _back(f"{ROOT}/{slug}", said=await panel.create(visit))
        except Refused as error:
            if panel.load_form is None:
                return _back(f"{ROOT}/{slug}", failed=error.message)
            values = await panel.load_form(visit)
            typed = dict(visit.form.multi_items()) if visit.form is not None else {}
            more = {**await self._frame(visit, panel), **values, "typed": typed, "failed": error.message}
            return self.page(request, f"{slug}_new.html", 400, **more)

    async def act(self, request: Request) -> Response:
        visit = await self._visit(request)
        if isinstance(visit, Response):
            return visit
        slug, id = request.path_params["slug"], request.path_params["id"]
        panel = self.panels.get(slug)
        action = panel.actions.get(request.path_params["action"]) if panel is not None else None
        if action is None:
            return self._nothing(request, visit)
        back = f"{ROOT}/{slug}/{id}" if visit.text("from") == "one" else f"{ROOT}/{slug}"
        try:
            return _back(back, said=await action(visit, id))
        except Refused as error:
            return _back(back, failed=error.message)

    async def _show(self, request: Request, load: Any, template: str) -> Response:
        visit = await self._visit(request)
        if isinstance(visit, Response):
            return visit
        slug = request.path_params["slug"]
        panel = self.panels.get(slug)
        loading = load(panel, visit) if panel is not None else None
        if panel is None or loading is None:
            return self._nothing(request, visit)
        try:
            values = {"typed": {}, **await self._frame(visit, panel), **await loading}
        except Refused as error:
            if error.status == 401:
                return self._to_login(request, "Your session has ended; log in again.")
            frame = await self._frame(visit, panel)
            return self.page(request, "refused.html", error.status, **{**frame, "failed": error.message})
        return self.page(request, template.format(slug=slug), **values)

    async def _frame(self, visit: Visit, panel: Panel | None) -> dict[str, Any]:
        newest = await self.runtime.db.read(events.newest)
        projects = await projects_of(visit.api)
        return {"session": visit.session, "panel": panel, "projects": projects, "newest": newest}

    async def _visit(self, request: Request) -> Visit | Response:
        """Return who visits; or send to the log-in page, or refuse a form that no page of ours has made."""
        session = self.sessions.open(request)
        if session is None:
            return self._to_login(request, "")
        form = None
        if request.method == "POST":
            form = await request.form(max_fields=200, max_part_size=1 << 20)
            if not is_genuine(session, form.get("form_token")):
                return HTMLResponse("This form is too old or was made elsewhere; open the page anew.", 403, HEADERS)
        return Visit(request, session, self.api(request, session.token), form)

    def _to_login(self, request: Request, failed: str) -> Response:
        response: Response = RedirectResponse(f"{ROOT}/login", 303)
        if failed:
            response = self.page(request, "login.html", 401, failed=failed)
        if request.headers.get("hx-request"):
            response = Response(status_code=204, headers={"HX-Redirect": f"{ROOT}/login"})
        self.sessions.forget(response)
        return response

    def _nothing(self, request: Request, visit: Visit) -> Response:
        return self.page(request, "refused.html", 404, session=visit.session, failed="There is no such page.")


def _back(path: str, **message: str) -> Response:
    """Redirect to a page that shows a message."""
    return RedirectResponse(f"{path}?{urlencode(message)}", 303)
