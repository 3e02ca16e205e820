"""The document of a token, and the catalog in it."""

import re
from typing import Any

from pileus.kernel import clock
from pileus.kernel.context import Context
from pileus.kernel.db import Tx
from pileus.kernel.runtime import Runtime
from pileus.services.identity.app.validation import Named, Token
from pileus.services.identity.model import Endpoint
from pileus.services.identity.store import catalog as catalog_rows
from pileus.services.identity.store import endpoint_filter, federation, tokens

_BLANK = re.compile(r"[$%]\((\w+)\)s")


def render_url(template: str, values: dict[str, str | None]) -> str | None:
    """Fill a URL in; None when it asks for something that this token does not have (a project, mostly)."""
    missing = False

    def fill(match: re.Match[str]) -> str:
        nonlocal missing
        value = values.get(match.group(1))
        missing = missing or value is None
        return value or ""

    url = _BLANK.sub(fill, template)
    return None if missing else url


def render_base(template: str, ctx: Context) -> str:
    """Fill in the cloud's own address only, for the listing of endpoints."""
    return template.replace("$(base_url)s", ctx.base_url)


Listed = list[tuple[dict[str, Any], list[dict[str, Any]]]]
"""Services, each with its endpoints, URLs not filled in."""


class CatalogBook:
    """The enabled services and endpoints as of one revision, and what of them each project sees."""

    def __init__(self, tx: Tx, revision: int) -> None:
        self.revision = revision
        self._all: Listed = [
            ({"id": service.id, "type": service.type, "name": service.name}, [_listed(row) for row in endpoints])
            for service, endpoints in catalog_rows.enabled_catalog(tx)
        ]
        self._filtered = endpoint_filter.any_association(tx)
        self.service_providers = [
            {"id": row.id, "auth_url": row.auth_url, "sp_url": row.sp_url}
            for row in federation.enabled_service_providers(tx)
        ]
        self._seen: dict[str, Listed] = {}

    def rows(self, tx: Tx, project_id: str | None) -> Listed:
        """Return what a project sees: all, unless it is tied to some endpoints."""
        if not self._filtered or project_id is None:
            return self._all
        seen = self._seen.get(project_id)
        if seen is None:
            tied = {row.id for row in endpoint_filter.endpoints_of_project(tx, project_id)}
            kept = ((service, [row for row in rows if row["id"] in tied]) for service, rows in self._all)
            seen = [(service, rows) for service, rows in kept if rows] if tied else self._all
            self._seen[project_id] = seen
        return seen


def _listed(row: Endpoint) -> dict[str, Any]:
    return {
        "id": row.id,
        "interface": row.interface,
        "region": row.region_id,
        "region_id": row.region_id,
        "url": row.url,
    }


class Catalog:
    """The catalog; read again when the revision has moved."""

    def __init__(self, runtime: Runtime) -> None:
        self._book: CatalogBook | None = None

    def book(self, tx: Tx) -> CatalogBook:
        """Return the catalog as of now."""
        revision = tokens.revision(tx)
        book = self._book
        if book is None or book.revision != revision:
            book = self._book = CatalogBook(tx, revision)
        return book


def catalog(
    tx: Tx, runtime: Runtime, ctx: Context, *, project_id: str | None, user_id: str | None
) -> list[dict[str, Any]]:
    """Return the catalog as this caller sees it; an endpoint whose URL cannot be filled in is left out."""
    values = {"base_url": ctx.base_url, "project_id": project_id, "tenant_id": project_id, "user_id": user_id}
    found = []
    for service, endpoints in runtime.part(Catalog).book(tx).rows(tx, project_id):
        filled = ((row, render_url(row["url"], values)) for row in endpoints)
        shown = [{**row, "url": url} for row, url in filled if url is not None]
        found.append({**service, "endpoints": shown})
    return found


def token_document(
    tx: Tx, runtime: Runtime, ctx: Context, token: Token, *, with_catalog: bool = True
) -> dict[str, Any]:
    """Return what ``{"token": ...}`` holds."""
    payload = token.payload
    document: dict[str, Any] = {
        "methods": list(payload.methods),
        "user": {
            "id": token.user.id,
            "name": token.user.name,
            "domain": _reference(token.user_domain),
            "password_expires_at": _moment(token.password_expires_at),
        },
        "audit_ids": list(payload.audit_ids),
        "expires_at": _moment(payload.expires_at),
        "issued_at": _moment(payload.issued_at),
    }
    if payload.whence is not None:
        document["user"]["OS-FEDERATION"] = {
            "identity_provider": {"id": payload.whence[0]},
            "protocol": {"id": payload.whence[1]},
            "groups": [{"id": id} for id in token.federated_groups or ()],
        }
    if payload.scope:
        document["roles"] = [{"id": role.id, "name": role.name} for role in token.roles]
    if token.project is not None and token.domain is not None:
        document["project"] = {**_reference(token.project), "domain": _reference(token.domain)}
        document["is_domain"] = token.project.is_domain
    elif payload.scope == "d" and token.domain is not None:
        document["domain"] = _reference(token.domain)
    elif payload.scope == "s":
        document["system"] = {"all": True}
    if payload.scope and (others := runtime.part(Catalog).book(tx).service_providers):
        document["service_providers"] = others
    if payload.scope and with_catalog:
        document["catalog"] = catalog(tx, runtime, ctx, project_id=payload.project_id, user_id=payload.user_id)
    if token.application_credential is not None:
        row = token.application_credential
        document["application_credential"] = {"id": row.id, "name": row.name, "restricted": token.restricted}
        if token.access_rules is not None:
            document["application_credential"]["access_rules"] = [
                {"id": rule.id, "service": rule.service, "path": rule.path, "method": rule.method}
                for rule in token.access_rules
            ]
    if payload.access_token_id is not None:
        document["OS-OAUTH1"] = {"access_token_id": payload.access_token_id, "consumer_id": token.consumer_id}
    if payload.thumbprint is not None:
        document["oauth2_credential"] = {"x5t#S256": payload.thumbprint}
    if token.trust is not None:
        trust = token.trust
        document["OS-TRUST:trust"] = {
            "id": trust.id,
            "impersonation": trust.impersonation,
            "trustor_user": {"id": trust.trustor_user_id},
            "trustee_user": {"id": trust.trustee_user_id},
        }
    return document


def _reference(row: Named) -> dict[str, str]:
    return {"id": row.id, "name": row.name}


def _moment(moment: Any) -> str | None:
    return f"{clock.iso_micro(moment)}Z" if moment is not None else None
