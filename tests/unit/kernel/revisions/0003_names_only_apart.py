"""Let go of the name in one piece, now that the parts are filled; a table for houses."""

import sqlalchemy as sa
from alembic import op

revision = "0003_names_only_apart"

people = sa.table(
    "test_people", *(sa.column(name, sa.String) for name in ("id", "full_name", "first_name", "last_name"))
)


def upgrade() -> None:
    op.create_table(
        "test_houses",
        sa.Column("number", sa.Integer(), nullable=False),
        sa.PrimaryKeyConstraint("number", name=op.f("pk_test_houses")),
    )
    with op.batch_alter_table("test_people") as table:
        table.alter_column("last_name", existing_type=sa.String(255), nullable=False)
        table.drop_column("full_name")


def downgrade() -> None:
    with op.batch_alter_table("test_people") as table:
        table.add_column(sa.Column("full_name", sa.String(255), nullable=False, server_default=""))
        table.alter_column("last_name", existing_type=sa.String(255), nullable=True)
    op.execute(sa.update(people).values(full_name=people.c.first_name + " " + people.c.last_name))
    with op.batch_alter_table("test_people") as table:
        table.alter_column("full_name", existing_type=sa.String(255), server_default=None, existing_nullable=False)
    op.drop_table("test_houses")
