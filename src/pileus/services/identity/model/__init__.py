"""Users, projects, roles, their assignments, and the catalog, as rows.

Rule: whatever decides if a token is good or what it grants is a row here; a change of such a row moves the revision.
"""

from datetime import datetime
from typing import Annotated, Any, Literal

from msgspec import Meta
from sqlalchemy import Index, String, Text, UniqueConstraint
from sqlalchemy.orm import Mapped, mapped_column

from pileus.kernel.config import Settings
from pileus.kernel.db import JsonText, Row
from pileus.services.identity.first_passwords import ROUNDS

DEFAULT_DOMAIN = "default"
NO_DOMAIN = ""
"""``domain_id`` of domains themselves and of roles that belong to no domain: unique constraints ignore NULL."""
SYSTEM = "system"
"""``target_id`` of assignments on the whole cloud."""
INTERFACES = ("public", "internal", "admin")

BASE_ROLES = ("admin", "manager", "member", "reader", "service", "ResellerAdmin")
IMPLIED = {"admin": ["manager"], "manager": ["member"], "member": ["reader"]}


LONGEST_LIFETIME_S = 30 * 86400
"""No token may live longer: revocations are kept for twice as long."""


class SecurityCompliance(Settings, frozen=True):
    """Table ``[identity.security_compliance]``: rules for accounts and passwords; each is off unless it is set."""

    lockout_failure_attempts: Annotated[int, Meta(ge=1)] | None = None
    """Wrong passwords in a row after which a user is locked out."""
    lockout_duration: Annotated[int, Meta(ge=1)] | None = 1800
    """Seconds a lock lasts."""
    disable_user_account_days_inactive: Annotated[int, Meta(ge=1)] | None = None
    """Days without a log-in after which a user counts as disabled."""
    password_expires_days: Annotated[int, Meta(ge=1)] | None = None
    """Days a password lasts; an expired one serves only to choose another."""
    unique_last_password_count: Annotated[int, Meta(ge=0)] = 0
    """How many of a user's last passwords, the present one included, it may not choose again."""
    minimum_password_age: Annotated[int, Meta(ge=0)] = 0
    """Days before users may change again a password they chose themselves."""
    password_regex: str | None = None
    """What passwords must look like."""
    password_regex_description: str | None = None
    """The same in words, for people."""
    change_password_upon_first_use: bool = False
    """A password given by an administrator serves only to choose another."""


class LogIns(Settings, frozen=True):
    """Table ``[identity.log_ins]``: how many log-ins may fail, of one user and from one address, before they wait."""

    enabled: bool = True
    """Whether failed log-ins have to wait at all."""
    user_burst: Annotated[int, Meta(ge=1)] = 20
    """Failed log-ins of one user that may come at once."""
    user_per_minute: Annotated[float, Meta(gt=0)] = 6
    """How many more each minute lets pass."""
    source_burst: Annotated[int, Meta(ge=1)] = 100
    """Failed log-ins from one address that may come at once."""
    source_per_minute: Annotated[float, Meta(gt=0)] = 60
    """How many more each minute lets pass."""


