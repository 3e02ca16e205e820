"""What the fresh machine is given of the outer one, so that it reaches packages behind a proxy or a mirror too.

Rule: whatever that is, is read from the outer machine; no host is named here.
"""

import os
import re
import subprocess
from pathlib import Path

CERTIFICATES = Path("/etc/ssl/certs/ca-certificates.crt")
FILES = (Path("/etc/pip.conf"), Path("/etc/uv/uv.toml"))
CARRIED = re.compile(
    r"(?:https?|ftp|all|no)_proxy|SSL_CERT_(?:FILE|DIR)|REQUESTS_CA_BUNDLE|CURL_CA_BUNDLE|GIT_SSL_CAINFO"
    r"|PIP_(?:INDEX_URL|EXTRA_INDEX_URL|TRUSTED_HOST|CERT|DEFAULT_TIMEOUT)|UV_(?:\w*INDEX\w*|\w*CERT\w*|HTTP_TIMEOUT)"
    r"|(?:NPM_CONFIG_|npm_config_)\w+|NODE_EXTRA_CA_CERTS",
    re.IGNORECASE,
)
APT = re.compile(r"Acquire::(?:(?:https?|ftp)::(?:Proxy|CaInfo)\S*|Check-\S+|Retries|\S+::Timeout) ")


def environment() -> dict[str, str]:
    """Return the variables that say how packages are reached."""
    return {name: value for name, value in os.environ.items() if CARRIED.fullmatch(name)}


def apt_settings() -> str:
    """Return apt's settings of proxies, certificates and dates."""
    dump = subprocess.run(["apt-config", "dump"], capture_output=True, text=True, check=True, timeout=30).stdout
    return "".join(f"{line}\n" for line in dump.splitlines() if APT.match(line) and not line.endswith(' "";'))


def codename() -> str:
    """Return the name of the outer machine's own Debian."""
    found = re.search(r"^VERSION_CODENAME=(\w+)", Path("/etc/os-release").read_text(), re.MULTILINE)
    assert found, "this machine is no Debian"
    return found[1]


def sources(suite: str) -> list[str]:
    """Return the lines of apt's sources for a suite, as the outer machine has them for its own."""
    own, found = codename(), []
    for path in [Path("/etc/apt/sources.list"), *sorted(Path("/etc/apt/sources.list.d").glob("*"))]:
        if not path.exists():
            continue
        text = path.read_text()
        for stanza in re.split(r"\n\s*\n", text) if path.suffix == ".sources" else []:
            fields = dict(re.findall(r"^(\w[\w-]*):[ \t]*(.*)$", stanza, re.MULTILINE))
            for name in fields.get("Suites", "").split():
                if name.split("-")[0] == own:
                    found += [(uri, name, fields["Components"].split()[0]) for uri in fields["URIs"].split()]
        for line in text.splitlines() if path.suffix != ".sources" else []:
            plain = re.match(r"deb (?:\[[^]]*\] )?(\S+) (\S+) (\S+)", line)
            if plain and plain[2].split("-")[0] == own:
                found.append((plain[1], plain[2], plain[3]))
    lines = [f"deb {uri} {name.replace(own, suite, 1)} {component}" for uri, name, component in found]
    return list(dict.fromkeys(lines))


def mirror(suite: str) -> str:
    """Return where the archive of Debian itself is."""
    lines = [line.split() for line in sources(suite)]
    found = next((line[1] for line in lines if line[2] == suite), None)
    assert found, "apt's sources name no archive of Debian"
    return found
