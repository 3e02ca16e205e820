"""The regular family of APIs: a resource from one annotated struct (see ``resource``)."""

from pileus.kernel.rest.regular.attributes import Attr, text
from pileus.kernel.rest.regular.dialect import CREATE, DELETE, LIST, SHOW, UPDATE, Dialect
from pileus.kernel.rest.regular.filters import Filter, ListQuery, boolean
from pileus.kernel.rest.regular.resource import ALL, Extension, Resource
from pileus.kernel.rest.regular.rows import Name, Standard, StandardRow, Tagged, Time, Uuid
from pileus.kernel.rest.regular.tags import drop_tags, tags_of

__all__ = [
    "ALL",
    "CREATE",
    "DELETE",
    "LIST",
    "SHOW",
    "UPDATE",
    "Attr",
    "Dialect",
    "Extension",
    "Filter",
    "ListQuery",
    "Name",
    "Resource",
    "Standard",
    "StandardRow",
    "Tagged",
    "Time",
    "Uuid",
    "boolean",
    "drop_tags",
    "tags_of",
    "text",
]
