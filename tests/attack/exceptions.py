"""Where answers about a victim's things differ from answers about nothing: by intention, or as a fault that is open.

An entry is a part of ``operation | place``.  A fault that was mended may stay here no longer than until somebody looks.
"""

TOLD_APART: dict[str, tuple[str, ...]] = {
    "whoever was given a transfer's key accepts it by its id, so that ids of transfers are open, as Cinder's": (
        "/accept | path transfer",
    ),
    "the attacker has already lent its network to that project: its own policy is in the way": (
        "rbac-policies/{id} | body .target_tenant",
    ),
    "Neutron says so of another tenant's router (DeviceIDNotOwnedByTenant), and nobody may claim a device": (
        "/ports | body .device_id",
        "/ports/{id} | body .device_id",
    ),
    "whoever holds another's token knows that it is one; Keystone refuses to tell of it with 403": (
        "/auth/tokens | header X-Subject-Token",
        "/saml2 | body .identity.token.id",
        "/saml2/ecp | body .identity.token.id",
    ),
    "Keystone looks for roles, trusts and access keys first, whose ids are 128 bits of chance": (
        "roles/{role} | path role",
        "roles/{role}/inherited_to_projects | path role",
        "/OS-TRUST/trusts/{trust}",
        "/credentials/OS-EC2/{access} | path",
    ),
    "a trust is for any user of the cloud, by the user's id, as Keystone's": ("/trusts | body .trustee_user_id",),
    "Keystone judges by whose an application credential or access rule is, whatever user the path names": (
        "/application_credentials/{credential} | path credential",
        "/access_rules/{access_rule} | path access_rule",
    ),
    "Keystone looks for the domain to be changed and the group to be deleted before it judges": (
        "PATCH /identity/v3/domains/{domain} | path",
        "DELETE /identity/v3/groups/{group} | path",
    ),
    "Barbican judges by whose the secret or container is, whose ids are 128 bits of chance": (
        "/key-manager/v1/secrets/{secret}",
        "/key-manager/v1/containers/{container}",
    ),
    "log-ins by federation begin at a provider's name, before anybody is known": (
        "/identity_providers/{provider}/protocols/{protocol}/",
        "/auth/OS-FEDERATION/",
    ),
    "the rules for passwords of a domain are open to all, as Keystone's": ("/config/security_compliance",),
}
"""By the reason why upstream, and so Pileus, tells there."""
OPEN: dict[str, tuple[str, ...]] = {}
"""Faults by what they are: nothing foreign is read or written by them, but ids are told from others."""
OWN_ROWS: tuple[tuple[str, str], ...] = (
    ("network_shares", "rbac-policies"),  # one's own network may be lent to any project
    ("identity_trusts", "/OS-TRUST/trusts"),  # a trust may be for any user
    ("object_store_containers", "/object-store/"),  # names of containers mean the account's own
    ("compute_servers", "POST /compute/v2.1/servers"),  # hints are kept as they were sent
    ("operations", "POST /compute/v2.1/servers"),
    ("identity_users", "PATCH /identity/v3/users/"),  # a default project is a wish, which no log-in grants
    ("network_ports", "/networking/v2.0/ports"),  # device ids are words for display
)
"""``(table, part of an operation's name)``: rows of the attackers' own in which an id of the victim's may stand."""
