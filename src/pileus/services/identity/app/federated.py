"""What a token of somebody whom another vouched for rests on besides the user itself."""

from pileus.kernel import clock
from pileus.kernel.db import Tx
from pileus.kernel.errors import Unauthenticated
from pileus.services.identity.app.fernet import REFUSAL
from pileus.services.identity.store import federation


def groups(tx: Tx, user_id: str, whence: tuple[str, str]) -> tuple[str, ...]:
    """Return the groups the provider put a user into; raise Unauthenticated when provider or protocol is no more."""
    provider = federation.get_provider(tx, whence[0])
    if provider is None or not provider.enabled or federation.get_protocol(tx, *whence) is None:
        raise Unauthenticated(REFUSAL)
    return tuple(federation.group_ids_of(tx, user_id, provider.id, clock.now()))
