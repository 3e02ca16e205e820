"""Keystone's domain configuration, identity providers, mappings and service providers as rows of this cloud."""

import msgspec

from pileus.services.identity.app.secrets import CredentialKeys
from pileus.services.identity.keystone.merge import Merge
from pileus.services.identity.keystone.source import Source, json_value
from pileus.services.identity.model.domain_configs import DEFAULTS, SECRET, DomainOption
from pileus.services.identity.model.federation import (
    FederatedUser,
    IdentityProvider,
    Mapping,
    Protocol,
    RemoteId,
    ServiceProvider,
)


def take_domain_configs(merge: Merge, source: Source, ours: CredentialKeys) -> None:
    """Bring in what domains have set for themselves; secrets are sealed here."""
    rows = merge.rows(DomainOption)
    for row in [*source["whitelisted_config"], *source["sensitive_config"]]:
        section, name = row["group"], row["option"]
        secret = name in SECRET.get(section, ())
        if not secret and name not in DEFAULTS.get(section, ()):
            merge.report.leave_out("domain options", f"Option [{section}] {name} of a domain: not known here.")
            continue
        text = msgspec.json.encode(json_value(row["value"], depth=1))
        key = {"domain_id": row["domain_id"], "section": section, "name": name}
        there = rows.get(tuple(key.values()))
        if secret and there is not None and ours.decrypt(there.value.encode()) == text:
            merge.report.count("domain options", "same")
            continue
        merge.put("domain options", DomainOption, key, value=(ours.encrypt(text) if secret else text).decode())


def take_providers(merge: Merge, source: Source) -> None:
    """Bring in who is trusted to know people, and who trusts us."""
    for row in source["identity_provider"]:
        merge.put(
            "identity providers",
            IdentityProvider,
            {"id": row["id"]},
            domain_id=row["domain_id"],
            enabled=bool(row["enabled"]),
            description=row["description"],
            authorization_ttl=row.get("authorization_ttl"),
        )
    for provider_id, rows in source.by("idp_remote_ids", "idp_id").items():
        for position, row in enumerate(rows):
            key = {"remote_id": row["remote_id"]}
            merge.put("remote ids", RemoteId, key, provider_id=provider_id, position=position)
    for row in source["mapping"]:
        version = row.get("schema_version") or "1.0"
        merge.put("mappings", Mapping, {"id": row["id"]}, rules=json_value(row["rules"]), schema_version=version)
    for row in source["federation_protocol"]:
        merge.put(
            "protocols",
            Protocol,
            {"provider_id": row["idp_id"], "id": row["id"]},
            mapping_id=row["mapping_id"],
            remote_id_attribute=row.get("remote_id_attribute"),
        )
    for row in source["service_provider"]:
        merge.put(
            "service providers",
            ServiceProvider,
            {"id": row["id"]},
            enabled=bool(row["enabled"]),
            description=row["description"],
            auth_url=row["auth_url"],
            sp_url=row["sp_url"],
            relay_state_prefix=row["relay_state_prefix"],
        )
    for row in source["federated_user"]:
        key = {"user_id": row["user_id"], "provider_id": row["idp_id"], "protocol_id": row["protocol_id"]}
        merge.put("federated users", FederatedUser, key, unique_id=row["unique_id"])
