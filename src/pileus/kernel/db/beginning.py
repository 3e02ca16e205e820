"""SQLAlchemy's SQLite dialect, with transactions that begin in words of our choice.

Rule: no engine listens to SQLAlchemy's events of statements and transactions; one that does pays for them at every
statement, which was a tenth of all that a request costs.
"""

from typing import Any

from sqlalchemy.dialects import registry
from sqlalchemy.dialects.sqlite.pysqlite import SQLiteDialect_pysqlite

SCHEME = "sqlite+beginning"
"""What the URL of an engine with this dialect begins with; ``create_engine`` then takes ``begin``."""


class Beginning(SQLiteDialect_pysqlite):
    """Begins each transaction with ``begin``: the driver itself would begin at the first change only."""

    supports_statement_cache = True

    def __init__(self, begin: str = "BEGIN", **options: Any) -> None:
        super().__init__(**options)
        self._begin = begin

    def do_begin(self, dbapi_connection: Any) -> None:
        # Past the pool's cursor as well: every transaction begins here.
        dbapi_connection.dbapi_connection.execute(self._begin)


registry.register("sqlite.beginning", __name__, Beginning.__name__)
