"""Running revisions forward and back with Alembic's operations, and writing new ones.

Rule: a revision may be run again after it was killed anywhere.  Where the engine cannot take back changes of the
schema, an operation whose result is there already is passed over.
"""

import importlib.util
import logging
from pathlib import Path
from types import ModuleType
from typing import Any, Literal

from alembic.autogenerate import produce_migrations, render_python_code
from alembic.autogenerate.api import AutogenContext
from alembic.operations import MigrateOperation, Operations, ops
from alembic.runtime.migration import MigrationContext
from sqlalchemy import Connection, create_engine, inspect

from pileus.kernel.db import types
from pileus.kernel.db.base import Row
from pileus.kernel.db.schema import FOLDER, TABLE, Revision, WrongSchema, chain, stamp, stored, tables, transactional

log = logging.getLogger(__name__)

HEADER = '''"""{title}"""

import sqlalchemy as sa
from alembic import op

from pileus.kernel import db

revision = "{revision}"


def upgrade() -> None:
'''


def upgrade(connection: Connection, folder: Path = FOLDER, to: str | None = None) -> list[str]:
    """Run the revisions that the database lacks, up to ``to`` or all; return which."""
    revisions = chain(folder)
    names = [revision.id for revision in revisions]
    here = -1 if (found := stored(connection)) is None else _position(names, found)
    there = len(names) - 1 if to is None else _position(names, to)
    ran = revisions[here + 1 : there + 1]
    for revision in ran:
        log.info("migrating the database to revision %s", revision.id)
        _run(connection, revision, "upgrade")
        stamp(connection, revision.id)
    return [revision.id for revision in ran]


def downgrade(connection: Connection, to: str, folder: Path = FOLDER) -> list[str]:
    """Take back every revision after ``to``, newest first; return which."""
    revisions = chain(folder)
    names = [revision.id for revision in revisions]
    here, there = _position(names, stored(connection) or ""), _position(names, to)
    ran = list(reversed(revisions[there + 1 : here + 1]))
    for revision in ran:
        log.info("taking back revision %s of the database", revision.id)
        _run(connection, revision, "downgrade")
        stamp(connection, names[names.index(revision.id) - 1])
    return [revision.id for revision in ran]


def _position(names: list[str], revision: str) -> int:
    if revision in names:
        return names.index(revision)
    raise WrongSchema(
        f"The database has revision {revision or '(none)'}, which this program does not know (it knows "
        f"{', '.join(names)}): it was made by a newer version, or by one from before the first release. Start that "
        "version, restore a backup, or start anew with `pileus down --purge`."
    )


def _run(connection: Connection, revision: Revision, direction: str) -> None:
    context = MigrationContext.configure(connection, opts={"version_table": TABLE, "render_as_batch": True})
    with Operations.context(context):
        getattr(_load(revision), direction)()


