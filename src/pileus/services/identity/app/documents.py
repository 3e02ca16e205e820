"""The document of a token, and the catalog in it."""

import re
from typing import Any

from pileus.kernel import clock
from pileus.kernel.context import Context
from pileus.kernel.db import Tx
from pileus.services.identity.app.validation import Named, Token
from pileus.services.identity.store import catalog as catalog_rows

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


def catalog(tx: Tx, ctx: Context, *, project_id: str | None, user_id: str | None) -> list[dict[str, Any]]:
    """Return the catalog as this caller sees it."""
    values = {
        "base_url": ctx.base_url,
        "public_url": ctx.base_url,
        "project_id": project_id,
        "tenant_id": project_id,
        "user_id": user_id,
    }
    found = []
    for service, endpoints in catalog_rows.enabled_catalog(tx):
        shown = [
            {
                "id": row.id,
                "interface": row.interface,
                "region": row.region_id,
                "region_id": row.region_id,
                "url": url,
            }
            for row in endpoints
            if (url := render_url(row.url, values)) is not None
        ]
        found.append({"id": service.id, "type": service.type, "name": service.name, "endpoints": shown})
    return found


def token_document(tx: Tx, ctx: Context, token: Token, *, with_catalog: bool = True) -> dict[str, Any]:
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
    if payload.scope:
        document["roles"] = [{"id": role.id, "name": role.name} for role in token.roles]
    if token.project is not None and token.domain is not None:
        document["project"] = {**_reference(token.project), "domain": _reference(token.domain)}
        document["is_domain"] = token.project.is_domain
    elif payload.scope == "d" and token.domain is not None:
        document["domain"] = _reference(token.domain)
    elif payload.scope == "s":
        document["system"] = {"all": True}
    if payload.scope and with_catalog:
        document["catalog"] = catalog(tx, ctx, project_id=payload.project_id, user_id=payload.user_id)
    if token.application_credential is not None:
        row = token.application_credential
        document["application_credential"] = {"id": row.id, "name": row.name, "restricted": token.restricted}
        if token.access_rules is not None:
            document["application_credential"]["access_rules"] = [
                {"id": rule.id, "service": rule.service, "path": rule.path, "method": rule.method}
                for rule in token.access_rules
            ]
    return document


def _reference(row: Named) -> dict[str, str]:
    return {"id": row.id, "name": row.name}


def _moment(moment: Any) -> str | None:
    return f"{clock.iso_micro(moment)}Z" if moment is not None else None
