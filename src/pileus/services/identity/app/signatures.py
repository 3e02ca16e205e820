"""Signatures of requests made with an access key and a secret, as Amazon's EC2 and S3 define them.

Rule: pure functions of what was signed; they raise ``Unsigned`` where something needed is missing or malformed.
Formats: AWS General Reference, "Signature Version 2" and "Signature Version 4"; 0 and 1 as EC2 once documented them.
"""

import base64
import binascii
import hashlib
import hmac
from collections.abc import Iterable
from typing import Any
from urllib.parse import quote

import msgspec

V4 = "AWS4-HMAC-SHA256"
SIGNATURES = ("Signature", "X-Amz-Signature")
"""Parameters that hold the signature itself, so they cannot be part of what is signed."""
S3_SERVICES = ("s3", "iam", "sts")


class Unsigned(Exception):
    """What is there cannot have been signed in any way known here."""


class SignedRequest(msgspec.Struct):
    """A request somebody signed, as the service that received it passes it on."""

    access: str
    signature: str | None = None
    host: str = ""
    verb: str = ""
    path: str = ""
    params: dict[str, Any] = {}
    headers: dict[str, str] = {}
    body_hash: str = ""
    token: str | None = None
    """S3: the base64 of the text that was signed."""


def _hmac(key: bytes, message: str, digest: str) -> bytes:
    return hmac.digest(key, message.encode("utf-8", "surrogatepass"), digest)


def _base64(raw: bytes) -> str:
    return base64.b64encode(raw).decode()


def _params(request: SignedRequest) -> dict[str, str]:
    return {name: str(value) for name, value in request.params.items() if name not in SIGNATURES}


def _query(params: dict[str, str], names: Iterable[str]) -> str:
    """Return parameters as both versions escape them, in the order of ``names``."""

    def escaped(text: str) -> str:
        return quote(text, safe="-_~", errors="replace")

    return "&".join(f"{escaped(name)}={escaped(params[name])}" for name in names)


def of_request(request: SignedRequest, secret: str, host: str) -> str:
    """Return the signature that this request must have; ``host`` is the one that was signed."""
    version = request.params.get("SignatureVersion")
    key, params = secret.encode("utf-8", "surrogatepass"), _params(request)
    match version:
        case "0":
            if not {"Action", "Timestamp"} <= params.keys():
                raise Unsigned("version 0 signs Action and Timestamp")
            return _base64(_hmac(key, params["Action"] + params["Timestamp"], "sha1"))
        case "1":
            text = "".join(name + params[name] for name in sorted(params, key=str.lower))
            return _base64(_hmac(key, text, "sha1"))
        case "2":
            params["SignatureMethod"] = "HmacSHA256"
            text = "\n".join((request.verb, host, request.path, _query(params, sorted(params))))
            return _base64(_hmac(key, text, "sha256"))
        case None if _parts(request)["algorithm"] == V4:
            return _version_4(request, secret, host)
    raise Unsigned("the version of the signature is none of 0, 1, 2 and 4")


def _parts(request: SignedRequest) -> dict[str, str]:
    """Return what a version 4 signature says about itself, from its header or from its parameters."""
    headers = {name.lower(): value for name, value in request.headers.items()}
    params = {name: str(value) for name, value in request.params.items()}
    found = {"date": headers.get("x-amz-date") or params.get("X-Amz-Date", "")}
    authorization = headers.get("authorization")
    if authorization is None:
        algorithm = params.get("X-Amz-Algorithm", "")
        names = {name: params.get(f"X-Amz-{name}", "") for name in ("Credential", "SignedHeaders")}
    else:
        algorithm, _, rest = authorization.partition(" ")
        pieces = (piece.strip().partition("=") for piece in rest.split(","))
        names = {name: value for name, _, value in pieces}
    return {
        **found,
        "algorithm": algorithm,
        "credential": names.get("Credential", ""),
        "headers": names.get("SignedHeaders", ""),
    }


def _version_4(request: SignedRequest, secret: str, host: str) -> str:
    parts = _parts(request)
    _, _, scope = parts["credential"].partition("/")
    date = scope.split("/")[0]
    if len(date) != 8 or not parts["date"].startswith(date):
        raise Unsigned("the date of the request is not the one of its credential")
    headers = {name.lower().strip(): " ".join(value.split()) for name, value in request.headers.items()}
    if "host" in headers and host:
        headers["host"] = host
    signed = [f"{name}:{headers[name]}" for name in parts["headers"].split(";") if name in headers]
    params = _params(request)
    query = "" if request.verb.upper() == "POST" else _query(params, sorted(params, key=quote))
    canonical = "\n".join((request.verb.upper(), request.path, query, *signed, "", parts["headers"], request.body_hash))
    digest = hashlib.sha256(canonical.encode("utf-8", "surrogatepass")).hexdigest()
    return _sign_version_4("\n".join((V4, parts["date"], scope, digest)), scope, secret)


def _sign_version_4(text: str, scope: str, secret: str) -> str:
    pieces = scope.split("/")
    if len(pieces) != 4 or pieces[3] != "aws4_request":
        raise Unsigned("the scope of the credential is not date/region/service/aws4_request")
    key = f"AWS4{secret}".encode("utf-8", "surrogatepass")
    for piece in pieces:
        key = _hmac(key, piece, "sha256")
    return _hmac(key, text, "sha256").hex()


def of_text(token: str, secret: str) -> str:
    """Return the signature of the text that an S3 service says was signed (base64, either alphabet)."""
    try:
        raw = base64.b64decode(token.replace("-", "+").replace("_", "/"), validate=True)
        text = raw.decode()
    except (binascii.Error, ValueError):
        raise Unsigned("the member token must be the base64 of the text that was signed") from None
    if not text.startswith("AWS4"):
        return _base64(hmac.digest(secret.encode("utf-8", "surrogatepass"), raw, "sha1"))
    lines = text.split("\n")
    if len(lines) != 4 or lines[0] != V4:
        raise Unsigned("the text that was signed has not the four lines of version 4")
    if lines[2].split("/")[2:3] not in [[service] for service in S3_SERVICES]:
        raise Unsigned(f"the signature is for none of {', '.join(S3_SERVICES)}")
    return _sign_version_4(text, lines[2], secret)
