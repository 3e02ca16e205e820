"""The options that domains have set."""

from collections.abc import Sequence

from sqlalchemy import delete, select

from pileus.kernel.db import Tx
from pileus.services.identity.model.domain_configs import DomainOption


def list_options(tx: Tx, domain_id: str, section: str | None = None, name: str | None = None) -> list[DomainOption]:
    """Return what a domain has set: all, one group's, or one option."""
    row = DomainOption
    statement = select(row).where(row.domain_id == domain_id).order_by(row.section, row.name)
    if section is not None:
        statement = statement.where(row.section == section)
    if name is not None:
        statement = statement.where(row.name == name)
    return list(tx.scalars(statement))


def put_option(tx: Tx, domain_id: str, section: str, name: str, value: str) -> None:
    """Set one option."""
    row = tx.get(DomainOption, (domain_id, section, name))
    if row is None:
        row = DomainOption(domain_id=domain_id, section=section, name=name)
        tx.add(row)
    row.value = value


def delete_options(tx: Tx, rows: Sequence[DomainOption]) -> None:
    """Remove options."""
    for row in rows:
        tx.delete(row)
    tx.flush()


def delete_configs(tx: Tx, domain_ids: Sequence[str]) -> None:
    """Remove all that these domains have set."""
    tx.execute(delete(DomainOption).where(DomainOption.domain_id.in_(domain_ids)))
