"""How the words of directories are read."""

import pytest

from pileus.services.identity.drivers.directory import Directory, normal_dn
from pileus.services.identity.model.directories import DirectorySettings

ACTIVE_DIRECTORY = {"user_enabled_attribute": "userAccountControl", "user_enabled_mask": 2, "user_enabled_default": 512}


class Answers:
    """A connection that answers every search with the same entries, and remembers what was asked."""

    def __init__(self, *entries):
        self.entries = entries
        self.asked = []
        self.extend = self.standard = self

    def paged_search(self, base, search, scope, **more):
        self.asked.append(search)
        for number, attributes in enumerate(self.entries):
            raw = {name: [value.encode() for value in values] for name, values in attributes.items()}
            yield {"type": "searchResEntry", "dn": f"uid={number},ou=Users", "raw_attributes": raw}


def people(settings, *entries, **named):
    connection = Answers(*entries)
    found = list(Directory(DirectorySettings(**settings))._people(connection, **named))
    return found, connection.asked[0]


@pytest.mark.parametrize(
    ("settings", "value", "enabled"),
    [
        ({}, None, True),
        ({}, "TRUE", True),
        ({}, "false", False),
        ({"user_enabled_default": "False"}, None, False),
        ({"user_enabled_attribute": "nsAccountLock", "user_enabled_invert": True}, "TRUE", False),
        ({"user_enabled_attribute": "nsAccountLock", "user_enabled_invert": True}, "false", True),
        ({"user_enabled_attribute": "nsAccountLock", "user_enabled_invert": True}, None, True),
        (ACTIVE_DIRECTORY, "512", True),
        (ACTIVE_DIRECTORY, "514", False),
        (ACTIVE_DIRECTORY, "66050", False),
        (ACTIVE_DIRECTORY, None, True),
    ],
)
def test_who_is_enabled(settings, value, enabled):
    attribute = settings.get("user_enabled_attribute", "enabled")
    entry = {"cn": ["jane"], "sn": ["jane"], **({attribute: [value]} if value is not None else {})}
    found, _ = people(settings, entry)
    assert [one.enabled for one in found] == [enabled]


def test_names_of_attributes_are_read_in_any_case_and_half_entries_left_out():
    found, _ = people({}, {"CN": ["jane"], "SN": ["Jane"], "Mail": ["j@x"]}, {"cn": ["nameless"]})
    assert [(one.local_id, one.name, one.extra) for one in found] == [("jane", "Jane", {"email": "j@x"})]


@pytest.mark.parametrize("name", ["*", "a)(uid=*", "a\\", "a\0b", "(", "ä"])
def test_what_is_asked_for_stays_a_value(name):
    _, asked = people({"user_filter": "(team=x)"}, name=name)
    value = asked.removeprefix("(&(objectClass=inetOrgPerson)(team=x)(sn=").removesuffix("))")
    assert not set("*()\0") & set(value)
    assert asked.count("(") == asked.count(")") == 4


def test_equal_names_are_equal():
    assert normal_dn("UID=Jane, OU=Users,dc=corp") == normal_dn("uid=jane,ou=users,DC=corp")
    assert normal_dn("no name at all") == "no name at all"
    assert normal_dn(r"cn=Doe\, Jane,dc=corp") != normal_dn("cn=Doe,dc=corp")
