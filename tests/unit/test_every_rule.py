"""Every route names its rule, and every rule is asked: what an operator writes into policy.yaml has an effect."""

import ast
import importlib
import pkgutil
import subprocess
import sys
from collections.abc import Iterator
from types import ModuleType

import pileus
from pileus.kernel.policy import RULES, Policy, Rule
from pileus.kernel.rest.regular import Resource
from tests.everywhere import ways

OPEN = {
    "version documents, which clients read before they log in": {
        "GET /compute",
        "GET /compute/v2",
        "GET /compute/v2.1",
        "GET /identity",
        "GET /identity/v3",
        "GET /image",
        "GET /key-manager",
        "GET /key-manager/v1",
        "GET /image/versions",
        "GET /networking/",
        "GET /networking/v2.0/",
        "GET /placement",
        "GET /volume",
        "GET /volume/v3",
        "GET /object-store/info",
        "GET /object-store/healthcheck",
    },
    "logging in: what is sent proves who asks": {
        "POST /identity/v3/auth/tokens",
        "POST /identity/v3/users/{user}/password",
        "POST /identity/v3/OS-OAUTH1/request_token",
        "POST /identity/v3/OS-OAUTH1/access_token",
        "POST /identity/v3/OS-OAUTH2/token",
        "GET /identity/v3/OS-OAUTH2/token",
        "PUT /identity/v3/OS-OAUTH2/token",
        "PATCH /identity/v3/OS-OAUTH2/token",
        "DELETE /identity/v3/OS-OAUTH2/token",
        "GET /identity/v3/OS-FEDERATION/identity_providers/{provider}/protocols/{protocol}/auth",
        "POST /identity/v3/OS-FEDERATION/identity_providers/{provider}/protocols/{protocol}/auth",
        "GET /identity/v3/auth/OS-FEDERATION/websso/{protocol}",
        "POST /identity/v3/auth/OS-FEDERATION/websso/{protocol}",
        "GET /identity/v3/auth/OS-FEDERATION/identity_providers/{provider}/protocols/{protocol}/websso",
        "POST /identity/v3/auth/OS-FEDERATION/identity_providers/{provider}/protocols/{protocol}/websso",
        "GET /identity/v3/auth/OS-FEDERATION/openid/callback",
        "GET /identity/v3/auth/OS-FEDERATION/saml2",
        "POST /identity/v3/auth/OS-FEDERATION/saml2",
        "GET /identity/v3/auth/OS-FEDERATION/saml2/ecp",
        "POST /identity/v3/auth/OS-FEDERATION/saml2/ecp",
        "GET /identity/v3/OS-FEDERATION/saml2/metadata",
        "GET /identity/v3/OS-SIMPLE-CERT/ca",
        "GET /identity/v3/OS-SIMPLE-CERT/certificates",
        "GET /compute/console",
        "GET /compute/console/novnc/{rest:path}",
    },
    "a container's access lists and temporary URLs may open it to all: object_store:read and :write, in the handler": {
        f"{method} /object-store/v1/{{account}}{below}"
        for below in ("", "/{container}", "/{container}/{name:path}")
        for method in ("HEAD", "GET", "POST", "PUT", "DELETE")
    },
}
"""The routes that need no rule, by the reason why."""
FOR_ALL = {
    "identity:get_auth_catalog",
    "identity:get_auth_domains",
    "identity:get_auth_projects",
    "identity:get_auth_system",
    "identity:get_limit_model",
    "identity:get_region",
    "identity:get_registered_limit",
    "identity:get_security_compliance_domain_config",
    "identity:list_limits",  # bounded to the caller's own by the query
    "identity:list_regions",
    "identity:list_registered_limits",
    "get_extension",
    "volume:availability_zone_list",
    "volume:list_extensions",
    "os_compute_api:extensions",
    "os_compute_api:flavors",  # the query shows public flavors and those the project was given
    "os_compute_api:images",  # handed on to the image service, whose rules judge
    "os_compute_api:limits",
    "os_compute_api:os-availability-zone:list",
    "os_compute_api:os-quota-sets:defaults",
}
"""Rules that any good token satisfies, as upstream's."""


