"""The cloud's own CA and the certificate that it signs for the cloud, for clouds that were given none.

Rule: the CA is made once and stays, as clients trust it; the certificate is made anew before it ends, and when the
cloud is reached by a name or address that it does not hold.
"""

import ipaddress
import socket
from collections.abc import Iterable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from urllib.parse import urlsplit

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from pileus.cli.contents import CA
from pileus.cli.state import write_atomically
from pileus.kernel.config import CloudSettings

CA_KEY, CERTIFICATE = "ca.key", "server.pem"
CA_LIFE, LIFE, RENEWED_BEFORE = timedelta(days=3650), timedelta(days=398), timedelta(days=30)
"""398 days: what browsers accept at most."""
SKEW = timedelta(hours=1)
"""How far a client's clock may be behind."""


def ensure(folder: Path, cloud: CloudSettings) -> None:
    """See that a folder holds a CA and a certificate that is good for the names of the cloud."""
    folder.mkdir(parents=True, exist_ok=True)
    folder.chmod(0o755)
    if not (folder / CA).exists():
        _make_ca(folder, cloud.cloud_id)
    names = names_of(cloud)
    if not _is_good(folder, names):
        _make_certificate(folder, names)


def names_of(cloud: CloudSettings) -> list[str]:
    """Return the names and addresses by which the cloud is reached, as far as they are known here."""
    public = urlsplit(cloud.public_url or "").hostname
    own = [cloud.host] if cloud.host not in ("0.0.0.0", "::") else outward_addresses()
    found = ["localhost", "127.0.0.1", "::1", socket.gethostname(), socket.getfqdn(), *own, *cloud.tls_names]
    return sorted({name.lower() for name in [*found, public] if name})


def outward_addresses() -> list[str]:
    """Return the addresses with which this machine goes out; nothing is sent."""
    found = []
    for family, somewhere in ((socket.AF_INET, "192.0.2.1"), (socket.AF_INET6, "2001:db8::1")):
        try:
            with socket.socket(family, socket.SOCK_DGRAM) as probe:
                probe.connect((somewhere, 9))
                found.append(probe.getsockname()[0])
        except OSError:  # no way out by this family
            continue
    return found


def _make_ca(folder: Path, cloud_id: str) -> None:
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, f"Pileus cloud {cloud_id}")])
    usage = _usage(key_cert_sign=True, crl_sign=True)
    builder = _builder(name, name, key, CA_LIFE)
    builder = builder.add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
    builder = builder.add_extension(usage, critical=True)
    _write(folder / CA_KEY, _private(key), 0o600)
    _write(folder / CA, builder.sign(key, hashes.SHA256()).public_bytes(serialization.Encoding.PEM), 0o644)


def _make_certificate(folder: Path, names: Iterable[str]) -> None:
    ca = x509.load_pem_x509_certificate((folder / CA).read_bytes())
    ca_key = serialization.load_pem_private_key((folder / CA_KEY).read_bytes(), None)
    assert isinstance(ca_key, ec.EllipticCurvePrivateKey)
    key = ec.generate_private_key(ec.SECP256R1())
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "Pileus")])
    authority = x509.AuthorityKeyIdentifier.from_issuer_public_key(ca_key.public_key())
    builder = _builder(subject, ca.subject, key, LIFE)
    for extension, critical in (
        (x509.SubjectAlternativeName([_general(name) for name in names]), False),
        (x509.BasicConstraints(ca=False, path_length=None), True),
        (_usage(digital_signature=True), True),
        (x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH]), False),
        (authority, False),
    ):
        builder = builder.add_extension(extension, critical=critical)
    certificate = builder.sign(ca_key, hashes.SHA256()).public_bytes(serialization.Encoding.PEM)
    # The key goes into the same file: both change at once, whoever reads them meanwhile.
    _write(folder / CERTIFICATE, certificate + _private(key), 0o600)


def _is_good(folder: Path, names: Iterable[str]) -> bool:
    path = folder / CERTIFICATE
    if not path.exists():
        return False
    found = x509.load_pem_x509_certificate(path.read_bytes())
    held = found.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    ends = found.not_valid_after_utc
    return ends - datetime.now(UTC) > RENEWED_BEFORE and {_general(name) for name in names} <= set(held)


def _general(name: str) -> x509.GeneralName:
    try:
        return x509.IPAddress(ipaddress.ip_address(name))
    except ValueError:
        return x509.DNSName(name.encode("idna").decode())


def _builder(
    subject: x509.Name, issuer: x509.Name, key: ec.EllipticCurvePrivateKey, life: timedelta
) -> x509.CertificateBuilder:
    now = datetime.now(UTC)
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - SKEW)
        .not_valid_after(now + life - SKEW)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
    )


def _usage(**granted: bool) -> x509.KeyUsage:
    uses = ("digital_signature", "content_commitment", "key_encipherment", "data_encipherment", "key_agreement")
    uses += ("key_cert_sign", "crl_sign", "encipher_only", "decipher_only")
    return x509.KeyUsage(**{use: granted.get(use, False) for use in uses})


def _private(key: ec.EllipticCurvePrivateKey) -> bytes:
    plain = serialization.NoEncryption()
    return key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, plain)


def _write(path: Path, content: bytes, mode: int) -> None:
    write_atomically(path, content.decode(), mode)
