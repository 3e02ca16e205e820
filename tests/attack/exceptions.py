"""Where answers about a victim's things may differ from answers about nothing, by the reason why."""

TOLD_APART: dict[str, tuple[str, ...]] = {
    "whoever was given a transfer's key accepts it by its id, so that ids of transfers are open, as Cinder's": (
        "/accept | path transfer",
    ),
    "the attacker has already lent its network to that project: its own policy is in the way": (
        "rbac-policies/{id} | body .target_tenant",
    ),
    "Neutron says so of another tenant's router (DeviceIDNotOwnedByTenant), and nobody may claim a device": (
        "/ports | body .device_id", "/ports/{id} | body .device_id",
    ),
}  # fmt: skip
"""Parts of ``operation | place`` by the reason why upstream, and so Pileus, tells there."""
UNCHANGED_BUT: tuple[tuple[str, str], ...] = (
    ("network_shares", "rbac-policies"),  # one's own network may be lent to any project
    ("object_store_containers", "/object-store/"),  # names of containers mean the account's own
)
"""``(table, part of an operation's name)``: rows of the attackers' own in which an id of the victim's may stand."""
