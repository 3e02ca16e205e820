"""Seed files: TOML that says what a new fake cloud holds from the start.

Rule: what cannot be understood is refused before anything is started, with the line it stands in.
"""

import re
import tomllib
from pathlib import Path
from typing import Annotated, Literal

import msgspec

Name = Annotated[str, msgspec.Meta(min_length=1, max_length=64)]
LongName = Annotated[str, msgspec.Meta(min_length=1, max_length=255)]
Text = Annotated[str, msgspec.Meta(max_length=255)]
Whole = Annotated[int, msgspec.Meta(ge=0, le=2**31 - 1)]
Positive = Annotated[int, msgspec.Meta(ge=1, le=2**31 - 1)]
Limit = Annotated[int, msgspec.Meta(ge=-1, le=2**31 - 1)]
Strings = dict[LongName, Text]
MOST = 1000
LONGEST = 1 << 20
"""Bytes of a seed file at most."""


class SeedError(Exception):
    """A seed that cannot be used; the sentence names the file and the line."""


class Table(msgspec.Struct, kw_only=True, forbid_unknown_fields=True):
    """Base of every table of a seed."""


class Quota(Table):
    """Limits of a project, by service and by the names that the services' own APIs use; -1 is no limit."""

    compute: dict[LongName, Limit] = {}
    volume: dict[LongName, Limit] = {}
    network: dict[LongName, Limit] = {}


class Project(Table):
    """A project in the default domain."""

    name: Name
    description: Text = ""
    quota: Quota = msgspec.field(default_factory=Quota)


class Grant(Table):
    """A role of a user in a project."""

    project: Name
    role: LongName = "member"


class User(Table):
    """A user in the default domain."""

    name: LongName
    password: Annotated[str, msgspec.Meta(min_length=1, max_length=128)]
    roles: Annotated[list[Grant], msgspec.Meta(max_length=MOST)] = []


class Role(Table):
    """A role beside admin, manager, member and reader."""

    name: LongName


class Flavor(Table):
    """A flavor; ``ram`` in MiB, ``disk`` in GiB."""

    name: LongName
    vcpus: Positive
    ram: Positive
    disk: Whole = 0
    id: LongName | None = None
    public: bool = True
    extra_specs: Strings = {}


class Image(Table):
    """An image: of a ``file`` (its path is relative to the seed's), else of ``size`` zeros."""

    name: LongName
    file: Text | None = None
    size: Annotated[int, msgspec.Meta(ge=1, le=1 << 30)] = 65536
    disk_format: Literal["raw", "qcow2", "iso", "vmdk", "vdi", "vhd", "vhdx"] = "raw"
    visibility: Literal["public", "private", "shared", "community"] = "public"
    project: Name | None = None
    min_disk: Whole = 0
    min_ram: Whole = 0
    properties: Strings = {}


class Pool(Table):
    """Addresses from which ports are given theirs."""

    start: Text
    end: Text


class Subnet(Table):
    """A subnet; without ``gateway`` the first address is it, with "none" there is none."""

    name: LongName
    cidr: Text
    gateway: Text | None = None
    dhcp: bool = True
    dns: Annotated[list[Text], msgspec.Meta(max_length=20)] = []
    pools: Annotated[list[Pool], msgspec.Meta(max_length=100)] = []


class Network(Table):
    """A network of a project; ``shared`` by all, or ``external``: where floating IPs come from."""

    name: LongName
    project: Name = "admin"
    shared: bool = False
    external: bool = False
    subnets: Annotated[list[Subnet], msgspec.Meta(max_length=100)] = []


class Router(Table):
    """A router of a project: the external network it leads to, and the subnets it joins, by name."""

    name: LongName
    project: Name
    gateway: LongName | None = None
    subnets: Annotated[list[LongName], msgspec.Meta(max_length=100)] = []


class Rule(Table):
    """What a security group lets through; ``ports`` is "22" or "8000-8010", ``remote`` a prefix."""

    protocol: Text | None = None
    ports: Annotated[str, msgspec.Meta(pattern=r"^\d{1,5}(-\d{1,5})?$")] | None = None
    remote: Text | None = None
    direction: Literal["ingress", "egress"] = "ingress"
    ethertype: Literal["IPv4", "IPv6"] = "IPv4"


class SecurityGroup(Table):
    """A security group of a project."""

    name: LongName
    project: Name
    description: Text = ""
    rules: Annotated[list[Rule], msgspec.Meta(max_length=MOST)] = []


class KeyPair(Table):
    """A key pair of a user."""

    name: LongName
    user: LongName
    public_key: Annotated[str, msgspec.Meta(max_length=16384)]


class Volume(Table):
    """A volume of a project, ``size`` in GiB, empty or made of an image."""

    name: LongName
    project: Name
    size: Positive
    image: LongName | None = None


class Server(Table):
    """A server of a project; it runs when the cloud is there."""

    name: LongName
    project: Name
    flavor: LongName
    image: LongName
    networks: Annotated[list[LongName], msgspec.Meta(min_length=1, max_length=32)]
    security_groups: Annotated[list[LongName], msgspec.Meta(max_length=50)] = []
    key: LongName | None = None
    metadata: Strings = {}


