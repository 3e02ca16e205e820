"""SAML 2.0 messages: signed for other clouds, and checked when others vouch for somebody.

Rule: signatures are made and checked by xmlsec1 through pysaml2, on a thread; this file holds no XML cryptography of
its own, and nothing of a message is read before its assertion's signature, audience, recipient and time hold.
"""

import base64
import datetime
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from html import escape
from pathlib import Path
from typing import Any

from pileus.kernel import clock, ids
from pileus.kernel.errors import Unauthenticated, Unavailable
from pileus.kernel.files import write_durably

PACKAGES = ("xmlsec1",)
"""Debian packages that signing and checking needs."""
ECP_TYPE = "application/vnd.paos+xml"
SIGNATURE = "http://www.w3.org/2001/04/xmldsig-more#rsa-sha256"
DIGEST = "http://www.w3.org/2001/04/xmlenc#sha256"
LEEWAY_S = 60
LONGEST_MESSAGE = 1 << 18
_PROTOCOL = "urn:oasis:names:tc:SAML:2.0:protocol"
_CERTIFICATE_YEARS = 10


@dataclass(frozen=True, slots=True)
class Assertion:
    """What a checked assertion says."""

    id: str
    issuer: str
    subject: str
    attributes: dict[str, list[str]]
    until: float


@dataclass(frozen=True, slots=True)
class Keys:
    """The files with which this cloud signs."""

    certificate: Path
    key: Path


def make_keys(folder: Path, name: str) -> Keys:
    """Return the signing key and its certificate; make them at the first time."""
    keys = Keys(folder / "signing.crt", folder / "signing.key")
    if not keys.key.exists():
        _generate(keys, name)
    return keys


def _generate(keys: Keys, name: str) -> None:
    from cryptography import x509
    from cryptography.hazmat.primitives import hashes, serialization
    from cryptography.hazmat.primitives.asymmetric import rsa

    keys.key.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    private, now = rsa.generate_private_key(public_exponent=65537, key_size=3072), clock.now()
    subject = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, name[:64])])
    certificate = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(subject)
        .public_key(private.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - datetime.timedelta(days=1))
        .not_valid_after(now + datetime.timedelta(days=365 * _CERTIFICATE_YEARS))
        .sign(private, hashes.SHA256())
    )
    write_durably(keys.certificate, certificate.public_bytes(serialization.Encoding.PEM), 0o644)
    plain = serialization.NoEncryption()
    write_durably(keys.key, private.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, plain))


def _xmlsec() -> str:
    from saml2.sigver import SigverError, get_xmlsec_binary

    try:
        return get_xmlsec_binary()
    except SigverError:
        raise Unavailable("SAML messages are signed and checked by xmlsec1: apt-get install xmlsec1") from None


def _der(keys: Keys) -> str:
    return "".join(line for line in keys.certificate.read_text().splitlines() if not line.startswith("-----"))


def metadata(keys: Keys, entity_id: str, sign_on_url: str) -> str:
    """Return the description of this cloud as an identity provider."""
    return (
        '<?xml version="1.0" encoding="UTF-8"?>\n'
        f'<md:EntityDescriptor xmlns:md="urn:oasis:names:tc:SAML:2.0:metadata" entityID="{escape(entity_id)}">'
        f'<md:IDPSSODescriptor protocolSupportEnumeration="{_PROTOCOL}"><md:KeyDescriptor use="signing">'
        '<ds:KeyInfo xmlns:ds="http://www.w3.org/2000/09/xmldsig#"><ds:X509Data><ds:X509Certificate>'
        f"{_der(keys)}</ds:X509Certificate></ds:X509Data></ds:KeyInfo></md:KeyDescriptor>"
        '<md:SingleSignOnService Binding="urn:oasis:names:tc:SAML:2.0:bindings:URI" '
        f'Location="{escape(sign_on_url)}"/></md:IDPSSODescriptor></md:EntityDescriptor>\n'
    )


def signed_response(
    keys: Keys, *, issuer: str, recipient: str, subject: str, attributes: Mapping[str, Sequence[str]], life_s: int
) -> str:
    """Return a response with a signed assertion that somebody is who ``attributes`` say, for ``recipient`` only."""
    from saml2 import class_name, saml, samlp, sigver, time_util

    now, until, response_id = time_util.instant(), time_util.in_a_while(seconds=life_s), f"_{ids.new_hex_id()}"
    confirmed = saml.SubjectConfirmation(
        method=saml.SCM_BEARER,
        subject_confirmation_data=saml.SubjectConfirmationData(not_on_or_after=until, recipient=recipient),
    )
    assertion = saml.Assertion(
        id=f"_{ids.new_hex_id()}",
        version="2.0",
        issue_instant=now,
        issuer=saml.Issuer(format=saml.NAMEID_FORMAT_ENTITY, text=issuer),
        subject=saml.Subject(
            name_id=saml.NameID(format=saml.NAMEID_FORMAT_PERSISTENT, text=subject), subject_confirmation=[confirmed]
        ),
        conditions=saml.Conditions(not_before=now, not_on_or_after=until),
        authn_statement=[
            saml.AuthnStatement(
                authn_instant=now,
                session_index=ids.new_hex_id(),
                authn_context=saml.AuthnContext(
                    authn_context_class_ref=saml.AuthnContextClassRef(text=saml.AUTHN_PASSWORD),
                    authenticating_authority=[saml.AuthenticatingAuthority(text=issuer)],
                ),
            )
        ],
        attribute_statement=[saml.AttributeStatement(attribute=[_attribute(*one) for one in attributes.items()])],
    )
    assertion.signature = sigver.pre_signature_part(assertion.id, _der(keys), 1, DIGEST, SIGNATURE)
    response = samlp.Response(
        id=response_id,
        version="2.0",
        issue_instant=now,
        destination=recipient,
        issuer=saml.Issuer(format=saml.NAMEID_FORMAT_ENTITY, text=issuer),
        status=samlp.Status(status_code=samlp.StatusCode(value=samlp.STATUS_SUCCESS)),
        assertion=[assertion],
    )
    crypto = sigver.CryptoBackendXmlSec1(_xmlsec())
    signed = crypto.sign_statement(str(response), class_name(assertion), str(keys.key), assertion.id)
    return signed.partition("?>")[2].lstrip() if signed.startswith("<?xml") else signed


