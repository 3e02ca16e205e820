"""Resource providers, what they offer, and what consumers hold of it.

Rule: the truth about what is used are the allocation rows.  Each inventory keeps their sum, changed in the transaction
that changes them (``store.allocations``) and nowhere else, so that no request reads the whole fleet; the simulation
compares the sums with the rows.
"""

from dataclasses import dataclass
from datetime import datetime

import os_resource_classes
import os_traits
from sqlalchemy import BigInteger, Index, String
from sqlalchemy.orm import Mapped, mapped_column

from pileus.kernel.db import Row

STANDARD_CLASSES = tuple(os_resource_classes.STANDARDS)
STANDARD_TRAITS = frozenset(os_traits.get_traits())
SHARING = "MISC_SHARES_VIA_AGGREGATE"
"""A provider with this trait gives of its inventory to all trees in its aggregates."""
MAX_INT = 0x7FFFFFFF


@dataclass(frozen=True, slots=True)
class Stock:
    """What a provider offers of one resource class."""

    total: int
    reserved: int = 0
    min_unit: int = 1
    max_unit: int = MAX_INT
    step_size: int = 1
    allocation_ratio: float = 1.0

    @property
    def capacity(self) -> int:
        """Return how much may be allocated in all."""
        return int((self.total - self.reserved) * self.allocation_ratio)

    def refuses(self, amount: int) -> str | None:
        """Return why one allocation may not have this size, or None."""
        if amount < self.min_unit:
            return f"at least {self.min_unit} must be asked for"
        if amount > self.max_unit:
            return f"at most {self.max_unit} may be asked for at once"
        if amount % self.step_size:
            return f"it is given in steps of {self.step_size}"
        return None


class Provider(Row):
    """Something that offers resources: a host, a part of one, a shared store.  Providers stand in trees."""

    __tablename__ = "placement_providers"
    __table_args__ = (Index("ix_placement_providers_age", "created_at", "uuid"),)
    uuid: Mapped[str] = mapped_column(String(36), primary_key=True)
    name: Mapped[str] = mapped_column(String(200), unique=True)
    generation: Mapped[int] = mapped_column(default=0)
    parent_uuid: Mapped[str | None] = mapped_column(String(36), index=True)
    root_uuid: Mapped[str] = mapped_column(String(36), index=True)
    created_at: Mapped[datetime]
    updated_at: Mapped[datetime]


class Inventory(Row):
    """A Stock as a row.  ``used`` is the sum of its allocations, ``free`` the capacity less that: below 0, too much."""

    __tablename__ = "placement_inventories"
    __table_args__ = (Index("ix_placement_inventories_free", "resource_class", "free", "provider_uuid"),)
    provider_uuid: Mapped[str] = mapped_column(String(36), primary_key=True)
    resource_class: Mapped[str] = mapped_column(String(255), primary_key=True)
    total: Mapped[int]
    reserved: Mapped[int]
    min_unit: Mapped[int]
    max_unit: Mapped[int]
    step_size: Mapped[int]
    allocation_ratio: Mapped[float]
    used: Mapped[int] = mapped_column(BigInteger, default=0)
    free: Mapped[int] = mapped_column(BigInteger)
    updated_at: Mapped[datetime]

    @property
    def stock(self) -> Stock:
        return Stock(self.total, self.reserved, self.min_unit, self.max_unit, self.step_size, self.allocation_ratio)


class ProviderTrait(Row):
    """A quality of a provider."""

    __tablename__ = "placement_provider_traits"
    provider_uuid: Mapped[str] = mapped_column(String(36), primary_key=True)
    trait: Mapped[str] = mapped_column(String(255), primary_key=True, index=True)


class ProviderAggregate(Row):
    """A provider in a group of providers."""

    __tablename__ = "placement_provider_aggregates"
    provider_uuid: Mapped[str] = mapped_column(String(36), primary_key=True)
    aggregate_uuid: Mapped[str] = mapped_column(String(36), primary_key=True, index=True)


class CustomClass(Row):
    """A resource class of this cloud's own (``CUSTOM_...``)."""

    __tablename__ = "placement_resource_classes"
    name: Mapped[str] = mapped_column(String(255), primary_key=True)
    updated_at: Mapped[datetime]


class CustomTrait(Row):
    """A trait of this cloud's own (``CUSTOM_...``)."""

    __tablename__ = "placement_traits"
    name: Mapped[str] = mapped_column(String(255), primary_key=True)
    updated_at: Mapped[datetime]


class Consumer(Row):
    """Who holds allocations; it exists as long as it holds any."""

    __tablename__ = "placement_consumers"
    __table_args__ = (Index("ix_placement_consumers_project", "project_id", "user_id"),)
    uuid: Mapped[str] = mapped_column(String(36), primary_key=True)
    project_id: Mapped[str] = mapped_column(String(255))
    user_id: Mapped[str] = mapped_column(String(255))
    type: Mapped[str | None] = mapped_column(String(255))
    generation: Mapped[int] = mapped_column(default=0)
    created_at: Mapped[datetime]
    updated_at: Mapped[datetime]


class Allocation(Row):
    """An amount of one class of one provider, held by a consumer."""

    __tablename__ = "placement_allocations"
    __table_args__ = (Index("ix_placement_allocations_stock", "provider_uuid", "resource_class"),)
    consumer_uuid: Mapped[str] = mapped_column(String(36), primary_key=True)
    provider_uuid: Mapped[str] = mapped_column(String(36), primary_key=True)
    resource_class: Mapped[str] = mapped_column(String(255), primary_key=True)
    used: Mapped[int]
    updated_at: Mapped[datetime]
