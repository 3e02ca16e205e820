"""People and their pets."""

import sqlalchemy as sa
from alembic import op

from pileus.kernel import db

revision = "0001_first"


def upgrade() -> None:
    op.create_table(
        "test_people",
        sa.Column("id", sa.String(36), nullable=False),
        sa.Column("full_name", sa.String(255), nullable=False),
        sa.Column("born_at", db.UtcDateTime(), nullable=True),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_test_people")),
    )
    op.create_table(
        "test_pets",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("owner_id", sa.String(36), nullable=False),
        sa.ForeignKeyConstraint(["owner_id"], ["test_people.id"], name=op.f("fk_test_pets_owner"), ondelete="CASCADE"),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_test_pets")),
    )
