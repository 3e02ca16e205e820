"""One LDAP directory: who is in it, and whether a password is somebody's.

Rule: everything here blocks, so it runs on threads of its own; what comes from outside is escaped before it becomes
part of a filter or a name; an empty password is never tried, because servers take it for no log-in at all.
"""

import ssl
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from typing import Any

from pileus.kernel.errors import Unavailable
from pileus.services.identity.model.directories import DirectorySettings

RECEIVE_S = 15
ASKED_AT_ONCE = 50
"""Groups whose own groups are asked for in one search."""
_FALSE = ("false", "0", "no", "off", "")


@dataclass(frozen=True, slots=True)
class Person:
    """A user of a directory."""

    local_id: str
    dn: str
    name: str
    enabled: bool
    extra: dict[str, str]


@dataclass(frozen=True, slots=True)
class Team:
    """A group of a directory; its members are names (DN, lower case) or local ids of users."""

    local_id: str
    name: str
    description: str
    members: frozenset[str] = field(default_factory=frozenset)
    dn: str = ""


@dataclass(frozen=True, slots=True)
class Everybody:
    """All that a directory has of interest, or one person and its groups."""

    people: list[Person]
    teams: list[Team]


class Directory:
    """One directory, by its settings."""

    def __init__(self, settings: DirectorySettings) -> None:
        self.settings = settings
        self._users_base = settings.user_tree_dn or f"ou=Users,{settings.suffix}"
        self._groups_base = settings.group_tree_dn or f"ou=UserGroups,{settings.suffix}"

    def read_all(self) -> Everybody:
        """Return everybody; raise Unavailable when the directory cannot be asked."""
        with self._asking() as connection:
            people, teams = list(self._people(connection)), list(self._teams(connection))
            if self.settings.user_enabled_emulation:
                listed = self._listed(connection)
                people = [replace(person, enabled=normal_dn(self._as_listed(person)) in listed) for person in people]
            return Everybody(people, _with_nested(teams) if self.settings.group_ad_nesting else teams)

    def verify(self, password: str, *, name: str | None = None, local_id: str | None = None) -> Everybody | None:
        """Return the one user of that name or id and its groups, if the password is theirs.

        A wrong name costs as much as a right one.
        """
        from ldap3.core import exceptions as refusals

        if not password or "\0" in password:
            return None
        wrong = (
            refusals.LDAPInvalidCredentialsResult,
            refusals.LDAPInappropriateAuthenticationResult,
            refusals.LDAPNoSuchObjectResult,
            refusals.LDAPInvalidDNSyntaxResult,
            refusals.LDAPConstraintViolationResult,
            refusals.LDAPUnwillingToPerformResult,
        )
        with self._asking() as connection:
            found = list(self._people(connection, name=name, local_id=local_id))
            person = found[0] if len(found) == 1 else None
            dn = person.dn if person is not None else f"{self.settings.user_id_attribute}=nobody,{self._users_base}"
            if self.settings.user_enabled_emulation:  # asked for nobody too: it costs the same
                known = self._as_listed(person) if person is not None else dn
                listed = normal_dn(known) in self._listed(connection, known)
                person = replace(person, enabled=listed) if person is not None else None
            try:
                with self._connected(dn, password):
                    pass
            except wrong:
                return None
            return Everybody([person], self._teams_of(connection, person)) if person is not None else None

    @contextmanager
    def _asking(self) -> Iterator[Any]:
        """Yield a connection of the account that searches; raise Unavailable, naming the server."""
        from ldap3.core.exceptions import LDAPException

        try:
            with self._connected(self.settings.user, self.settings.password) as connection:
                yield connection
        except (LDAPException, OSError) as error:
            raise Unavailable(
                f"The directory {self.settings.url} cannot be asked: {str(error)[:300] or type(error).__name__}. "
                "Its people cannot log in until it answers; others can."
            ) from error

    @contextmanager
    def _connected(self, user: str | None, password: str | None) -> Iterator[Any]:
        import ldap3

        settings = self.settings
        wanted = {"demand": ssl.CERT_REQUIRED, "allow": ssl.CERT_NONE, "never": ssl.CERT_NONE}
        tls = ldap3.Tls(validate=wanted[settings.tls_req_cert], ca_certs_file=settings.tls_cacertfile)
        server = ldap3.Server(
            settings.url, tls=tls, get_info=ldap3.NONE, connect_timeout=max(1, settings.connection_timeout)
        )
        connection = ldap3.Connection(
            server,
            user,
            password,
            read_only=True,
            raise_exceptions=True,
            auto_referrals=False,
            check_names=False,
            receive_timeout=RECEIVE_S,
        )
        try:
            connection.open()
            if settings.use_tls:
                connection.start_tls()
            connection.bind()
            yield connection
        finally:
            if not connection.closed:
                connection.unbind()

    def _people(self, connection: Any, *, name: str | None = None, local_id: str | None = None) -> Iterator[Person]:
        settings = self.settings
        condition = ""
        if name is not None:
            condition = _equals(settings.user_name_attribute, name)
        elif local_id is not None:
            condition = _equals(settings.user_id_attribute, local_id)
        wanted = [
            settings.user_id_attribute,
            settings.user_name_attribute,
            settings.user_mail_attribute,
            settings.user_description_attribute,
            settings.user_enabled_attribute,
        ]
        search = f"(&(objectClass={settings.user_objectclass}){settings.user_filter or ''}{condition})"
        for dn, values in self._search(connection, self._users_base, search, wanted):
            id, shown = _first(values, settings.user_id_attribute), _first(values, settings.user_name_attribute)
            if not id or not shown:
                continue
            if name is not None and shown.lower() != name.lower():
                continue  # another value of the attribute than the one that is shown
            extra = {
                "email": _first(values, settings.user_mail_attribute),
                "description": _first(values, settings.user_description_attribute),
            }
            kept = {key: value for key, value in extra.items() if value}
            yield Person(id, dn, shown, self._is_enabled(_first(values, settings.user_enabled_attribute)), kept)

    def _is_enabled(self, value: str) -> bool:
        settings = self.settings
        text = value or str(settings.user_enabled_default)
        if settings.user_enabled_mask:
            mask = settings.user_enabled_mask
            return not text.lstrip("-").isdigit() or (int(text) & mask) != mask
        is_true = text.strip().lower() not in _FALSE
        return not is_true if settings.user_enabled_invert and value else is_true

    def _as_listed(self, person: Person) -> str:
        """Return how the group of those who are enabled names a person."""
        settings = self.settings
        by_id = settings.user_enabled_emulation_use_group_config and settings.group_members_are_ids
        return person.local_id if by_id else person.dn

    def _listed(self, connection: Any, one: str | None = None) -> frozenset[str]:
        """Return who is in the group of those who are enabled: all, or one if it is in it."""
        settings = self.settings
        of_group = settings.user_enabled_emulation_use_group_config
        members = settings.group_member_attribute if of_group else "member"
        kind = settings.group_objectclass if of_group else "groupOfNames"
        base = settings.user_enabled_emulation_dn or f"cn=enabled_users,{self._users_base}"
        search = f"(&(objectClass={kind}){_equals(members, one) if one is not None else ''})"
        found = list(self._search(connection, base, search, [members if one is None else "cn"], scope="BASE"))
        if one is not None:
            return frozenset([normal_dn(one)] if found else [])
        return frozenset(normal_dn(name) for _, values in found for name in values.get(members.lower(), []))

    def _teams_of(self, connection: Any, person: Person) -> list[Team]:
        """Return the groups a person is in, by way of other groups too where they nest."""
        by_id, found = self.settings.group_members_are_ids, dict[str, Team]()
        asked = [person.local_id if by_id else person.dn]
        while asked:
            holding, asked = asked[:ASKED_AT_ONCE], asked[ASKED_AT_ONCE:]
            new = {normal_dn(team.dn): team for team in self._teams(connection, holding)}
            asked += [team.dn for key, team in new.items() if key not in found and self.settings.group_ad_nesting]
            found = new | found
        members = frozenset([person.local_id if by_id else normal_dn(person.dn)])
        return [replace(team, members=members) for team in found.values()]

    def _teams(self, connection: Any, holding: Sequence[str] = ()) -> Iterator[Team]:
        """Return all groups with their members, or those that hold one of some, which then are not fetched."""
        settings = self.settings
        members = settings.group_member_attribute
        wanted = [settings.group_id_attribute, settings.group_name_attribute, settings.group_desc_attribute]
        if not holding:
            wanted.append(members)
        condition = f"(|{''.join(_equals(members, one) for one in holding)})" if holding else ""
        search = f"(&(objectClass={settings.group_objectclass}){settings.group_filter or ''}{condition})"
        for dn, values in self._search(connection, self._groups_base, search, wanted):
            id, name = _first(values, settings.group_id_attribute), _first(values, settings.group_name_attribute)
            if not id or not name:
                continue
            named = values.get(members.lower(), [])
            known = named if settings.group_members_are_ids else [normal_dn(one) for one in named]
            yield Team(id, name, _first(values, settings.group_desc_attribute), frozenset(known), dn)

    def _search(
        self, connection: Any, base: str, search: str, wanted: list[str], scope: str | None = None
    ) -> Iterator[tuple[str, dict[str, list[str]]]]:
        import ldap3
        from ldap3.core.exceptions import LDAPNoSuchObjectResult

        scope = scope or (ldap3.SUBTREE if self.settings.query_scope == "sub" else ldap3.LEVEL)
        try:
            found = connection.extend.standard.paged_search(
                base, search, scope, attributes=wanted, paged_size=self.settings.page_size or 500, generator=True
            )
            for entry in found:
                if entry["type"] == "searchResEntry":
                    yield entry["dn"], _texts(entry["raw_attributes"])
        except LDAPNoSuchObjectResult:
            return


