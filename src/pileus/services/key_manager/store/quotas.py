"""The quotas that were set for projects."""

from collections.abc import Sequence

from sqlalchemy import func, select

from pileus.kernel.db import Tx
from pileus.kernel.quota import QuotaLimit
from pileus.kernel.rest.regular import ListQuery

OURS = QuotaLimit.service == "key_manager"


def own_limits(tx: Tx, project_ids: Sequence[str]) -> dict[str, dict[str, int]]:
    """Return what is set for projects, by project and name; those with nothing are absent."""
    found: dict[str, dict[str, int]] = {}
    for row in tx.scalars(select(QuotaLimit).where(OURS, QuotaLimit.project_id.in_(project_ids))):
        found.setdefault(row.project_id, {})[row.name] = row.hard_limit
    return found


def list_limits(tx: Tx, query: ListQuery) -> dict[str, dict[str, int]]:
    """Return a page of the projects for which something is set, by id."""
    query.total = tx.scalar(select(func.count(QuotaLimit.project_id.distinct())).where(OURS)) or 0
    page = select(QuotaLimit.project_id).where(OURS).distinct().order_by(QuotaLimit.project_id)
    ids = tx.scalars(page.offset(query.offset).limit(query.limit)).all()
    found = own_limits(tx, ids)
    return {id: found[id] for id in ids}
