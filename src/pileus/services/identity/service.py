"""What the kernel needs to know of identity."""

from pileus.kernel.runtime import Runtime
from pileus.kernel.service import CatalogEntry, Service
from pileus.services.identity.api.router import api
from pileus.services.identity.api.router import versions as versions_api
from pileus.services.identity.app.attempts import Attempts
from pileus.services.identity.app.audit import Auditor
from pileus.services.identity.app.compliance import Rules
from pileus.services.identity.app.directories import Directories
from pileus.services.identity.app.passwords import Passwords
from pileus.services.identity.app.validation import Tokens, authenticate
from pileus.services.identity.bootstrap import bootstrap


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
