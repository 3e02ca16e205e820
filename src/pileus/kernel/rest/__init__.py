"""REST: what a service author imports to declare routes, bodies and views."""

from pileus.kernel.rest.binding import InTransaction, WhenEnded
from pileus.kernel.rest.bounds import (
    Count,
    Extra,
    Id,
    Ids,
    Label,
    Metadata,
    Name,
    Names,
    Objects,
    Text,
    at_most,
)
from pileus.kernel.rest.formats import Page, link_page, plain_page
from pileus.kernel.rest.http import Request, Response, Socket, json_response
from pileus.kernel.rest.paging import Sieve, page, page_size, sort_order
from pileus.kernel.rest.routing import Api, Route
from pileus.kernel.rest.schema import Body, OpenBody, Query, StrictQuery, View, changes, given
from pileus.kernel.rest.versions import Microversions, since, until

__all__ = [
    "Api",
    "Body",
    "Count",
    "Extra",
    "Id",
    "Ids",
    "InTransaction",
    "Label",
    "Metadata",
    "Microversions",
    "Name",
    "Names",
    "Objects",
    "OpenBody",
    "Page",
    "Query",
    "Request",
    "Response",
    "Route",
    "Sieve",
    "Socket",
    "StrictQuery",
    "Text",
    "View",
    "WhenEnded",
    "at_most",
    "changes",
    "given",
    "json_response",
    "link_page",
    "page",
    "page_size",
    "plain_page",
    "since",
    "sort_order",
    "until",
]
