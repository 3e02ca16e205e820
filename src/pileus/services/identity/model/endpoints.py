"""Which projects see which endpoints, and which policy files endpoints are told to use, as rows.

Rule: a project with any association sees what it is associated with and nothing else.
"""

from typing import Any

from sqlalchemy import String, Text
from sqlalchemy.orm import Mapped, mapped_column

from pileus.kernel.db import JsonText, Row

ANYWHERE = ""
"""``endpoint_id``, ``service_id`` or ``region_id`` of an association that does not name one: part of a primary key."""


class EndpointGroup(Row):
    """The endpoints that match every one of its filters."""

    __tablename__ = "identity_endpoint_groups"
    id: Mapped[str] = mapped_column(String(64), primary_key=True)
    name: Mapped[str] = mapped_column(String(255))
    description: Mapped[str | None] = mapped_column(Text)
    filters: Mapped[dict[str, Any]] = mapped_column(JsonText, default=dict)


class ProjectEndpoint(Row):
    """An endpoint that a project sees."""

    __tablename__ = "identity_project_endpoints"
    project_id: Mapped[str] = mapped_column(String(64), primary_key=True)
    endpoint_id: Mapped[str] = mapped_column(String(64), primary_key=True, index=True)


class ProjectEndpointGroup(Row):
    """An endpoint group that a project sees."""

    __tablename__ = "identity_project_endpoint_groups"
    project_id: Mapped[str] = mapped_column(String(64), primary_key=True)
    endpoint_group_id: Mapped[str] = mapped_column(String(64), primary_key=True, index=True)


class PolicyFile(Row):
    """A text that services of other makes may fetch; this cloud keeps it and reads nothing in it."""

    __tablename__ = "identity_policies"
    id: Mapped[str] = mapped_column(String(64), primary_key=True)
    type: Mapped[str] = mapped_column(String(255))
    blob: Mapped[Any] = mapped_column(JsonText)
    extra: Mapped[dict[str, Any]] = mapped_column(JsonText, default=dict)


class PolicyAssociation(Row):
    """The policy of an endpoint, of a service in a region, or of a service; each has one at most."""

    __tablename__ = "identity_policy_associations"
    endpoint_id: Mapped[str] = mapped_column(String(64), primary_key=True, default=ANYWHERE)
    service_id: Mapped[str] = mapped_column(String(64), primary_key=True, default=ANYWHERE)
    region_id: Mapped[str] = mapped_column(String(255), primary_key=True, default=ANYWHERE)
    policy_id: Mapped[str] = mapped_column(String(64), index=True)
