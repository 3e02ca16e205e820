"""Directories (LDAP) that keep the people of a domain: how they are reached, and whom we know of them.

Rule: what a directory keeps is mirrored here as ordinary users and groups, and changed nowhere but there.
"""

from datetime import datetime
from typing import Literal

from sqlalchemy import String
from sqlalchemy.orm import Mapped, mapped_column

from pileus.kernel.config import Settings
from pileus.kernel.db import Row


class DirectorySettings(Settings, frozen=True):
    """Table ``[identity.domains.NAME]``: the directory of the domain NAME.  Options are called as in Keystone."""

    driver: Literal["ldap"] = "ldap"
    url: str = "ldap://localhost"
    user: str | None = None
    """Who searches; by default nobody (an anonymous bind)."""
    password: str | None = None
    suffix: str = "cn=example,cn=com"
    query_scope: Literal["one", "sub"] = "one"
    page_size: int = 0
    connection_timeout: int = 5
    user_tree_dn: str | None = None
    user_filter: str | None = None
    user_objectclass: str = "inetOrgPerson"
    user_id_attribute: str = "cn"
    user_name_attribute: str = "sn"
    user_mail_attribute: str = "mail"
    user_description_attribute: str = "description"
    user_enabled_attribute: str = "enabled"
    user_enabled_invert: bool = False
    user_enabled_mask: int = 0
    user_enabled_default: str | bool | int = "True"
    user_enabled_emulation: bool = False
    """Enabled is who is in a group, not who has an attribute."""
    user_enabled_emulation_dn: str | None = None
    """That group; by default ``cn=enabled_users`` in the tree of users."""
    user_enabled_emulation_use_group_config: bool = False
    """It is such a group as the others; by default a groupOfNames with ``member``."""
    group_tree_dn: str | None = None
    group_filter: str | None = None
    group_objectclass: str = "groupOfNames"
    group_id_attribute: str = "cn"
    group_name_attribute: str = "ou"
    group_member_attribute: str = "member"
    group_members_are_ids: bool = False
    group_desc_attribute: str = "description"
    group_ad_nesting: bool = False
    """Who is in a group that is in a group is in both.  The groups are followed here: any server will do."""
    use_tls: bool = False
    tls_cacertfile: str | None = None
    tls_req_cert: Literal["demand", "allow", "never"] = "demand"
    stale_s: int = 0
    """How old what a listing shows may be; by default the directory is read for each."""
    mirror_s: int = 300
    """How often all that is known of the directory is read again."""


class DirectoriesSettings(Settings, frozen=True):
    """Part of table ``[identity]``."""

    domains: dict[str, DirectorySettings] = {}
    """By the name of the domain; a domain may also have its directory in its domain configuration."""


class DirectoryEntry(Row):
    """A user or group that a directory keeps."""

    __tablename__ = "identity_directory_entries"
    id: Mapped[str] = mapped_column(String(64), primary_key=True)
    """Of the user or the group."""
    domain_id: Mapped[str] = mapped_column(String(64), index=True)
    kind: Mapped[str] = mapped_column(String(8))
    """``user`` or ``group``."""
    local_id: Mapped[str] = mapped_column(String(255))
    gone_at: Mapped[datetime | None]
    """Since when the directory does not have it any more; what it may do here is kept for the case that it returns."""
