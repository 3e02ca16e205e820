"""Registered limits and limits: how much of a resource of any service a project or a domain may have, as rows.

Rule: a limit overrides the default of one registered limit for one project or one domain.
"""

from sqlalchemy import String, Text, UniqueConstraint
from sqlalchemy.orm import Mapped, mapped_column

from pileus.kernel.db import Row

NONE = ""
"""What stands for "not given" in columns of unique constraints, which ignore NULL."""
UNLIMITED = -1


class RegisteredLimit(Row):
    """What everybody may have of a resource unless a limit says otherwise."""

    __tablename__ = "identity_registered_limits"
    __table_args__ = (UniqueConstraint("service_id", "region_id", "resource_name"),)
    id: Mapped[str] = mapped_column(String(64), primary_key=True)
    service_id: Mapped[str] = mapped_column(String(64))
    region_id: Mapped[str] = mapped_column(String(255), default=NONE)
    resource_name: Mapped[str] = mapped_column(String(255))
    default_limit: Mapped[int]
    description: Mapped[str | None] = mapped_column(Text)


class Limit(Row):
    """What one project or domain may have."""

    __tablename__ = "identity_limits"
    __table_args__ = (UniqueConstraint("registered_limit_id", "project_id", "domain_id"),)
    id: Mapped[str] = mapped_column(String(64), primary_key=True)
    registered_limit_id: Mapped[str] = mapped_column(String(64))
    project_id: Mapped[str] = mapped_column(String(64), default=NONE, index=True)
    domain_id: Mapped[str] = mapped_column(String(64), default=NONE, index=True)
    resource_limit: Mapped[int]
    description: Mapped[str | None] = mapped_column(Text)
