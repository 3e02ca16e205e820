"""Where a rule of the projects' services answers a persona otherwise than upstream's own default, and why."""

READERS = {f"{role}/project/other" for role in ("manager", "member", "reader")}
SERVICES = {"service/project/own", "service/project/other"}
ADMINS = {"admin/project/own", "admin/project/other"}

DIFFERENCES: dict[str, dict[str, set[str]]] = {
    "Reads: the rule says which roles read, the query which rows are there for them (own, shared, public); what is not "
    "is 404. Flavors and volume types belong to no project. Services read what they work with.": {
        **dict.fromkeys(
            (
                "get_address_scope",
                "get_floatingip",
                "get_floatingip:tags",
                "get_network:tags",
                "get_port:tags",
                "get_rbac_policy",
                "get_router",
                "get_router:tags",
                "get_security_group",
                "get_security_group:tags",
                "get_security_group_rule",
                "get_subnet:tags",
                "get_subnetpool",
                "get_subnetpool:tags",
            ),
            READERS | SERVICES,
        ),
        **dict.fromkeys(
            (
                "get_network",
                "get_port",
                "get_subnet",
                "get_image",
                "get_images",
                "get_member",
                "get_members",
                "volume_extension:type_get",
                "volume_extension:types_extra_specs:index",
                "volume_extension:types_extra_specs:show",
                "os_compute_api:os-flavor-extra-specs:index",
                "os_compute_api:os-flavor-extra-specs:show",
            ),
            READERS,
        ),
        "download_image": READERS - {"reader/project/other"},
        "get_availability_zone": SERVICES,
        "get_service_provider": SERVICES,
    },
    "A token for a domain is never the cloud's administrator; upstream leaves that to the scopes of each rule.": {
        "context_is_admin": {"admin/domain/own", "admin/domain/other"},
    },
    "The administrator may do by hand what upstream leaves to its services alone.": {
        "create_port:binding:profile": ADMINS,
        "update_port:binding:profile": ADMINS,
        "placement:reshaper:reshape": ADMINS,
    },
    "The role service does in Networking what upstream's role advsvc does.": {
        "update_port:tags": SERVICES,
        "delete_port:tags": SERVICES,
    },
    "Who uses a project may read its quota; upstream decides that outside of the rule.": {
        "get_quota": {"member/project/own", "reader/project/own"},
    },
}
"""By reason and rule: the personas (role, scope, own or another project) for whom the answer differs."""
