"""What the rows of regular resources have in common."""

from datetime import datetime
from typing import Annotated

import msgspec
from sqlalchemy import String
from sqlalchemy.orm import Mapped, mapped_column

from pileus.kernel import clock, ids
from pileus.kernel.rest.references import SomeProject
from pileus.kernel.rest.regular.attributes import Attr, text

Uuid = Annotated[str, text(r"^[0-9a-fA-F]{8}(-?[0-9a-fA-F]{4}){3}-?[0-9a-fA-F]{12}$", "a UUID", 36)]
"""The id of another thing, which can then be missing; what is no id at all is a mistake."""
Name = Annotated[str, msgspec.Meta(max_length=255)]
Time = Annotated[datetime | None, Attr(on="v", find="s")]


class StandardRow:
    """Mixin: identity, owner and the standard attributes of a regular resource."""

    id: Mapped[str] = mapped_column(String(36), primary_key=True, default=ids.new_id)
    project_id: Mapped[str] = mapped_column(String(255), index=True, default="")
    description: Mapped[str | None] = mapped_column(String(255), default="")
    created_at: Mapped[datetime] = mapped_column(default=clock.now)
    updated_at: Mapped[datetime] = mapped_column(default=clock.now)
    revision_number: Mapped[int] = mapped_column(default=1)


class Standard(msgspec.Struct, kw_only=True):
    """Base of a regular resource's attributes: those every one has."""

    id: Annotated[str, Attr(on="v")] = ""
    project_id: Annotated[SomeProject, Attr(on="cv")] = ""
    tenant_id: Annotated[str, Attr(on="v", find="", source="project_id")] = ""
    description: Name = ""
    created_at: Time = None
    updated_at: Time = None
    revision_number: Annotated[int, Attr(on="v")] = 0


class Tagged(Standard, kw_only=True):
    """Base of the attributes of a resource that can carry tags."""

    tags: Annotated[list[str], Attr(on="v", find="", source="")] = []