class IdentitySettings(Settings, frozen=True):
    """Table ``[identity]``."""

    security_compliance: SecurityCompliance = SecurityCompliance()
    log_ins: LogIns = LogIns()

    list_limit: Annotated[int, Meta(ge=1)] | None = None
    """Entries of a list at most, whatever its client asks for; domains may set their own for their people."""
    max_project_tree_depth: Annotated[int, Meta(ge=1)] = 5
    """Projects below each other, their domain not counted."""
    limit_model: Literal["flat", "strict_two_level"] = "flat"
    """``strict_two_level``: no project may have more than its domain, and projects nest two deep at most."""
    token_lifetime_s: int = 3600
    """How long a token lives."""
    token_provider: Literal["fernet", "jws"] = "fernet"
    """Fernet seals tokens for this cloud's eyes; JWS signs them for all to read. Tokens of the other one live on."""
    allow_rescope_scoped_token: bool = True
    """Whether a token for one project or domain makes another for a different one."""
    allow_expired_window_s: int = 172800
    """How long after its end a token may still be validated with ``allow_expired``, for work that outlasts it."""
    password_hash_rounds: int = ROUNDS
    """bcrypt's cost: each one more doubles the work of a log-in."""
    password_hash_threads: int = 2
    """Passwords that are hashed at the same time."""
    max_active_keys: int = 3
    """Token keys kept, the next one included."""
    key_rotation_s: int = 604800
    """How long a key signs tokens; a token lives through ``max_active_keys - 2`` rotations."""
    receipt_lifetime_s: int = 300
    """How long somebody whose rules ask for more methods may take to show the next one."""
    totp_previous_windows: int = 1
    """Windows of 30 s, before the present one, whose passcodes still count."""
    client_certificate_header: str | None = None
    """The header in which a trusted proxy hands over the client's certificate; by default none is believed."""
    oauth2_mapping: str = "oauth2_mapping"
    """The federation mapping that says which user a client certificate is of."""
    external_user_header: str | None = None
    """The header in which a trusted proxy names the user it recognised; by default none is believed."""
    external_domain_header: str | None = None
    """The header with that user's domain, by name; without it the default domain."""
    signature_lifetime_s: int = 900
    """How long a request signed for EC2, S3 or OAuth 1 counts."""
    oauth1_request_token_lifetime_s: int = 28800
    """How long a request token of OAuth 1 may wait to be authorized and used."""
    oauth1_access_token_lifetime_s: int = 86400
    """0: they do not end by themselves."""
    admin_password: str | None = None
    """Passwords of the users made at first start; by default random, written to ``STATE/credentials.json``."""
    demo_password: str | None = None
    """The same for the user ``demo``."""
    alt_demo_password: str | None = None
    """The same for the user ``alt_demo``."""


class Project(Row):
    """A project, or a domain (``is_domain``): domains are the roots of the trees of projects."""

    __tablename__ = "identity_projects"
    __table_args__ = (UniqueConstraint("domain_id", "name"),)
    id: Mapped[str] = mapped_column(String(64), primary_key=True)
    domain_id: Mapped[str] = mapped_column(String(64), index=True)
    parent_id: Mapped[str | None] = mapped_column(String(64), index=True)
    is_domain: Mapped[bool] = mapped_column(default=False)
    name: Mapped[str] = mapped_column(String(64))
    description: Mapped[str] = mapped_column(Text, default="")
    enabled: Mapped[bool] = mapped_column(default=True)
    options: Mapped[dict[str, Any]] = mapped_column(JsonText, default=dict)
    extra: Mapped[dict[str, Any]] = mapped_column(JsonText, default=dict)


class ProjectTag(Row):
    """A word tied to a project."""

    __tablename__ = "identity_project_tags"
    project_id: Mapped[str] = mapped_column(String(64), primary_key=True)
    name: Mapped[str] = mapped_column(String(255), primary_key=True)


class User(Row):
    """Somebody who may log in."""

    __tablename__ = "identity_users"
    __table_args__ = (UniqueConstraint("domain_id", "name"),)
    id: Mapped[str] = mapped_column(String(64), primary_key=True)
    domain_id: Mapped[str] = mapped_column(String(64))
    name: Mapped[str] = mapped_column(String(255))
    enabled: Mapped[bool] = mapped_column(default=True)
    default_project_id: Mapped[str | None] = mapped_column(String(64))
    password_hash: Mapped[str | None] = mapped_column(String(255))
    password_changed_at: Mapped[datetime | None]
    password_expires_at: Mapped[datetime | None]
    options: Mapped[dict[str, Any]] = mapped_column(JsonText, default=dict)
    extra: Mapped[dict[str, Any]] = mapped_column(JsonText, default=dict)
    created_at: Mapped[datetime]


