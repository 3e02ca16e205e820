"""What upstream has removed: it answers 410 in every version, so that clients learn that it will not come back."""

from pileus.kernel.errors import ApiError
from pileus.services.compute.api import rules
from pileus.services.compute.api.base import api

REMOVED = (
    ("GET POST", "/os-agents"),
    ("PUT DELETE", "/os-agents/{id}"),
    ("GET POST", "/os-cells"),
    ("GET", "/os-cells/capacities"),
    ("GET", "/os-cells/detail"),
    ("GET", "/os-cells/info"),
    ("GET PUT DELETE", "/os-cells/{id}"),
    ("POST", "/os-certificates"),
    ("GET", "/os-certificates/{id}"),
    ("GET POST", "/os-cloudpipe"),
    ("PUT", "/os-cloudpipe/configure-project"),
    ("GET", "/os-fping"),
    ("GET", "/os-fping/{id}"),
    ("GET", "/os-fixed-ips/{id}"),
    ("POST", "/os-fixed-ips/{id}/action"),
    ("GET", "/os-floating-ip-dns"),
    ("PUT DELETE", "/os-floating-ip-dns/{domain}"),
    ("GET PUT DELETE", "/os-floating-ip-dns/{domain}/entries/{name}"),
    ("GET POST", "/os-floating-ips-bulk"),
    ("GET PUT", "/os-floating-ips-bulk/{id}"),
    ("GET POST", "/os-security-group-default-rules"),
    ("GET DELETE", "/os-security-group-default-rules/{id}"),
    ("GET", "/servers/{server}/os-virtual-interfaces"),
    ("GET POST", "/servers/{server}/consoles"),
    ("GET DELETE", "/servers/{server}/consoles/{console}"),
)
"""Methods and paths, as ``nova.api.openstack.compute`` marks them."""
ACTIONS = ("injectNetworkInfo", "resetNetwork")
"""Actions of servers that only hypervisors had which are gone."""


def _gone() -> None:
    raise ApiError("This API has been removed; there is nothing that takes its place.", status=410)


def _declare() -> None:
    declare = {"GET": api.get, "POST": api.post, "PUT": api.put, "DELETE": api.delete}
    for methods, path in REMOVED:
        for method in methods.split():

            def handler() -> None:
                _gone()

            declare[method](path, rules.EXTENSIONS)(handler)
    for action in ACTIONS:

        def act() -> None:
            _gone()

        api.action("/servers/{server}/action", action, rules.EXTENSIONS)(act)


_declare()
