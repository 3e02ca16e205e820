"""Secrets that must be read again, so they are encrypted, not hashed.

Rule: the keys are files beside the tokens' keys; what is in the database opens with nothing else.
"""

import hashlib
from typing import Any

import msgspec
from cryptography.fernet import InvalidToken

from pileus.kernel import events, ids
from pileus.kernel.context import Context
from pileus.kernel.db import Tx
from pileus.kernel.errors import Conflict, Invalid, Unavailable
from pileus.kernel.runtime import Runtime
from pileus.services.identity.app import reach
from pileus.services.identity.app.fernet import FernetKeys
from pileus.services.identity.model import Credential
from pileus.services.identity.store import credentials, projects, users

EC2 = "ec2"
TOTP = "totp"


class CredentialKeys(FernetKeys):
    """The keys of one cloud's credentials; none is forgotten, because rows rest on each."""

    def __init__(self, runtime: Runtime) -> None:
        super().__init__(runtime.config.state / "identity" / "credential-keys", None)


def seal(runtime: Runtime, secret: str) -> str:
    """Return a secret encrypted, as it may be kept in a row."""
    return runtime.part(CredentialKeys).encrypt(secret.encode("utf-8", "surrogatepass")).decode()


def unseal(runtime: Runtime, sealed: str) -> str:
    """Return what was sealed; raise Unavailable when its key is gone."""
    try:
        return runtime.part(CredentialKeys).decrypt(sealed.encode()).decode("utf-8", "surrogatepass")
    except InvalidToken:
        folder = runtime.part(CredentialKeys).folder
        raise Unavailable(f"The key of a secret is not in {folder}: restore it from a backup.") from None


def blob_of(runtime: Runtime, row: Credential) -> str:
    """Return the secret of a credential; raise Unavailable when its key is gone."""
    try:
        return runtime.part(CredentialKeys).decrypt(row.sealed.encode()).decode()
    except InvalidToken:
        folder = runtime.part(CredentialKeys).folder
        raise Unavailable(f"The key of credential {row.id} is not in {folder}: restore it from a backup.") from None


MADE_FOR = ("trust_id", "app_cred_id", "access_token_id")
"""Members of a secret for EC2 that name the delegation it was made by, and bound what it is good for."""


def set_blob(runtime: Runtime, row: Credential, blob: str) -> None:
    """Keep a secret, encrypted; raise Invalid when one for EC2 has not its two parts."""
    if row.type == EC2:
        ec2_parts(blob)
    row.sealed = runtime.part(CredentialKeys).encrypt(blob.encode("utf-8", "surrogatepass")).decode()


def ec2_parts(blob: str) -> dict[str, Any]:
    """Return ``{"access": ..., "secret": ...}``; raise Invalid."""
    try:
        parts = msgspec.json.decode(blob)
    except msgspec.DecodeError:
        parts = None
    if not isinstance(parts, dict) or not all(isinstance(parts.get(name), str) for name in ("access", "secret")):
        raise Invalid("The blob of an EC2 credential must be JSON with the texts 'access' and 'secret'.")
    return parts


def id_of_access(access: str) -> str:
    """Return the id of the EC2 credential with this access key: its SHA-256, as upstream's."""
    return hashlib.sha256(access.encode()).hexdigest()


def _check_owner(tx: Tx, ctx: Context, user_id: str, project_id: str | None, type: str) -> None:
    """Raise Invalid for a user or project that is not there; of projects one is told one's own only."""
    if users.get_user(tx, user_id) is None:
        raise Invalid(f"Could not find user: {user_id}.")
    if project_id is not None:
        seen = user_id != ctx.user_id or ctx.is_admin or project_id in reach.held_projects(tx, user_id)
        if not seen or projects.get_project(tx, project_id) is None:
            raise Invalid(f"Could not find project: {project_id}.")
    if type == EC2 and project_id is None:
        raise Invalid("An EC2 credential needs a project_id.")


def change_credential(
    tx: Tx,
    runtime: Runtime,
    ctx: Context,
    row: Credential,
    *,
    user_id: str,
    project_id: str | None,
    type: str,
    blob: str | None,
) -> None:
    """Change a credential; what a trust or an application credential made it for stays as it is."""
    before = blob_of(runtime, row)
    if EC2 in (row.type, type):
        was, becomes = _made_for(before), _made_for(before if blob is None else blob)
        for name in MADE_FOR:
            if was.get(name) != becomes.get(name) or (row.type != type and becomes.get(name)):
                raise Invalid(f"{name} in the blob of a credential cannot be changed.")
        for name, old, new in (("user_id", row.user_id, user_id), ("project_id", row.project_id, project_id)):
            if old != new and any(was.values()):
                raise Invalid(f"{name} of a credential that was made by a delegated token cannot be changed.")
    if (row.user_id, row.project_id, row.type) != (user_id, project_id, type):
        _check_owner(tx, ctx, user_id, project_id, type)
        row.user_id, row.project_id, row.type = user_id, project_id, type
        blob = before if blob is None else blob
    if blob is not None:
        set_blob(runtime, row, blob)


def _made_for(blob: str) -> dict[str, Any]:
    """Return what delegation a secret for EC2 is bound to, if it is one."""
    try:
        parts = msgspec.json.decode(blob)
    except msgspec.DecodeError:
        return {}
    return {name: parts.get(name) for name in MADE_FOR} if isinstance(parts, dict) else {}


def create_credential(
    tx: Tx, runtime: Runtime, ctx: Context, *, user_id: str, project_id: str | None, type: str, blob: str, **more: Any
) -> Credential:
    """Add a credential; raise Invalid for a user or project that is not there, Conflict for an access key in use."""
    _check_owner(tx, ctx, user_id, project_id, type)
    id = id_of_access(ec2_parts(blob)["access"]) if type == EC2 else ids.new_hex_id()
    if credentials.get_credential(tx, id) is not None:
        raise Conflict("Conflict occurred attempting to store credential - the access key is in use already.")
    row = Credential(id=id, user_id=user_id, project_id=project_id, type=type, sealed="", **more)
    set_blob(runtime, row, blob)
    tx.add(row)
    tx.flush()
    events.emit(tx, "identity.credential.created", row.id, ctx=ctx)
    return row


def create_ec2_credential(tx: Tx, runtime: Runtime, ctx: Context, user_id: str, project_id: str) -> Credential:
    """Add an access key and a secret, both made here."""
    parts = {"access": ids.new_hex_id(), "secret": ids.new_hex_id(), "trust_id": None}
    blob = msgspec.json.encode(parts).decode()
    return create_credential(tx, runtime, ctx, user_id=user_id, project_id=project_id, type=EC2, blob=blob)
