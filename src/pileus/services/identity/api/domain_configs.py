"""Settings of single domains, and what counts where none were set."""

from typing import Any

from pileus.kernel import policy
from pileus.kernel.context import Context
from pileus.kernel.db import Tx
from pileus.kernel.policy import Rule
from pileus.kernel.rest import Extra, Request, Response, json_response
from pileus.kernel.runtime import Runtime
from pileus.services.identity.api.domains import Domain
from pileus.services.identity.api.router import api
from pileus.services.identity.api.rules import ADMIN, CLOUD, EVERY, SYSTEM_READER
from pileus.services.identity.app import domain_configs
from pileus.services.identity.app.domain_configs import COMPLIANCE
from pileus.services.identity.model import IdentitySettings

GET = Rule("identity:get_domain_config", SYSTEM_READER, scopes=CLOUD)
GET_COMPLIANCE = Rule("identity:get_security_compliance_domain_config", policy.ANYONE, scopes=EVERY)
DEFAULT = Rule("identity:get_domain_config_default", SYSTEM_READER, scopes=CLOUD)
CREATE = Rule("identity:create_domain_config", ADMIN, scopes=CLOUD)
UPDATE = Rule("identity:update_domain_config", ADMIN, scopes=CLOUD)
DELETE = Rule("identity:delete_domain_config", ADMIN, scopes=CLOUD)

ALL = "/domains/{domain}/config"
GROUP = f"{ALL}/{{group}}"
OPTION = f"{GROUP}/{{option}}"


def _named(request: Request) -> tuple[str | None, str | None]:
    return request.params.get("group"), request.params.get("option")


@api.get("/domains/config/default", DEFAULT, wrap="config")
def show_defaults() -> dict[str, Any]:
    return domain_configs.default()


@api.get("/domains/config/{group}/default", DEFAULT, wrap="config")
def show_group_defaults(group: str) -> dict[str, Any]:
    return domain_configs.default(group)


@api.get("/domains/config/{group}/{option}/default", DEFAULT, wrap="config")
def show_option_default(group: str, option: str) -> dict[str, Any]:
    return domain_configs.default(group, option)


@api.put(ALL, CREATE, body="config")
def create_config(tx: Tx, ctx: Context, runtime: Runtime, domain: Domain, body: Extra) -> Response:
    config, is_new = domain_configs.create(tx, runtime, ctx, domain.id, body)
    return json_response({"config": config}, 201 if is_new else 200)


@api.get(ALL, GET, wrap="config")
def show_config(tx: Tx, domain: Domain) -> dict[str, Any]:
    return domain_configs.show(tx, domain.id)


@api.patch(ALL, UPDATE, wrap="config", body="config")
def update_config(tx: Tx, ctx: Context, runtime: Runtime, domain: Domain, body: Extra) -> dict[str, Any]:
    return domain_configs.update(tx, runtime, ctx, domain.id, body)


@api.delete(ALL, DELETE)
def delete_config(tx: Tx, ctx: Context, domain: Domain) -> None:
    domain_configs.delete(tx, ctx, domain.id)


def _declare_parts(path: str) -> None:
    """Declare the verbs of a group, or of an option in it."""

    @api.get(path.replace("{group}", COMPLIANCE), GET_COMPLIANCE, wrap="config")
    def show_compliance(request: Request, settings: IdentitySettings, domain: Domain) -> dict[str, Any]:
        return domain_configs.compliance(settings, domain.id, request.params.get("option"))

    @api.get(path, GET, wrap="config")
    def show_part(tx: Tx, request: Request, domain: Domain) -> dict[str, Any]:
        return domain_configs.show(tx, domain.id, *_named(request))

    @api.patch(path, UPDATE, wrap="config", body="config")
    def update_part(
        tx: Tx, ctx: Context, runtime: Runtime, request: Request, domain: Domain, body: Extra
    ) -> dict[str, Any]:
        return domain_configs.update(tx, runtime, ctx, domain.id, body, *_named(request))

    @api.delete(path, DELETE)
    def delete_part(tx: Tx, ctx: Context, request: Request, domain: Domain) -> None:
        domain_configs.delete(tx, ctx, domain.id, *_named(request))


_declare_parts(GROUP)
_declare_parts(OPTION)