class Group(Row):
    """Users who get roles together."""

    __tablename__ = "identity_groups"
    __table_args__ = (UniqueConstraint("domain_id", "name"),)
    id: Mapped[str] = mapped_column(String(64), primary_key=True)
    domain_id: Mapped[str] = mapped_column(String(64))
    name: Mapped[str] = mapped_column(String(255))
    description: Mapped[str] = mapped_column(Text, default="")
    extra: Mapped[dict[str, Any]] = mapped_column(JsonText, default=dict)


class Membership(Row):
    """A user in a group."""

    __tablename__ = "identity_memberships"
    user_id: Mapped[str] = mapped_column(String(64), primary_key=True)
    group_id: Mapped[str] = mapped_column(String(64), primary_key=True, index=True)


class Role(Row):
    """A name that policy rules ask for; one with a domain only stands for what it implies."""

    __tablename__ = "identity_roles"
    __table_args__ = (UniqueConstraint("domain_id", "name"),)
    id: Mapped[str] = mapped_column(String(64), primary_key=True)
    domain_id: Mapped[str] = mapped_column(String(64), default=NO_DOMAIN)
    name: Mapped[str] = mapped_column(String(255))
    description: Mapped[str | None] = mapped_column(Text)
    options: Mapped[dict[str, Any]] = mapped_column(JsonText, default=dict)
    extra: Mapped[dict[str, Any]] = mapped_column(JsonText, default=dict)


class ImpliedRole(Row):
    """Who has the prior role has the implied one too."""

    __tablename__ = "identity_implied_roles"
    prior_role_id: Mapped[str] = mapped_column(String(64), primary_key=True)
    implied_role_id: Mapped[str] = mapped_column(String(64), primary_key=True)


class Assignment(Row):
    """A role of a user or group on a project, a domain or the system; an inherited one counts below its target."""

    __tablename__ = "identity_assignments"
    __table_args__ = (Index("ix_identity_assignments_target", "target_id"),)
    actor_id: Mapped[str] = mapped_column(String(64), primary_key=True)
    target_id: Mapped[str] = mapped_column(String(64), primary_key=True)
    role_id: Mapped[str] = mapped_column(String(64), primary_key=True, index=True)
    inherited: Mapped[bool] = mapped_column(primary_key=True, default=False)
    actor_kind: Mapped[str] = mapped_column(String(8))
    """``user`` or ``group``."""
    target_kind: Mapped[str] = mapped_column(String(8))
    """``project``, ``domain`` or ``system``."""


class Region(Row):
    """A place; endpoints stand in regions."""

    __tablename__ = "identity_regions"
    id: Mapped[str] = mapped_column(String(255), primary_key=True)
    parent_region_id: Mapped[str | None] = mapped_column(String(255))
    description: Mapped[str] = mapped_column(Text, default="")
    extra: Mapped[dict[str, Any]] = mapped_column(JsonText, default=dict)


class CatalogService(Row):
    """A service in the catalog."""

    __tablename__ = "identity_services"
    id: Mapped[str] = mapped_column(String(64), primary_key=True)
    type: Mapped[str] = mapped_column(String(255))
    name: Mapped[str] = mapped_column(String(255), default="")
    description: Mapped[str | None] = mapped_column(Text)
    enabled: Mapped[bool] = mapped_column(default=True)
    extra: Mapped[dict[str, Any]] = mapped_column(JsonText, default=dict)


class Endpoint(Row):
    """Where a service answers.  ``$(base_url)s`` in its URL is the name under which the client reached the cloud."""

    __tablename__ = "identity_endpoints"
    id: Mapped[str] = mapped_column(String(64), primary_key=True)
    service_id: Mapped[str] = mapped_column(String(64), index=True)
    interface: Mapped[str] = mapped_column(String(8))
    region_id: Mapped[str | None] = mapped_column(String(255))
    url: Mapped[str] = mapped_column(Text)
    enabled: Mapped[bool] = mapped_column(default=True)
    extra: Mapped[dict[str, Any]] = mapped_column(JsonText, default=dict)