def _load(revision: Revision) -> ModuleType:
    spec = importlib.util.spec_from_file_location(f"pileus.migrations.{revision.path.stem}", revision.path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


# What an interrupted revision has done already.


def _columns(connection: Connection, table: str) -> set[str]:
    return {column["name"] for column in inspect(connection).get_columns(table)}


def _keys(connection: Connection, table: str) -> set[str | None]:
    look = inspect(connection)
    if not look.has_table(table):
        return set()
    found = [*look.get_indexes(table), *look.get_unique_constraints(table), *look.get_foreign_keys(table)]
    return {entry["name"] for entry in found}


def _is_done(connection: Connection, operation: MigrateOperation) -> bool:
    """Tell whether an operation's result is there."""
    look = inspect(connection)
    match operation:
        case ops.CreateTableOp():
            return look.has_table(operation.table_name)
        case ops.DropTableOp():
            return not look.has_table(operation.table_name)
        case ops.RenameTableOp():
            return look.has_table(operation.new_table_name) and not look.has_table(operation.table_name)
        case ops.AddColumnOp():
            return operation.column.name in _columns(connection, operation.table_name)
        case ops.DropColumnOp():
            return operation.column_name not in _columns(connection, operation.table_name)
        case ops.AlterColumnOp():
            names = _columns(connection, operation.table_name)
            return operation.modify_name in names and operation.column_name not in names
        case ops.CreateIndexOp():
            return operation.index_name in _keys(connection, operation.table_name)
        case ops.DropIndexOp():
            return operation.index_name not in _keys(connection, operation.table_name or "")
        case ops.CreateUniqueConstraintOp():
            return operation.constraint_name in _keys(connection, operation.table_name)
        case ops.CreateForeignKeyOp():
            return operation.constraint_name in _keys(connection, operation.source_table)
        case ops.DropConstraintOp():
            return operation.constraint_name not in _keys(connection, operation.table_name)
    return False


def _pass_over(kind: type[MigrateOperation]) -> None:
    """Have operations of this kind look first whether they are done, where they may have been interrupted."""
    done_by = Operations._to_impl.dispatch(kind)

    def run(operations: Operations, operation: Any) -> Any:
        connection = operations.get_bind()
        if not transactional(connection) and _is_done(connection, operation):
            log.info("done already: %s", type(operation).__name__)
            return None
        return done_by(operations, operation)

    Operations.implementation_for(kind, replace=True)(run)


for _kind in (
    ops.CreateTableOp,
    ops.DropTableOp,
    ops.RenameTableOp,
    ops.AddColumnOp,
    ops.DropColumnOp,
    ops.AlterColumnOp,
    ops.CreateIndexOp,
    ops.DropIndexOp,
    ops.CreateUniqueConstraintOp,
    ops.CreateForeignKeyOp,
    ops.DropConstraintOp,
):
    _pass_over(_kind)


# Writing revisions.


def _render_item(kind: str, item: Any, context: AutogenContext) -> str | Literal[False]:
    if kind == "type" and isinstance(item, (types.UtcDateTime, types.JsonText)):
        return f"db.{type(item).__name__}()"
    if kind == "type" and isinstance(item, types.ByteString):
        return f"db.ByteString({item.length})"
    return False


def _compare(connection: Connection) -> tuple[ops.MigrationScript, MigrationContext]:
    ours = {table.name for table in tables()}
    options = {
        "version_table": TABLE,
        "compare_type": True,
        "render_as_batch": True,
        "render_item": _render_item,
        "include_name": lambda name, kind, parents: kind != "table" or name in ours,
        "include_object": lambda item, name, kind, reflected, other: kind != "table" or name in ours,
        "target_metadata": Row.metadata,
    }
    context = MigrationContext.configure(connection, opts=options)
    return produce_migrations(context, Row.metadata), context


def _render(operations: ops.UpgradeOps | ops.DowngradeOps | None, context: MigrationContext) -> str:
    assert operations is not None
    code = render_python_code(operations, render_as_batch=True, render_item=_render_item, migration_context=context)
    return "\n".join(line.rstrip() for line in code.splitlines() if "### commands" not in line) + "\n"


def write(title: str, folder: Path = FOLDER) -> Path | None:
    """Write the revision that leads from the end of the chain, or from nothing, to the models; None when they agree."""
    with create_engine("sqlite://").connect() as connection:
        upgrade(connection, folder)
        script, context = _compare(connection)
        if script.upgrade_ops is None or script.upgrade_ops.is_empty():
            return None
        forward, back = _render(script.upgrade_ops, context), _render(script.downgrade_ops, context)
    words = "_".join("".join(c if c.isalnum() else " " for c in title.lower()).split())[:40]
    name = f"{len(chain(folder)) + 1:04}_{words}"
    path = folder / f"{name}.py"
    path.write_text(HEADER.format(title=title, revision=name) + forward + "\n\ndef downgrade() -> None:\n" + back)
    return path
