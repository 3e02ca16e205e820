"""What the kernel needs to know of identity."""

from pileus.kernel.runtime import Runtime
from pileus.kernel.service import CatalogEntry, Service
from pileus.services.identity import reconcile
from pileus.services.identity.api import (
    access_keys,
    application_credentials,
    auth,
    catalog,
    credentials,
    domain_configs,
    endpoint_filter,
    federation_auth,
    grants,
    identity_providers,
    limits,
    mappings,
    oauth1,
    oauth1_access_tokens,
    oauth2,
    policies,
    regions,
    revocations,
    role_assignments,
    roles,
    saml,
    service_providers,
    simple_cert,
    trusts,
    versions,
    websso,
)
from pileus.services.identity.api.router import api
from pileus.services.identity.api.router import versions as versions_api
from pileus.services.identity.app.attempts import Attempts
from pileus.services.identity.app.audit import Auditor
from pileus.services.identity.app.compliance import Rules
from pileus.services.identity.app.directories import Directories
from pileus.services.identity.app.passwords import Passwords
from pileus.services.identity.app.validation import Tokens, authenticate
from pileus.services.identity.bootstrap import bootstrap

DECLARING = (
    access_keys,
    application_credentials,
    auth,
    catalog,
    credentials,
    domain_configs,
    endpoint_filter,
    federation_auth,
    grants,
    limits,
    policies,
    identity_providers,
    mappings,
    oauth1,
    oauth1_access_tokens,
    oauth2,
    reconcile,
    regions,
    revocations,
    role_assignments,
    roles,
    saml,
    simple_cert,
    service_providers,
    trusts,
    versions,
    websso,
)
"""Imported so that their routes and reconcilers are declared; the other resources are imported by these."""


async def start(runtime: Runtime) -> None:
    """Have the keys and the threads before the first request."""
    runtime.keep(runtime.part(Tokens).rotate_keys_forever, "identity.keys")
    runtime.keep(runtime.part(Directories).mirror_forever, "identity.directories")
    runtime.part(Passwords)
    runtime.part(Auditor)
    runtime.part(Attempts)
    runtime.part(Rules)


async def stop(runtime: Runtime) -> None:
    """Let the threads end, and no attempt go without its record."""
    runtime.part(Passwords).close()
    runtime.part(Directories).close()
    await runtime.part(Attempts).write()
    runtime.part(Auditor).log.close()


SERVICE = Service(
    "identity",
    "/identity",
    [versions_api, api],
    catalog=[CatalogEntry("identity", "keystone", "/identity", "Identity: users, projects, roles, tokens")],
    authenticate=authenticate,
    bootstrap=bootstrap,
    start=start,
    stop=stop,
    mounts={"/Shibboleth.sso": "pileus.services.identity.api.shibboleth:make_shibboleth"},
    order=0,
)
