"""The regular family of APIs: a resource from one annotated struct (see ``resource``)."""

from pileus.kernel.rest.regular.attributes import Attr, text
from pileus.kernel.rest.regular.filters import Filter, ListQuery, boolean
from pileus.kernel.rest.regular.resource import READ, Resource
from pileus.kernel.rest.regular.rows import Name, Standard, StandardRow, Tagged, Time, Uuid
from pileus.kernel.rest.regular.tag_routes import add_tag_routes
from pileus.kernel.rest.regular.tags import drop_tags, tags_of

__all__ = [
    "READ",
    "Attr",
    "Filter",
    "ListQuery",
    "Name",
    "Resource",
    "Standard",
    "StandardRow",
    "Tagged",
    "Time",
    "Uuid",
    "add_tag_routes",
    "boolean",
    "drop_tags",
    "tags_of",
    "text",
]
