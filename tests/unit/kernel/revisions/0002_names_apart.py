"""Keep first and last names apart: the columns, and what goes into them."""

import sqlalchemy as sa
from alembic import op

revision = "0002_names_apart"

people = sa.table("test_people", *(sa.column(name) for name in ("id", "full_name", "first_name", "last_name")))


def upgrade() -> None:
    with op.batch_alter_table("test_people") as table:
        table.add_column(sa.Column("first_name", sa.String(255), nullable=True))
        table.add_column(sa.Column("last_name", sa.String(255), nullable=True))
    bind = op.get_bind()
    for id, full_name in bind.execute(sa.select(people.c.id, people.c.full_name).where(people.c.last_name.is_(None))):
        first, _, last = full_name.rpartition(" ")
        bind.execute(sa.update(people).where(people.c.id == id).values(first_name=first, last_name=last))
    op.create_index("ix_test_people_last_name", "test_people", ["last_name"])


def downgrade() -> None:
    op.drop_index("ix_test_people_last_name", "test_people")
    with op.batch_alter_table("test_people") as table:
        table.drop_column("first_name")
        table.drop_column("last_name")
