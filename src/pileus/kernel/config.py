"""Settings of a cloud: one ``pileus.toml`` in the state directory, one table per service.

Rule: defaults need no reading; every setting is a field of a typed struct, declared by who uses it.
"""

import os
import tomllib
from pathlib import Path
from typing import Any, TypeVar

import msgspec

S = TypeVar("S", bound="Settings")


class ConfigError(Exception):
    """A settings file that cannot be used: names the file, the table and the field."""


class Settings(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Base of every table of settings; the class attribute ``table`` names it in the file."""


class CloudSettings(Settings, frozen=True):
    """Table ``[cloud]``: what concerns the whole."""

    region: str = "RegionOne"
    """What the catalog calls this cloud's region."""
    host: str = "127.0.0.1"
    """The address to listen on; ``0.0.0.0`` is all."""
    port: int = 8774
    """The one port of every API and of the dashboard."""
    tls: bool = False
    """Serve by TLS; the certificate is made by a CA of the cloud's own, unless ``tls_certificate`` names one."""
    tls_certificate: str | None = None
    """File of the certificate and those that lead to a known CA (PEM), read anew when it changes; turns ``tls`` on."""
    tls_key: str | None = None
    """File of its key (PEM, not encrypted); by default that of the certificate."""
    tls_ca: str | None = None
    """File of the CAs that clients are to trust for it (PEM), where their systems do not anyway."""
    tls_names: tuple[str, ...] = ()
    """Names and addresses that the cloud's own certificate holds besides those that are known here."""
    public_url: str | None = None
    """How clients reach the cloud when it stands behind a proxy; by default the request's own Host header."""
    trusted_proxies: tuple[str, ...] = ("127.0.0.1", "::1")
    """Addresses and networks of proxies: only they may say, by X-Forwarded-For and the like, who a client is."""
    database: str | None = None
    """URL of the database; by default ``sqlite:///STATE/pileus.db``."""
    synced: bool | None = None
    """Whether every commit waits for the disk; by default a fake cloud's does not, and a real one's must."""
    fake: bool = False
    """Fake hypervisor and network: no root, no packages."""
    fake_hosts: int = 1
    """How many hosts a fake cloud has."""
    cloud_id: str = "0000"
    """Four hex digits that mark this cloud's bridges, taps and namespaces on a host."""
    log_level: str = "info"
    """``debug``, ``info``, ``warning`` or ``error``."""


class Configuration:
    """All tables of one cloud."""

    def __init__(self, state: Path, tables: dict[str, Any] | None = None, **cloud: Any) -> None:
        self.state = state
        self._tables = tables or {}
        self._cache: dict[type[Settings], Settings] = {}
        base = _convert(self._tables.get("cloud", {}), CloudSettings, "cloud", state)
        self.cloud: CloudSettings = msgspec.structs.replace(base, **cloud) if cloud else base

    @classmethod
    def load(cls, state: Path, **cloud: Any) -> "Configuration":
        """Read ``STATE/pileus.toml``; a missing file means defaults."""
        path = state / "pileus.toml"
        try:
            tables = tomllib.loads(path.read_text()) if path.exists() else {}
        except tomllib.TOMLDecodeError as error:
            raise ConfigError(f"{path}: {error}") from error
        return cls(state, tables, **cloud)

    def get(self, settings: type[S]) -> S:
        """Return the table of ``settings``: ``ImageSettings`` of package ``pileus.services.image`` is ``[image]``."""
        found = self._cache.get(settings)
        if found is None:
            table = table_of(settings)
            theirs = _fields_of_others(settings, table)
            given = {name: value for name, value in self._tables.get(table, {}).items() if name not in theirs}
            found = self._cache[settings] = _convert(given, settings, table, self.state)
        return found  # type: ignore[return-value]

    def stated(self, table: str) -> frozenset[str]:
        """Return the names of the settings that the file itself gives in a table."""
        return frozenset(self._tables.get(table, {}))

    @property
    def database_url(self) -> str:
        return self.cloud.database or f"sqlite:///{self.state / 'pileus.db'}"

    @property
    def synced(self) -> bool:
        """Whether commits wait for the disk; raise ConfigError where a real cloud's are not to."""
        if self.cloud.synced is False and not self.cloud.fake:
            raise ConfigError(f"{self.state / 'pileus.toml'}, table [cloud]: only a fake cloud can do without synced.")
        return not self.cloud.fake if self.cloud.synced is None else self.cloud.synced


def table_of(settings: type[Settings]) -> str:
    """Return the name of the table in ``pileus.toml`` that a struct is read from."""
    parts = settings.__module__.split(".")
    return parts[2] if parts[:2] == ["pileus", "services"] else parts[-1]


def _fields_of_others(settings: type[Settings], table: str) -> set[str]:
    """Return the fields of a table that belong to other structs of the same service (its host part's, say)."""
    others = (kind for kind in Settings.__subclasses__() if kind is not settings and table_of(kind) == table)
    return {name for kind in others for name in kind.__struct_fields__} - set(settings.__struct_fields__)


def _convert(data: Any, settings: type[S], table: str, state: Path) -> S:
    try:
        return msgspec.convert(data, settings)
    except msgspec.ValidationError as error:
        raise ConfigError(f"{state / 'pileus.toml'}, table [{table}]: {error}") from error


def default_state() -> Path:
    """Return where a cloud lives unless told otherwise: ``/var/lib/pileus`` for root, else the user's data folder."""
    if told := os.environ.get("PILEUS_STATE"):
        return Path(told)
    if os.geteuid() == 0:
        return Path("/var/lib/pileus")
    return Path(os.environ.get("XDG_DATA_HOME", Path.home() / ".local/share")) / "pileus"