ADMINISTRATORS = {
    "sees every project's rows: upstream's queries look at context.is_admin": {
        "block_storage.api.messages:load_message",
        "block_storage.api.quotas:show_limits",
        "block_storage.app.access:_visible",
        "block_storage.app.access:find_type",
        "block_storage.app.access:get_type",
        "compute.api.base:load_flavor",
        "compute.app.placing:group_of_hints",
        "identity.api.limits:list_limits",
        "identity.app.secrets:_check_owner",
        "image.api.data:list_tasks",
        "image.api.data:show_task",
        "image.api.filters:selection_of",
        "image.api.filters:visible_to",
        "image.api.members:_all_seen",
        "image.app.visibility:sees",
        "image.public:visible_images",
        "network.api.rbac:visible",
        "network.api.security_groups:ensure_default",
        "network.app.pools:_check_own_scope",
        "network.app.groups:create_rule",
        "network.app.sharing:_own",
        "network.app.sharing:create_share",
        "network.store.sharing:sees_all",
    },
    "has options of lists and sees columns that Cinder and Nova give by context.is_admin": {
        "block_storage.api.queries:project_of",
        "block_storage.api.queries:refuse_unknown",
        "block_storage.api.types:list_all",
        "block_storage.api.views:_entry",
        "block_storage.api.views:_show_extended",
        "block_storage.api.views:volume_view",
        "block_storage.api.volumes:_filter",
        "compute.api.flavors:_listed",
        "compute.api.server_listing:_changed",
        "compute.api.server_listing:_in_status",
        "compute.api.server_views:_common",
    },
    "may what upstream's code, not its rules, keeps to context.is_admin": {
        "compute.api.base:require_unlocked",  # locked servers
        "image.api.data:download_image",  # deactivated images
        "image.app.patches:update_image",  # another owner
        "network.app.groups:delete_group",  # a default group
        "network.app.sharing:update_share",  # everybody as the target
    },
    "tells the operation whose sight it has later, as upstream hands its context on": {
        "block_storage.app.volumes:create_volume",
        "compute.app.create:_begin",
        "compute.app.verbs:rebuild_server",
    },
}
"""Where services ask whether the caller is the administrator, by the reason why no rule of upstream's is asked."""


def test_every_route_names_its_rule_or_has_a_reason() -> None:
    without = {way.name for way in ways() if way.endpoint.route.rule is None}
    assert without == set().union(*OPEN.values())


def test_no_route_hides_a_rule_behind_one_for_all() -> None:
    routed = {way.endpoint.route.rule for way in ways()} - {None}
    assert {rule.name for rule in routed if rule is not None and rule.check in ("@", "")} == FOR_ALL


def test_every_rule_is_asked() -> None:
    every = list(ways())
    known = declared()
    routed = {way.endpoint.route.rule.name for way in every if way.endpoint.route.rule is not None}
    guarding = {name for resource in resources() for name in guards_of(resource)}
    named = {name for name in known if any(f"rule:{name}" in rule.check for rule in RULES.values())}
    assert known - routed - guarding - named - in_source() == set()


def test_every_rule_can_be_read_and_says_for_which_scopes() -> None:
    policy = Policy()
    for way in ways():
        rule = way.endpoint.route.rule
        if rule is not None:
            policy.tree(rule.name)
            assert rule.scopes, rule.name


def modules() -> Iterator[ModuleType]:
    """Yield every module of the services and of the kernel's HTTP side."""
    for found in pkgutil.walk_packages(pileus.__path__, "pileus."):
        if found.name.startswith(("pileus.services.", "pileus.kernel.")) and "drivers" not in found.name:
            yield importlib.import_module(found.name)


def declared() -> set[str]:
    """Return the rules that the product declares, asked of a new process: other tests here declare small services."""
    lines = "from pileus.kernel.policy import RULES; from tests.unit.test_every_rule import modules; "
    command = [sys.executable, "-c", f"{lines}list(modules()); print(*RULES)"]
    return set(subprocess.run(command, capture_output=True, text=True, check=True).stdout.split())


def guards_of(resource: Resource) -> set[str]:
    """Return the rules about single attributes of a resource."""
    return {rule.name for rules in resource.guards.values() for rule in rules.values()}


def resources() -> Iterator[Resource]:
    for module in modules():
        yield from (value for value in vars(module).values() if isinstance(value, Resource))


def in_source() -> set[str]:
    """Return the rules that code reads under the name they were given, besides giving it."""
    constants: dict[tuple[str, str], str] = {}
    trees: dict[str, tuple[ModuleType, ast.Module]] = {}
    for module in modules():
        if module.__file__ is None:
            continue
        with open(module.__file__) as file:
            trees[module.__name__] = module, ast.parse(file.read())
        for name, value in vars(module).items():
            if isinstance(value, Rule):
                constants[module.__name__, name] = value.name
    found: set[str] = set()
    for name, (module, tree) in trees.items():
        for node in ast.walk(tree):
            if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Load):
                found |= {constants[name, node.id]} if (name, node.id) in constants else set()
            elif isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name):
                owner = getattr(module, node.value.id, None)
                if isinstance(owner, ModuleType) and (owner.__name__, node.attr) in constants:
                    found.add(constants[owner.__name__, node.attr])
    return found


def test_services_ask_for_the_administrator_only_where_upstream_has_no_rule() -> None:
    found = set()
    for module in modules():
        if module.__name__.startswith("pileus.services.") and module.__file__ is not None:
            with open(module.__file__) as file:
                found |= {f"{module.__name__.removeprefix('pileus.services.')}:{name}" for name in asking(file.read())}
    assert found - set().union(*ADMINISTRATORS.values()) == set()


def asking(source: str) -> Iterator[str]:
    """Yield the functions that look at ``is_admin``."""
    for function in ast.walk(ast.parse(source)):
        named = isinstance(function, ast.FunctionDef | ast.AsyncFunctionDef)
        if named and any(isinstance(node, ast.Attribute) and node.attr == "is_admin" for node in ast.walk(function)):
            yield function.name