class ApplicationCredential(Row):
    """A password of a program: some of a user's roles on one project."""

    __tablename__ = "identity_application_credentials"
    __table_args__ = (UniqueConstraint("user_id", "name"),)
    id: Mapped[str] = mapped_column(String(64), primary_key=True)
    user_id: Mapped[str] = mapped_column(String(64))
    project_id: Mapped[str] = mapped_column(String(64), index=True)
    name: Mapped[str] = mapped_column(String(255))
    description: Mapped[str] = mapped_column(Text, default="")
    secret_hash: Mapped[str] = mapped_column(String(255))
    expires_at: Mapped[datetime | None]
    unrestricted: Mapped[bool] = mapped_column(default=False)
    role_ids: Mapped[list[str]]
    system: Mapped[str | None] = mapped_column(String(8))
    access_rule_ids: Mapped[list[str] | None] = mapped_column(JsonText)
    """None: no rules, so everything is allowed."""


class AccessRule(Row):
    """One request that an application credential may make."""

    __tablename__ = "identity_access_rules"
    __table_args__ = (UniqueConstraint("user_id", "service", "path", "method"),)
    id: Mapped[str] = mapped_column(String(64), primary_key=True)
    user_id: Mapped[str] = mapped_column(String(64))
    service: Mapped[str] = mapped_column(String(64))
    path: Mapped[str] = mapped_column(String(128))
    method: Mapped[str] = mapped_column(String(16))


class Trust(Row):
    """A user (trustor) lets another (trustee) act with some of its roles on a project."""

    __tablename__ = "identity_trusts"
    id: Mapped[str] = mapped_column(String(64), primary_key=True)
    trustor_user_id: Mapped[str] = mapped_column(String(64), index=True)
    trustee_user_id: Mapped[str] = mapped_column(String(64), index=True)
    project_id: Mapped[str | None] = mapped_column(String(64), index=True)
    impersonation: Mapped[bool]
    role_ids: Mapped[list[str]]
    expires_at: Mapped[datetime | None]
    remaining_uses: Mapped[int | None]
    redelegated_trust_id: Mapped[str | None] = mapped_column(String(64), index=True)
    redelegation_count: Mapped[int] = mapped_column(default=0)
    extra: Mapped[dict[str, Any]] = mapped_column(JsonText, default=dict)


class Credential(Row):
    """A secret for another way in (EC2, TOTP); the blob is encrypted."""

    __tablename__ = "identity_credentials"
    id: Mapped[str] = mapped_column(String(64), primary_key=True)
    user_id: Mapped[str] = mapped_column(String(64), index=True)
    project_id: Mapped[str | None] = mapped_column(String(64), index=True)
    type: Mapped[str] = mapped_column(String(255))
    sealed: Mapped[str] = mapped_column(Text)
    extra: Mapped[dict[str, Any]] = mapped_column(JsonText, default=dict)


class SpentPasscode(Row):
    """The last step of time whose passcode was taken from a credential of type ``totp``."""

    __tablename__ = "identity_spent_passcodes"
    credential_id: Mapped[str] = mapped_column(String(64), primary_key=True)
    step: Mapped[int]


class Revocation(Row):
    """Tokens that ended before their time: those that match every member that is not null."""

    __tablename__ = "identity_revocations"
    id: Mapped[int] = mapped_column(primary_key=True, autoincrement=True)
    audit_id: Mapped[str | None] = mapped_column(String(32), index=True)
    audit_chain_id: Mapped[str | None] = mapped_column(String(32), index=True)
    user_id: Mapped[str | None] = mapped_column(String(64), index=True)
    project_id: Mapped[str | None] = mapped_column(String(64), index=True)
    domain_id: Mapped[str | None] = mapped_column(String(64), index=True)
    issued_before: Mapped[datetime]
    revoked_at: Mapped[datetime]


class Revision(Row):
    """One row, one number: it grows whenever something changes that a validated token rests on."""

    __tablename__ = "identity_revision"
    id: Mapped[int] = mapped_column(primary_key=True)
    value: Mapped[int]
