"""An application credential and its secret.  Rule: the secret itself is compared later, off the event loop."""

import msgspec

from pileus.kernel.db import Tx
from pileus.kernel.errors import Invalid, Unauthenticated
from pileus.services.identity.app.fernet import REFUSAL
from pileus.services.identity.app.methods.proof import Attempt, Proof, UserReference, find_user
from pileus.services.identity.model import ApplicationCredential
from pileus.services.identity.store import application_credentials


class CredentialMethod(msgspec.Struct):
    """``auth.identity.application_credential``."""

    secret: str
    id: str | None = None
    name: str | None = None
    user: UserReference | None = None


def prove(tx: Tx, attempt: Attempt, given: CredentialMethod) -> Proof:
    """Return whose credential it is, and the hash that the secret must fit."""
    row: ApplicationCredential | None = None
    if "\0" in (given.id or given.name or ""):
        pass  # none is called so, and not every database can be asked
    elif given.id:
        row = application_credentials.get_application_credential(tx, given.id)
    elif given.name and given.user is not None:
        user = find_user(tx, given.user)
        row = application_credentials.find_application_credential(tx, user.id, given.name) if user else None
    else:
        raise Invalid("An application credential must be named by its id, or by its name and its user.")
    if row is None:
        return Proof(secret=given.secret, needs_secret=True)
    id, hashed = row.id, row.secret_hash

    def settle(tx: Tx) -> None:
        row = application_credentials.get_application_credential(tx, id)
        if row is None or row.secret_hash != hashed:
            raise Unauthenticated(REFUSAL)  # it was taken away while it was being checked

    return Proof(
        user_id=row.user_id,
        secret=given.secret,
        hashed=hashed,
        needs_secret=True,
        credential_id=id,
        settle=settle,
    )
