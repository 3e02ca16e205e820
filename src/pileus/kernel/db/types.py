"""Column types that mean the same on every engine, and what MariaDB must be told so that they do.

Rule: text is compared byte by byte (case, accents and trailing spaces count), moments keep their microseconds,
texts have no length short of what the engine can hold.
"""

from datetime import UTC, datetime
from typing import Any

import msgspec
from sqlalchemy import VARBINARY, DateTime, Dialect, String, Text
from sqlalchemy.ext.compiler import compiles
from sqlalchemy.schema import CreateTable
from sqlalchemy.sql.compiler import DDLCompiler, TypeCompiler
from sqlalchemy.types import TypeDecorator, TypeEngine

_decode = msgspec.json.Decoder().decode
MYSQL_FAMILY = ("mysql", "mariadb")
COLLATIONS = {"mariadb": "utf8mb4_nopad_bin", "mysql": "utf8mb4_0900_bin"}


def _parse(text: str | None) -> datetime | None:
    return datetime.fromisoformat(text + "+00:00") if text is not None else None


class UtcDateTime(TypeDecorator[datetime]):
    """Aware UTC moments with microseconds, stored without an offset on every engine."""

    impl = DateTime
    cache_ok = True

    def load_dialect_impl(self, dialect: Dialect) -> TypeEngine[Any]:
        if dialect.name in MYSQL_FAMILY:
            from sqlalchemy.dialects.mysql import DATETIME  # imported late: few need it

            return dialect.type_descriptor(DATETIME(fsp=6))
        return dialect.type_descriptor(DateTime())

    def process_bind_param(self, value: datetime | None, dialect: Dialect) -> datetime | None:
        if value is None or value.tzinfo is None:
            return value
        return value.astimezone(UTC).replace(tzinfo=None)

    def process_result_value(self, value: datetime | None, dialect: Dialect) -> datetime | None:
        return value.replace(tzinfo=UTC) if value is not None else None

    def result_processor(self, dialect: Dialect, coltype: object) -> Any:
        # SQLite hands over text: one step from there to an aware moment, where lists read thousands of them.
        return _parse if dialect.name == "sqlite" else super().result_processor(dialect, coltype)


def _load(text: str | None) -> Any:
    return None if text is None else _decode(text)


class JsonText(TypeDecorator[Any]):
    """Any JSON value (or msgspec struct), stored as text; assign a new value to change it, do not mutate it."""

    impl = Text
    cache_ok = True

    def process_bind_param(self, value: Any, dialect: Dialect) -> str | None:
        return None if value is None else msgspec.json.encode(value).decode()

    def result_processor(self, dialect: Dialect, coltype: object) -> Any:
        return _load  # every engine hands over the text as it is; lists read thousands of them


class ByteString(TypeDecorator[str]):
    """Text that is sorted by its UTF-8 bytes; its length is in bytes, so that long names can be indexed everywhere."""

    impl = String
    cache_ok = True

    def __init__(self, length: int) -> None:
        super().__init__(length)
        self.length = length

    def load_dialect_impl(self, dialect: Dialect) -> TypeEngine[Any]:
        if dialect.name in MYSQL_FAMILY:  # an index there holds 3072 bytes, which four bytes a character would exceed
            return dialect.type_descriptor(VARBINARY(self.length))
        if dialect.name == "postgresql":
            return dialect.type_descriptor(String(self.length, collation="C"))
        return dialect.type_descriptor(String(self.length))

    def process_bind_param(self, value: str | None, dialect: Dialect) -> Any:
        return value.encode() if value is not None and dialect.name in MYSQL_FAMILY else value

    def process_result_value(self, value: Any, dialect: Dialect) -> str | None:
        return value.decode() if isinstance(value, bytes) else value


@compiles(Text, "mysql", "mariadb")
def _text(element: Text, compiler: TypeCompiler, **_: Any) -> str:
    return "LONGTEXT"  # TEXT ends at 64 KiB


@compiles(CreateTable, "mysql", "mariadb")
def _create_table(element: CreateTable, compiler: DDLCompiler, **more: Any) -> str:
    made = compiler.visit_create_table(element, **more).rstrip()
    collation = COLLATIONS[compiler.dialect.name]
    return f"{made} ENGINE=InnoDB DEFAULT CHARSET=utf8mb4 COLLATE={collation} ROW_FORMAT=DYNAMIC\n"
