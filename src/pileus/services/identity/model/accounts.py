"""What the rules for accounts and passwords have to remember of users, as rows.

Rule: a row exists only where a rule that is in force needs it.
"""

from datetime import date, datetime

from sqlalchemy import Date, String
from sqlalchemy.orm import Mapped, mapped_column

from pileus.kernel.db import Row


class Account(Row):
    """How a user's log-ins went."""

    __tablename__ = "identity_accounts"
    user_id: Mapped[str] = mapped_column(String(64), primary_key=True)
    failures: Mapped[int] = mapped_column(default=0)
    """Wrong passwords since the last right one."""
    failed_at: Mapped[datetime | None]
    active_on: Mapped[date | None] = mapped_column(Date)
    chose_password: Mapped[bool] = mapped_column(default=False)
    """The present password was chosen by the user, not given by an administrator."""


class FormerPassword(Row):
    """A password that a user had."""

    __tablename__ = "identity_former_passwords"
    id: Mapped[int] = mapped_column(primary_key=True, autoincrement=True)
    user_id: Mapped[str] = mapped_column(String(64), index=True)
    hashed: Mapped[str] = mapped_column(String(255))