class Content(Table):
    """The whole file."""

    projects: Annotated[list[Project], msgspec.Meta(max_length=MOST)] = []
    roles: Annotated[list[Role], msgspec.Meta(max_length=MOST)] = []
    users: Annotated[list[User], msgspec.Meta(max_length=MOST)] = []
    flavors: Annotated[list[Flavor], msgspec.Meta(max_length=MOST)] = []
    images: Annotated[list[Image], msgspec.Meta(max_length=MOST)] = []
    networks: Annotated[list[Network], msgspec.Meta(max_length=MOST)] = []
    routers: Annotated[list[Router], msgspec.Meta(max_length=MOST)] = []
    security_groups: Annotated[list[SecurityGroup], msgspec.Meta(max_length=MOST)] = []
    keypairs: Annotated[list[KeyPair], msgspec.Meta(max_length=MOST)] = []
    volumes: Annotated[list[Volume], msgspec.Meta(max_length=MOST)] = []
    servers: Annotated[list[Server], msgspec.Meta(max_length=MOST)] = []


class Seed:
    """A seed file that was understood."""

    def __init__(self, path: Path, content: Content, lines: dict[str, int]) -> None:
        self.path = path
        self.content = content
        self._lines = lines

    def error(self, where: str, sentence: str) -> SeedError:
        """Return what to raise of a place such as ``servers[0].flavor``."""
        return SeedError(f"{self.path}, line {line_of(self._lines, where)}: {sentence}")


def read(path: Path) -> Seed:
    """Read a seed file; raise SeedError, naming the line, for what cannot be understood."""
    try:
        raw = path.read_bytes()
        if len(raw) > LONGEST:
            raise SeedError(f"{path} has {len(raw)} bytes, more than the {LONGEST} of a seed.")
        text = raw.decode()
        data = tomllib.loads(text)
    except OSError as error:
        raise SeedError(f"{path} cannot be read: {error.strerror}.") from error
    except UnicodeDecodeError as error:
        raise SeedError(f"{path} is not a text in UTF-8: {error.reason} at byte {error.start}.") from error
    except tomllib.TOMLDecodeError as error:
        raise SeedError(f"{path} is not TOML: {error}.") from error
    lines = lines_in(text)
    try:
        seed = Seed(path, msgspec.convert(data, Content), lines)
    except msgspec.ValidationError as error:
        raise SeedError(_told(path, str(error), lines)) from error
    for number, image in enumerate(seed.content.images):
        if image.file is not None and not (path.parent / image.file).is_file():
            raise seed.error(f"images[{number}].file", f"there is no file {path.parent / image.file}.")
    _twice(seed)
    return seed


def _twice(seed: Seed) -> None:
    """Refuse two of one kind that could not be told apart."""
    for kind in Content.__struct_fields__:
        known: dict[tuple[str, str], int] = {}
        for number, one in enumerate(getattr(seed.content, kind)):
            owner = getattr(one, "project", None) or getattr(one, "user", None) or ""
            if (owner, one.name) in known:
                raise seed.error(f"{kind}[{number}].name", f"there is another of {kind} called {one.name} above.")
            known[owner, one.name] = number


def _told(path: Path, message: str, lines: dict[str, int]) -> str:
    """Return a sentence for what msgspec says: ``Expected `int`, got `str` - at `$.flavors[0].ram```."""
    words, _, where = message.partition(" - at `$")
    where = where.rstrip("`").removeprefix(".")
    if found := re.search(r"unknown field `([^`]+)`", words):
        where = f"{where}.{found[1]}".removeprefix(".")
        words = f"{found[1]} is not known here"
    what = f" ({where})" if where else ""
    return f"{path}, line {line_of(lines, where)}: {words.replace('`', chr(39))}{what}."


_HEADER = re.compile(r"\s*(\[\[?)\s*([\w.\"'-]+)\s*\]")
_KEY = re.compile(r"\s*([\w\"'-]+(?:\s*\.\s*[\w\"'-]+)*)\s*=")


def lines_in(text: str) -> dict[str, int]:
    """Return the lines (from 1) of tables and keys, by paths such as ``networks[0].subnets[1].cidr``.

    What stands inside an inline table or array has the line of its key.
    """
    found: dict[str, int] = {}
    counts: dict[str, int] = {}
    table = ""
    for number, line in enumerate(text.splitlines(), 1):
        if header := _HEADER.match(line):
            table = _table(_parts(header[2]), header[1] == "[[", counts)
            found.setdefault(re.sub(r"\[\d+\]$", "", table), number)
            found.setdefault(table, number)
        elif key := _KEY.match(line):
            path = ".".join(part for part in (table, *_parts(key[1])) if part)
            found.setdefault(path, number)
    return found


def _table(parts: list[str], array: bool, counts: dict[str, int]) -> str:
    """Return the path of a table; ``counts`` has how many there are of each array so far."""
    path = ""
    for position, part in enumerate(parts):
        path = f"{path}.{part}".removeprefix(".")
        if array and position == len(parts) - 1:
            counts[path] = counts.get(path, 0) + 1
        if path in counts:
            path = f"{path}[{counts[path] - 1}]"
    return path


def _parts(name: str) -> list[str]:
    return [part.strip().strip("\"'") for part in name.split(".")]


def line_of(lines: dict[str, int], where: str) -> int:
    """Return the line of a path, or of what it lies in; 1 when nothing of it was found."""
    parts = re.findall(r"\[[^\]]*\]|\.?[^.\[\]]+", where)
    for length in range(len(parts), 0, -1):
        if (line := lines.get("".join(parts[:length]))) is not None:
            return line
    return 1
