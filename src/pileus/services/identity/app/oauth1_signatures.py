"""Signatures of OAuth 1 (RFC 5849, HMAC-SHA1): what a request says, and whether who says it knows the secrets.

Rule: a signature counts for a while, and once.
"""

import hashlib
import hmac
from base64 import b64encode
from dataclasses import dataclass
from datetime import timedelta
from typing import Any
from urllib.parse import quote

from pileus.kernel import clock
from pileus.kernel.db import Tx
from pileus.kernel.errors import Invalid, Unauthenticated
from pileus.kernel.rest import Request
from pileus.services.identity.store import oauth1

SIGNATURE = "HMAC-SHA1"
REFUSAL = "The OAuth signature is not good: consumer, token, secret, time or nonce is wrong."
LONGEST = 128
"""Characters of a parameter at most."""


def _oauthlib() -> Any:
    """Return oauthlib's signatures, imported by the first who needs them; its published types are wrong."""
    from oauthlib.oauth1.rfc5849 import signature

    return signature


@dataclass(frozen=True, slots=True)
class Signed:
    """The header Authorization of a signed request, and the request it signs."""

    parameters: dict[str, str]
    header: str
    method: str
    url: str
    query: str

    @property
    def consumer_id(self) -> str:
        return self.parameters.get("oauth_consumer_key", "")

    @property
    def token_id(self) -> str:
        return self.parameters.get("oauth_token", "")

    @property
    def verifier(self) -> str:
        return self.parameters.get("oauth_verifier", "")

    def require(self, *names: str) -> None:
        """Raise Invalid when a parameter is missing."""
        for name in ("oauth_consumer_key", *names):
            if not self.parameters.get(name):
                raise Invalid(f"The OAuth parameter {name} is missing in the header Authorization.")

    def is_by(self, consumer_secret: str, token_secret: str) -> bool:
        """Tell whether these secrets made the signature."""
        given = self.parameters.get("oauth_signature", "").encode()
        key = f"{quote(consumer_secret, safe='~')}&{quote(token_secret, safe='~')}".encode()
        queries = dict.fromkeys((self.query, "" if self.query == "nocatalog" else self.query))
        made = [b64encode(hmac.digest(key, self._base_string(query).encode(), "sha1")) for query in queries]
        return any([hmac.compare_digest(one, given) for one in made])  # noqa: C419 - all of them, always

    def _base_string(self, query: str) -> str:
        signature = _oauthlib()
        found = signature.collect_parameters(uri_query=query, headers={"Authorization": self.header})
        url = signature.base_string_uri(self.url)
        return signature.signature_base_string(self.method, url, signature.normalize_parameters(found))


def read(request: Request, base_url: str) -> Signed:
    """Return what a request's header says; raise Invalid when it is no signature of OAuth 1."""
    signature = _oauthlib()
    header = request.headers.get("authorization", "")
    try:
        pairs = signature.collect_parameters(headers={"Authorization": header}, exclude_oauth_signature=False)
    except ValueError:
        pairs = []
    if not pairs:
        raise Invalid("The header Authorization must hold OAuth parameters (RFC 5849): sign the request.")
    parameters = dict(pairs)
    if len(parameters) != len(pairs) or any(len(value) > LONGEST for value in parameters.values()):
        raise Invalid("An OAuth parameter is there twice or too long.")
    if parameters.get("oauth_signature_method") != SIGNATURE or parameters.get("oauth_version", "1.0") != "1.0":
        raise Invalid(f"OAuth requests must be signed by {SIGNATURE} in version 1.0.")
    query = request.query_string.decode("latin-1")
    return Signed(parameters, header, request.method, f"{base_url}{request.path}", query)


def refused() -> Unauthenticated:
    """Return the one refusal of all signatures."""
    return Unauthenticated(REFUSAL)


def spend(tx: Tx, signed: Signed, lifetime_s: int) -> None:
    """Take a good signature's nonce; raise Unauthenticated for one that is too old or was used before."""
    stamp, nonce = signed.parameters.get("oauth_timestamp", ""), signed.parameters.get("oauth_nonce", "")
    now = clock.now()
    if not (stamp.isascii() and stamp.isdigit()) or not nonce or abs(now.timestamp() - int(stamp)) > lifetime_s:
        raise refused()
    parts = "\n".join((signed.consumer_id, signed.token_id, stamp, nonce))
    id = hashlib.sha256(parts.encode("utf-8", "surrogatepass")).hexdigest()
    if not oauth1.spend_nonce(tx, id, now + timedelta(seconds=2 * lifetime_s)):
        raise refused()