def _attribute(name: str, values: Sequence[str]) -> Any:
    from saml2 import saml

    return saml.Attribute(
        name=name,
        name_format=saml.NAME_FORMAT_URI,
        friendly_name=name,
        attribute_value=[saml.AttributeValue(text=value) for value in values],
    )


def in_envelope(response: str, relay_state: str) -> str:
    """Return a response as the enhanced client (ECP) carries it: the signed text itself, untouched."""
    return (
        '<soap:Envelope xmlns:soap="http://schemas.xmlsoap.org/soap/envelope/"><soap:Header>'
        '<ecp:RelayState xmlns:ecp="urn:oasis:names:tc:SAML:2.0:profiles:SSO:ecp" soap:mustUnderstand="1" '
        f'soap:actor="http://schemas.xmlsoap.org/soap/actor/next">{escape(relay_state)}</ecp:RelayState>'
        f"</soap:Header><soap:Body>{response}</soap:Body></soap:Envelope>"
    )


def _out_of_envelope(text: str) -> str:
    """Return the response in an envelope, with the namespaces it inherits; signatures go on holding."""
    from defusedxml import minidom

    document = minidom.parseString(text)
    found = document.getElementsByTagNameNS(_PROTOCOL, "Response")
    if len(found) != 1:
        raise ValueError("there is not exactly one Response in it")
    above = found[0].parentNode
    while above is not None and above.attributes is not None:
        for name, value in above.attributes.items():
            if name.startswith("xmlns") and not found[0].hasAttribute(name):
                found[0].setAttribute(name, value)
        above = above.parentNode
    return found[0].toxml()


class Verifier:
    """One identity provider, by its metadata.  It keeps nothing of those who were checked."""

    def __init__(self, metadata_file: str) -> None:
        from saml2.client import Saml2Client
        from saml2.config import SPConfig

        config = SPConfig()
        try:
            config.load(
                {
                    "entityid": "named at each check",
                    "xmlsec_binary": _xmlsec(),
                    "metadata": {"local": [metadata_file]},
                    "accepted_time_diff": LEEWAY_S,
                    "allow_unknown_attributes": True,
                    "service": {"sp": {"endpoints": {}}},
                }
            )
        except Exception as error:  # pysaml2 raises whatever its parsers do
            raise Unavailable(f"The SAML metadata in {metadata_file} cannot be read: {error}.") from error
        self._issuers = set(config.metadata.keys())  # type: ignore[union-attr]
        self._client = Saml2Client(config)

    def check(self, message: str, *, entity_id: str, consumer_url: str, enveloped: bool) -> Assertion:
        """Return what a message proves to ``entity_id`` at ``consumer_url``; raise Unauthenticated."""
        from saml2 import BINDING_HTTP_POST
        from saml2.response import AuthnResponse

        if len(message) > LONGEST_MESSAGE:
            raise Unauthenticated(f"The SAML message is longer than {LONGEST_MESSAGE} characters.")
        try:
            text = _out_of_envelope(message) if enveloped else message
            # Below the public function, which remembers every subject and knows one address of ours only.
            found: Any = self._client._parse_response(
                base64.b64encode(text.encode()).decode(),
                AuthnResponse,
                "assertion_consumer_service",
                BINDING_HTTP_POST,
                outstanding_queries={},
                allow_unsolicited=True,
                want_assertions_signed=True,
                want_assertions_or_response_signed=False,
                want_response_signed=False,
                return_addrs=[consumer_url],
                entity_id=entity_id,
                attribute_converters=self._client.config.attribute_converters,
                allow_unknown_attributes=True,
            )
        except Exception as error:  # pysaml2 raises whatever its parsers do; each means that nothing is proven
            reason = str(error) or type(error).__name__
            raise Unauthenticated(f"The SAML assertion was refused: {reason[:300].rstrip('.')}.") from None
        if found is None or found.assertion is None or found.issuer() not in self._issuers:
            raise Unauthenticated("The SAML assertion was refused: it is not of the identity provider it is sent for.")
        if not found.not_on_or_after:
            raise Unauthenticated("The SAML assertion was refused: it does not say when it ends.")
        return Assertion(
            found.assertion.id,
            found.issuer(),
            (found.name_id.text or "") if found.name_id is not None else "",
            {name: [str(value) for value in values] for name, values in (found.ava or {}).items()},
            float(found.not_on_or_after),
        )
