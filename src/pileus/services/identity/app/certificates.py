"""Client certificates, as a proxy that ends TLS hands them over.

Rule: a certificate in a header counts only from a trusted proxy, which must set or remove the header on every request.
"""

import base64
import binascii
import hashlib
import ssl
from dataclasses import dataclass
from urllib.parse import unquote

from pileus.kernel.errors import Invalid
from pileus.kernel.rest import Request

LONGEST = 32 * 1024
"""Characters of a certificate in a header at most."""
BEGIN, END = "-----BEGIN CERTIFICATE-----", "-----END CERTIFICATE-----"


@dataclass(frozen=True, slots=True)
class Certificate:
    """A certificate in its binary form (DER)."""

    der: bytes

    @property
    def thumbprint(self) -> str:
        """Return what a token is bound by.

        RFC 8705 hashes the binary form; Keystone and keystonemiddleware hash the PEM text and keep the padding, and
        services of other makes compare with that, so it is done here.
        """
        pem = ssl.DER_cert_to_PEM_cert(self.der)
        return base64.urlsafe_b64encode(hashlib.sha256(pem.encode()).digest()).decode()

    def names(self) -> dict[str, list[str]]:
        """Return subject and issuer as a mapping's attributes: ``SSL_CLIENT_SUBJECT_DN_CN`` and the like."""
        from cryptography import x509

        email = {x509.NameOID.EMAIL_ADDRESS: "emailAddress"}
        try:
            certificate = x509.load_der_x509_certificate(self.der)
            parts = {"SUBJECT": certificate.subject, "ISSUER": certificate.issuer}
        except ValueError as error:
            raise Invalid(f"The client certificate cannot be read: {error}.") from None
        found: dict[str, list[str]] = {}
        for part, name in parts.items():
            for attribute in name:
                short = attribute.rfc4514_attribute_name
                key = f"SSL_CLIENT_{part}_DN_{email.get(attribute.oid, short).upper()}"
                found.setdefault(key, []).append(str(attribute.value))
        return found


def presented(request: Request, header: str | None) -> Certificate | None:
    """Return the certificate that the client showed to the proxy; raise Invalid for one that cannot be read.

    Understood: PEM, escaped as in a URL (nginx) or with its line breaks lost; base64 of the binary form (haproxy),
    between colons too (RFC 9440).
    """
    text = request.headers.get(header.lower(), "").strip() if header and request.through_proxy else ""
    if not text or len(text) > LONGEST:
        return None
    if "%" in text:
        text = unquote(text)
    if BEGIN in text:
        text = text.partition(BEGIN)[2].partition(END)[0]
    try:
        return Certificate(base64.b64decode("".join(text.strip(":").split()), validate=True))
    except binascii.Error:
        raise Invalid(f"The client certificate in {header} cannot be read: set the proxy up to send PEM.") from None
