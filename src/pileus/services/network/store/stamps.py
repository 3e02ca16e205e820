"""The stamp of the rows that hosts are told of.  Rule: it grows in the transaction of every such change, once."""

from sqlalchemy import select, update

from pileus.kernel.db import Tx
from pileus.services.network.model import Stamp

_ADVANCE = update(Stamp).where(Stamp.id == 1).values(value=Stamp.value + 1)
_CURRENT = select(Stamp.value).where(Stamp.id == 1)


def advance(tx: Tx) -> None:
    """Make the stamp of this transaction newer than all before it."""
    if tx.info.get("network_stamp"):
        return
    tx.info["network_stamp"] = True
    if tx.connection().execute(_ADVANCE).rowcount != 1:
        tx.add(Stamp(id=1, value=1))
        tx.flush()


def own(tx: Tx) -> int:
    """Return the stamp of what this transaction changes: no other has it, and whatever commits later has more."""
    found = tx.info.get("network_stamp_value")
    if found is None:
        advance(tx)
        found = tx.info["network_stamp_value"] = current(tx)
    return found


def current(tx: Tx) -> int:
    """Return the stamp of what this transaction sees."""
    return tx.connection().execute(_CURRENT).scalar() or 0