def _with_nested(teams: list[Team]) -> list[Team]:
    """Return groups with the members of the groups in them, however deep; groups in a circle have the same."""
    by_dn = {normal_dn(team.dn): team for team in teams}
    found = []
    for team in teams:
        seen, waiting, members = {normal_dn(team.dn)}, [team], set[str]()
        while waiting:
            inner = waiting.pop().members
            members |= inner
            nested = [dn for dn in inner if dn in by_dn and dn not in seen]
            seen.update(nested)
            waiting.extend(by_dn[dn] for dn in nested)
        found.append(replace(team, members=frozenset(members)))
    return found


def _texts(raw: Mapping[str, list[bytes]]) -> dict[str, list[str]]:
    return {name.lower(): [value.decode("utf-8", "replace") for value in values] for name, values in raw.items()}


def _first(values: Mapping[str, list[str]], attribute: str) -> str:
    found = values.get(attribute.lower(), [])
    return found[0] if found else ""


def _equals(attribute: str, value: str) -> str:
    from ldap3.utils.conv import escape_filter_chars

    return f"({attribute}={escape_filter_chars(value)})"


def normal_dn(dn: str) -> str:
    """Return a distinguished name in the form in which equal ones are equal; what is none stays as it is."""
    from ldap3.core.exceptions import LDAPInvalidDnError
    from ldap3.utils.dn import parse_dn

    try:
        parts = parse_dn(dn, strip=True)
    except LDAPInvalidDnError:
        return dn
    return "".join(f"{name}={value}{separator}" for name, value, separator in parts).lower()
