"""GET /OS-REVOKE/events: the revocations, for validators that keep tokens of their own."""

from datetime import UTC, datetime
from typing import Any

from pileus.kernel.db import Tx
from pileus.kernel.errors import Invalid
from pileus.kernel.policy import Rule
from pileus.kernel.rest import Page, Query
from pileus.services.identity.api.router import api, moment
from pileus.services.identity.api.rules import CLOUD
from pileus.services.identity.store import tokens

LIST = Rule("identity:list_revoke_events", "rule:admin_required or role:service", scopes=CLOUD)


class RevocationQuery(Query):
    since: str | None = None


@api.get("/OS-REVOKE/events", LIST, wrap="events")
def list_events(tx: Tx, query: RevocationQuery) -> Page:
    since = None
    if query.since is not None:
        try:
            since = datetime.fromisoformat(query.since)
        except ValueError:
            raise Invalid(f"since must be a time such as 2030-01-31T09:30:00Z, not {query.since[:64]!r}.") from None
        since = since.replace(tzinfo=UTC) if since.tzinfo is None else since
    return Page([_view(row) for row in tokens.list_revocations(tx, since)])


def _view(row: Any) -> dict[str, Any]:
    facts = ("audit_id", "audit_chain_id", "user_id", "project_id", "domain_id")
    view = {name: getattr(row, name) for name in facts if getattr(row, name) is not None}
    return {**view, "issued_before": moment(row.issued_before), "revoked_at": moment(row.revoked_at)}
