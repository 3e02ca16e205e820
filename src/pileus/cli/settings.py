"""What operators have written into ``pileus.toml``, as the commands need it."""

from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pileus.cli.contents import CA, CERTIFICATES, SETTINGS
from pileus.cli.state import Cloud, State, url
from pileus.cli.terminal import Problem

if TYPE_CHECKING:
    from pileus.kernel.config import Configuration

CHOICES = ("host", "port", "fake", "fake_hosts", "cloud_id", "tls")
"""Fields of ``[cloud]`` that are also choices of a cloud, kept in ``cloud.json`` from its first start on."""
FIXED = ("fake", "cloud_id")
"""Those that a cloud keeps for life: what it has made on hosts depends on them."""


def configuration(state: State) -> "Configuration":
    """Return the settings of the cloud that lives in ``state``; raises ConfigError."""
    from pileus.kernel.config import Configuration

    cloud = state.load()
    return Configuration.load(state.path, **{name: getattr(cloud, name) for name in CHOICES})


def settled(state: State, known: Cloud | None, base: Cloud) -> tuple[Cloud, dict[str, Any]]:
    """Return ``base`` as the settings change it, and what they say; raise Problem for what ``known`` cannot become."""
    if not (state.path / SETTINGS).exists():
        return base, {}
    from pileus.kernel.config import ConfigError, Configuration

    try:
        config = Configuration.load(state.path)
        said = {name: getattr(config.cloud, name) for name in CHOICES if name in config.stated("cloud")}
        if config.cloud.tls_certificate is not None:
            said["tls"] = True
    except ConfigError as error:
        raise Problem(str(error)) from error
    for name in FIXED if known is not None else ():
        if name in said and said[name] != getattr(known, name):
            raise Problem(
                f"[cloud] {name} in {state.path / SETTINGS} is {said[name]!r}; this cloud was made with "
                f"{getattr(known, name)!r}.",
                "Take it out of there, or give a new cloud a directory of its own with --state.",
            )
    return replace(base, **said), said


@dataclass(frozen=True)
class Reached:
    """How clients reach a cloud."""

    url: str
    ca: Path | None
    """The file of the CAs they are to trust, None where their systems' own will do."""


def reached(state: State, cloud: Cloud) -> Reached:
    """Return how clients reach the cloud, a proxy in front of it included."""
    own = state.path / CERTIFICATES / CA if cloud.tls else None
    if not (state.path / SETTINGS).exists():
        return Reached(url(cloud), own)
    from pileus.kernel.config import ConfigError

    try:
        said = configuration(state).cloud
    except ConfigError as error:
        raise Problem(str(error)) from error
    if said.tls_ca is not None:
        own = state.path / said.tls_ca
    elif said.tls_certificate is not None or said.public_url is not None:
        own = None
    return Reached((said.public_url or url(cloud)).rstrip("/"), own)
