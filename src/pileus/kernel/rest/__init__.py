"""REST: what a service author imports to declare routes, bodies and views."""

from pileus.kernel.rest.binding import InTransaction, WhenEnded
from pileus.kernel.rest.formats import (
    Page,
    compute_error,
    identity_error,
    identity_page,
    link_page,
    network_error,
    placement_error,
    plain_error,
    plain_page,
)
from pileus.kernel.rest.http import Request, Response, Socket, json_response
from pileus.kernel.rest.paging import page, sort_order
from pileus.kernel.rest.routing import Api, Route
from pileus.kernel.rest.schema import Body, OpenBody, Query, StrictQuery, View, changes, given
from pileus.kernel.rest.versions import Microversions, since, until

__all__ = [
    "Api",
    "Body",
    "InTransaction",
    "Microversions",
    "OpenBody",
    "Page",
    "Query",
    "Request",
    "Response",
    "Route",
    "Socket",
    "StrictQuery",
    "View",
    "WhenEnded",
    "changes",
    "compute_error",
    "given",
    "identity_error",
    "identity_page",
    "json_response",
    "link_page",
    "network_error",
    "page",
    "placement_error",
    "plain_error",
    "plain_page",
    "since",
    "sort_order",
    "until",
]
