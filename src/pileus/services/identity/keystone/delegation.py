"""Keystone's credentials, application credentials and trusts as rows of this cloud.

Rule: what is encrypted is opened with the old keys and sealed with ours; what cannot be opened is left out and named.
"""

from collections.abc import Sequence
from pathlib import Path

from cryptography.fernet import Fernet, InvalidToken, MultiFernet

from pileus.services.identity.app.foreign_hashes import adopted
from pileus.services.identity.app.secrets import EC2, CredentialKeys
from pileus.services.identity.keystone.merge import Merge
from pileus.services.identity.keystone.source import Source, SourceError, json_of, json_value
from pileus.services.identity.keystone.tenancy import moment
from pileus.services.identity.model import AccessRule, ApplicationCredential, Credential, Trust
from pileus.services.identity.model.oauth1 import Consumer

NULL_KEY = b"A" * 43 + b"="
"""What Keystone encrypts with when nobody has made keys: 32 zero bytes."""


def old_keys(folder: Path | None) -> MultiFernet:
    """Return a Keystone's credential keys, newest first; raise SourceError when the folder holds none."""
    keys: list[bytes] = []
    if folder is not None:
        files = sorted((path for path in folder.glob("*") if path.name.isdigit()), key=lambda path: int(path.name))
        keys = [path.read_bytes().strip() for path in reversed(files)]
        if not keys:
            raise SourceError(f"There are no keys in {folder}; Keystone's are in /etc/keystone/credential-keys.")
    try:
        return MultiFernet([Fernet(key) for key in (*keys, NULL_KEY)])
    except ValueError as error:
        raise SourceError(f"A file in {folder} is no key: {error}.") from None


def take_credentials(merge: Merge, source: Source, old: MultiFernet, ours: CredentialKeys) -> None:
    """Bring in EC2, TOTP and other credentials."""
    rows = merge.rows(Credential)
    for row in source["credential"]:
        try:
            blob = _plain(row["type"], old.decrypt(row["encrypted_blob"].encode()))
        except InvalidToken:
            sentence = f"Credential {row['id']} of user {row['user_id']} ({row['type']}): none of the keys opens it."
            merge.report.leave_out("credentials", sentence)
            continue
        there = rows.get((row["id"],))
        sealed = there.sealed if there is not None and _opens_to(ours, there.sealed, blob) else None
        merge.put(
            "credentials",
            Credential,
            {"id": row["id"]},
            user_id=row["user_id"],
            project_id=row["project_id"],
            type=row["type"],
            sealed=sealed or ours.encrypt(blob).decode(),
            extra=json_of(row["extra"]),
        )


def _plain(type: str, blob: bytes) -> bytes:
    """Return a blob as clients know it: Keystone writes those it makes for EC2 as JSON within JSON."""
    found = json_value(blob.decode(), depth=1) if type == EC2 else None
    return found.encode() if isinstance(found, str) else blob


def _opens_to(ours: CredentialKeys, sealed: str, blob: bytes) -> bool:
    try:
        return ours.decrypt(sealed.encode()) == blob
    except InvalidToken:
        return False


def take_consumers(merge: Merge, source: Source, ours: CredentialKeys) -> None:
    """Bring in OAuth consumers; tokens they were given end with the old Keystone."""
    rows = merge.rows(Consumer)
    for row in source["consumer"]:
        secret, there = row["secret"].encode(), rows.get((row["id"],))
        sealed = there.sealed_secret if there is not None and _opens_to(ours, there.sealed_secret, secret) else None
        merge.put(
            "consumers",
            Consumer,
            {"id": row["id"]},
            description=row["description"],
            sealed_secret=sealed or ours.encrypt(secret).decode(),
            extra=json_of(row["extra"]),
        )


def take_application_credentials(merge: Merge, source: Source, roles: dict[str, str]) -> None:
    """Bring in application credentials and their access rules."""
    rules = {row["id"]: row["external_id"] or str(row["id"]) for row in source["access_rule"]}
    for row in source["access_rule"]:
        merge.put(
            "access rules",
            AccessRule,
            {"id": rules[row["id"]]},
            user_id=row["user_id"],
            service=row["service"],
            path=row["path"],
            method=row["method"],
        )
    granted = source.by("application_credential_role", "application_credential_id")
    ruled = source.by("application_credential_access_rule", "application_credential_id")
    for row in source["application_credential"]:
        hashed = adopted(row["secret_hash"])
        if hashed is None or row["project_id"] is None:
            why = "its secret is hashed in a way that is not known here" if hashed is None else "it has no project"
            merge.report.leave_out("application credentials", f"Application credential {row['name']}: {why}.")
            continue
        own = [rules[found["access_rule_id"]] for found in ruled.get(row["internal_id"], [])]
        merge.put(
            "application credentials",
            ApplicationCredential,
            {"id": row["id"]},
            user_id=row["user_id"],
            project_id=row["project_id"],
            name=row["name"],
            description=row["description"] or "",
            secret_hash=hashed,
            expires_at=moment(row["expires_at"]),
            unrestricted=bool(row["unrestricted"]),
            role_ids=_known([found["role_id"] for found in granted.get(row["internal_id"], [])], roles),
            system=row["system"],
            access_rule_ids=sorted(own) or None,
        )


def _known(ids: Sequence[str], roles: dict[str, str]) -> list[str]:
    return sorted(roles[id] for id in ids if id in roles)


def take_trusts(merge: Merge, source: Source, roles: dict[str, str]) -> None:
    """Bring in trusts; Keystone keeps those that have ended, which are passed over."""
    granted = source.by("trust_role", "trust_id")
    for row in source["trust"]:
        if row["deleted_at"] is not None:
            continue
        extra = json_of(row["extra"])
        extra.pop("roles", None)
        merge.put(
            "trusts",
            Trust,
            {"id": row["id"]},
            trustor_user_id=row["trustor_user_id"],
            trustee_user_id=row["trustee_user_id"],
            project_id=row["project_id"],
            impersonation=bool(row["impersonation"]),
            role_ids=_known([found["role_id"] for found in granted.get(row["id"], [])], roles),
            expires_at=moment(row.get("expires_at_int") or row["expires_at"]),
            remaining_uses=row["remaining_uses"],
            redelegated_trust_id=row.get("redelegated_trust_id"),
            redelegation_count=row.get("redelegation_count") or 0,
            extra=extra,
        )
