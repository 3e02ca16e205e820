"""Keys and certificates: made, and known by their fingerprints.  Rule: the private half is returned and forgotten."""

import base64
import binascii
import hashlib
from datetime import timedelta

from cryptography import x509
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.serialization import load_ssh_public_key
from cryptography.x509.oid import ExtendedKeyUsageOID

from pileus.kernel import clock
from pileus.kernel.errors import Invalid

VALID = timedelta(days=3650)
UPN = x509.ObjectIdentifier("1.3.6.1.4.1.311.20.2.3")
"""Microsoft's user principal name: where WinRM looks for the user a certificate stands for."""


def ssh_fingerprint(public_key: str) -> str:
    """Return the MD5 fingerprint of an OpenSSH public key, as the API has always shown it; raise Invalid."""
    try:
        load_ssh_public_key(public_key.encode())
        blob = base64.b64decode(public_key.split()[1], validate=True)
    except (ValueError, IndexError, binascii.Error, UnsupportedAlgorithm) as error:
        raise Invalid(
            "Keypair data is invalid: failed to generate fingerprint. 'public_key' must be one line in OpenSSH "
            "format, such as 'ssh-ed25519 AAAA... name'."
        ) from error
    return _pairs(hashlib.md5(blob, usedforsecurity=False).hexdigest())


def certificate_fingerprint(pem: str) -> str:
    """Return the SHA-1 fingerprint of a certificate; raise Invalid."""
    try:
        certificate = x509.load_pem_x509_certificate(pem.encode())
    except ValueError as error:
        raise Invalid("Keypair data is invalid: 'public_key' must be an X.509 certificate in PEM.") from error
    return _pairs(certificate.fingerprint(hashes.SHA1()).hex())


def generate_ssh() -> tuple[str, str]:
    """Return a new RSA key pair of 2048 bits: (public as OpenSSH writes it, private as PEM).

    RSA, since passwords that guests send encrypted (``get-password``) can be read with no other kind.  Takes a tenth
    of a second: not for the event loop.
    """
    key = rsa.generate_private_key(65537, 2048)
    private = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.TraditionalOpenSSL, serialization.NoEncryption()
    )
    public = key.public_key().public_bytes(serialization.Encoding.OpenSSH, serialization.PublicFormat.OpenSSH)
    return f"{public.decode()} Generated-by-Pileus", private.decode()


def generate_certificate(user_id: str) -> tuple[str, str]:
    """Return a new self-signed certificate for a user of WinRM, and its key: both in PEM."""
    key = rsa.generate_private_key(65537, 2048)
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, user_id[:64] or "user")])
    principal = f"{user_id}@localhost".encode()
    encoded = b"\x0c" + bytes([len(principal)]) + principal
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(clock.now())
        .not_valid_after(clock.now() + VALID)
        .add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.CLIENT_AUTH]), critical=False)
        .add_extension(x509.SubjectAlternativeName([x509.OtherName(UPN, encoded)]), critical=False)
        .sign(key, hashes.SHA256())
    )
    private = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    return certificate.public_bytes(serialization.Encoding.PEM).decode(), private.decode()


def _pairs(digest: str) -> str:
    return ":".join(digest[at : at + 2] for at in range(0, len(digest), 2))
