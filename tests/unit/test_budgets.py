"""No request is unbounded: every list, dictionary and matched text in any body says how much it may hold.

Parameters of URLs are counted and measured before they are read (`tests/unit/kernel/test_bounds.py`).
"""

import msgspec

from pileus.kernel.rest.bounds import undeclared
from pileus.kernel.rest.openapi import DOCUMENTED
from tests.everywhere import ways

REFUSED = "refused whatever it is"
OWN = "read by the service itself, with sentences of its own; a body's width and depth bound it"
ACTION = "POST /compute/v2.1/servers/{server}/action"
EXCEPTIONS: dict[str, str] = {
    "pileus.services.identity.app.authentication.Auth.scope.unscoped": "only its presence counts",
    "pileus.services.identity.api.oauth1.ConsumerUpdate.secret": REFUSED,
    "POST /image/v2/images/{image}/import": OWN,
    "PATCH /image/v2/images/{image}": OWN,
    **{
        f"{ACTION} ({name})": REFUSED
        for name in ("rescue", "unrescue", "os-migrateLive", "shelve", "unshelve", "createBackup")
    },
}
"""Declarations without a bound, and what bounds them instead."""


def test_every_declaration_of_a_body_has_its_bound():
    found: dict[str, None] = {}
    for way in ways():
        endpoint = way.endpoint
        _, body = getattr(endpoint.route.handler, DOCUMENTED, None) or (None, endpoint.body_kind)
        if body is not None:
            is_struct = isinstance(body, type) and issubclass(body, msgspec.Struct)
            where = f"{body.__module__}.{body.__name__}" if is_struct else way.name
            found.update(dict.fromkeys(undeclared(body, where)))
    assert [where for where in found if where not in EXCEPTIONS] == []
    assert [where for where in EXCEPTIONS if where not in found] == [], "exceptions that are none any more"
