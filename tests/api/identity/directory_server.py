"""A real LDAP server (OpenLDAP) on loopback with a few people, changed by OpenLDAP's own tools."""

import datetime
import shutil
import socket
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import rsa

SUFFIX = "dc=corp,dc=test"
ADMIN, ADMIN_PASSWORD = f"cn=admin,{SUFFIX}", "directory secret"
START = f"""
dn: {SUFFIX}
objectClass: dcObject
objectClass: organization
o: Corp

dn: ou=Users,{SUFFIX}
objectClass: organizationalUnit
ou: Users

dn: ou=UserGroups,{SUFFIX}
objectClass: organizationalUnit
ou: UserGroups
"""


def person(name: str, password: str = "", *, id: str = "", active: str = "TRUE") -> str:
    """Return a person as LDIF; ``employeeType`` says whether it may log in."""
    return f"""
dn: uid={id or name},ou=Users,{SUFFIX}
objectClass: inetOrgPerson
uid: {id or name}
cn: {name} Doe
sn: {name}
mail: {name}@corp.test
employeeType: {active}
userPassword: {password or "secret of " + name}
"""


def team(name: str, *members: str) -> str:
    """Return a group as LDIF."""
    lines = "".join(f"member: uid={member},ou=Users,{SUFFIX}\n" for member in members)
    return f"\ndn: cn={name},ou=UserGroups,{SUFFIX}\nobjectClass: groupOfNames\ncn: {name}\nou: {name}\n{lines}"


@dataclass
class DirectoryServer:
    url: str
    folder: Path
    process: "subprocess.Popen[bytes] | None" = None

    @property
    def secure_url(self) -> str:
        return self.url.replace("ldap://", "ldaps://").replace(f":{self.port}", f":{self.port_secure}")

    port: int = 0
    port_secure: int = 0

    @property
    def certificate(self) -> Path:
        return self.folder / "server.crt"

    def settings(self, **more: object) -> dict[str, object]:
        """Return how a domain names this directory."""
        return {
            "url": self.url,
            "user": ADMIN,
            "password": ADMIN_PASSWORD,
            "suffix": SUFFIX,
            "user_id_attribute": "uid",
            "user_name_attribute": "sn",
            "user_enabled_attribute": "employeeType",
            "user_enabled_default": "True",
            **more,
        }

    def _tool(self, name: str, text: str, *words: str) -> None:
        command = [name, "-x", "-H", self.url, "-D", ADMIN, "-w", ADMIN_PASSWORD, *words]
        done = subprocess.run(command, input=text.encode(), capture_output=True, check=False, timeout=30)
        assert done.returncode == 0, done.stderr.decode()

    def add(self, *entries: str) -> None:
        self._tool("ldapadd", "\n".join(entries))

    def change(self, ldif: str) -> None:
        self._tool("ldapmodify", ldif)

    def remove(self, dn: str) -> None:
        self._tool("ldapdelete", "", f"{dn},{SUFFIX}")

    def start(self) -> None:
        self.process = subprocess.Popen(
            [
                shutil.which("slapd") or "/usr/sbin/slapd",
                "-h",
                f"{self.url} {self.secure_url}",
                "-f",
                str(self.folder / "slapd.conf"),
                "-d",
                "0",
            ],
            stdout=subprocess.DEVNULL,
            stderr=(self.folder / "slapd.log").open("ab"),
        )
        deadline = time.monotonic() + 30
        while True:
            try:
                socket.create_connection(("127.0.0.1", self.port), 1).close()
                return
            except OSError:
                log = (self.folder / "slapd.log").read_text()
                assert self.process.poll() is None, f"slapd did not start: {log}"
                assert time.monotonic() < deadline, f"slapd does not answer: {log}"
                time.sleep(0.05)

    def stop(self) -> None:
        if self.process is not None:
            self.process.terminate()
            self.process.wait(30)
            self.process = None


def _certificate(folder: Path) -> None:
    key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "127.0.0.1")])
    now = datetime.datetime.now(datetime.UTC)
    import ipaddress

    made = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(1)
        .not_valid_before(now - datetime.timedelta(days=1))
        .not_valid_after(now + datetime.timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address("127.0.0.1"))]), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )
    (folder / "server.crt").write_bytes(made.public_bytes(serialization.Encoding.PEM))
    (folder / "server.key").write_bytes(
        key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    )


def _free_port() -> int:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return free.getsockname()[1]


@contextmanager
def directory_server(folder: Path) -> Iterator[DirectoryServer]:
    """Start a server with two people and a group, yield it, stop it."""
    (folder / "data").mkdir()
    _certificate(folder)
    schemas = "".join(f"include /etc/ldap/schema/{name}.schema\n" for name in ("core", "cosine", "inetorgperson"))
    (folder / "slapd.conf").write_text(
        f"{schemas}pidfile {folder}/slapd.pid\nargsfile {folder}/slapd.args\n"
        f"modulepath /usr/lib/ldap\nmoduleload back_mdb\n"
        f"TLSCertificateFile {folder}/server.crt\nTLSCertificateKeyFile {folder}/server.key\n"
        f'database mdb\nsuffix "{SUFFIX}"\nrootdn "{ADMIN}"\nrootpw "{ADMIN_PASSWORD}"\ndirectory {folder}/data\n'
    )
    port, secure = _free_port(), _free_port()
    server = DirectoryServer(f"ldap://127.0.0.1:{port}", folder, port=port, port_secure=secure)
    server.start()
    try:
        server.add(START, person("jane"), person("john", active="FALSE"), team("staff", "jane"))
        yield server
    finally:
        server.stop()
