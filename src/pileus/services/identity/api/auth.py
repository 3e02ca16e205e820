"""Tokens: made, looked at, ended; and what their holder may reach."""

from functools import partial
from typing import Any

from pileus.dialects.keystone import truth
from pileus.kernel import clock, events, policy
from pileus.kernel.context import Context
from pileus.kernel.db import Tx
from pileus.kernel.errors import ApiError, Forbidden, Invalid, NotFound, Unauthenticated
from pileus.kernel.policy import Rule
from pileus.kernel.rest import Page, Request, Response, json_response
from pileus.kernel.runtime import Runtime
from pileus.services.identity.api.router import api
from pileus.services.identity.api.rules import EVERY
from pileus.services.identity.api.views import domain_view, project_view
from pileus.services.identity.app import documents, reach, receipts, sign_ins
from pileus.services.identity.app.authentication import Auth, issue_token
from pileus.services.identity.app.methods.proof import Attempt
from pileus.services.identity.app.receipts import MoreMethodsNeeded
from pileus.services.identity.app.validation import Token, Tokens
from pileus.services.identity.store import projects as project_rows
from pileus.services.identity.store import tokens

VALIDATE = Rule(
    "identity:validate_token",
    "rule:admin_required or (role:reader and system_scope:all) or role:service or user_id:%(target.token.user_id)s",
    scopes=EVERY,
)
CHECK = Rule(
    "identity:check_token",
    "rule:admin_required or (role:reader and system_scope:all) or user_id:%(target.token.user_id)s",
    scopes=EVERY,
)
REVOKE = Rule("identity:revoke_token", "rule:admin_required or user_id:%(target.token.user_id)s", scopes=EVERY)
CATALOG = Rule("identity:get_auth_catalog", policy.ANYONE, scopes=EVERY)
PROJECTS = Rule("identity:get_auth_projects", policy.ANYONE, scopes=EVERY)
DOMAINS = Rule("identity:get_auth_domains", policy.ANYONE, scopes=EVERY)
SYSTEM = Rule("identity:get_auth_system", policy.ANYONE, scopes=EVERY)


@api.post("/auth/tokens", None, body="auth")
async def create_token(ctx: Context, request: Request, runtime: Runtime, body: Auth) -> Response:
    with_catalog = not any(name == "nocatalog" for name, _ in request.query_items())
    note = partial(sign_ins.note, runtime, ctx, request, body.identity)
    try:
        text, document = await issue_token(Attempt(runtime, ctx, request), body, with_catalog=with_catalog)
    except MoreMethodsNeeded as error:
        note(user_id=None, error=error)
        return json_response(error.document, 401, [(receipts.HEADER, error.text), ("Vary", "X-Auth-Token")])
    except ApiError as error:
        note(user_id=None, error=error)
        raise
    note(user_id=document["user"]["id"], error=None)
    return json_response({"token": document}, 201, [("X-Subject-Token", text), ("Vary", "X-Auth-Token")])


def _subject(tx: Tx, ctx: Context, request: Request, runtime: Runtime, rule: Rule) -> tuple[str, Token]:
    """Return the token that the request is about; raise NotFound when it is not good (any more)."""
    text = request.headers.get("x-subject-token", "")
    if not text:
        raise Invalid("The header X-Subject-Token, which names the token this is about, is missing.")
    late = any(name == "allow_expired" and truth(value) for name, value in request.query_items())
    try:
        token = runtime.part(Tokens).caller(tx, text, allow_expired=late).token
    except Unauthenticated:
        raise NotFound("Could not find the token in X-Subject-Token: it has ended, was revoked or is none.") from None
    ctx.require(rule, {"target": {"token": {"user_id": token.user.id}}})
    return text, token


@api.head("/auth/tokens", CHECK, by_handler=True)
def check_token(tx: Tx, ctx: Context, request: Request, runtime: Runtime) -> Response:
    text, token = _subject(tx, ctx, request, runtime, CHECK)
    return _shown(tx, ctx, request, runtime, text, token)


@api.get("/auth/tokens", VALIDATE, by_handler=True)
def validate_token(tx: Tx, ctx: Context, request: Request, runtime: Runtime) -> Response:
    text, token = _subject(tx, ctx, request, runtime, VALIDATE)
    return _shown(tx, ctx, request, runtime, text, token)


def _shown(tx: Tx, ctx: Context, request: Request, runtime: Runtime, text: str, token: Token) -> Response:
    with_catalog = not any(name == "nocatalog" for name, _ in request.query_items())
    document = documents.token_document(tx, runtime, ctx, token, with_catalog=with_catalog)
    return json_response({"token": document}, 200, [("X-Subject-Token", text), ("Vary", "X-Auth-Token")])


@api.delete("/auth/tokens", REVOKE, by_handler=True)
def revoke_token(tx: Tx, ctx: Context, request: Request, runtime: Runtime) -> None:
    _, token = _subject(tx, ctx, request, runtime, REVOKE)
    tokens.insert_revocation(tx, clock.now(), audit_id=token.payload.audit_ids[0])
    events.emit(tx, "identity.token.revoked", token.payload.audit_ids[0], ctx=ctx, user=token.user.id)


@api.get("/auth/catalog", CATALOG)
def show_catalog(tx: Tx, ctx: Context, request: Request, runtime: Runtime) -> dict[str, Any]:
    if ctx.caller.project_id is None:
        raise Forbidden("A project-scoped token is required to produce a service catalog.")
    found = documents.catalog(tx, runtime, ctx, project_id=ctx.caller.project_id, user_id=ctx.caller.user_id)
    return {"catalog": found, "links": {"self": f"{ctx.base_url}{request.path}", "previous": None, "next": None}}


@api.get("/auth/projects", PROJECTS, wrap="projects")
def list_projects(tx: Tx, ctx: Context) -> Page:
    rows = reach.projects(tx, ctx.user_id)
    tags = project_rows.tags_of(tx, [row.id for row in rows])
    return Page([project_view(ctx, row, tags.get(row.id, [])) for row in rows])


@api.get("/auth/domains", DOMAINS, wrap="domains")
def list_domains(tx: Tx, ctx: Context) -> Page:
    return Page([domain_view(ctx, row) for row in reach.domains(tx, ctx.user_id)])


@api.get("/auth/system", SYSTEM, wrap="system")
def list_system(tx: Tx, ctx: Context) -> Page:
    return Page([{"all": True}] if reach.system(tx, ctx.user_id) else [])
