"""Tokens signed for all to read (JWS, ES256), for deployments that want no shared secret in what clients hold.

Rule: the claims have the names that Keystone gives them; the algorithm is ours, whatever a token says of itself.
Key repository: ``STATE/identity/jws-keys``, rotated as that of Fernet keys; each file is a private key (PEM).
"""

from pathlib import Path
from typing import Any

import msgspec

from pileus.kernel.errors import Unauthenticated
from pileus.kernel.key_folder import KeyFolder
from pileus.kernel.runtime import Runtime
from pileus.services.identity.app.fernet import REFUSAL, Payload
from pileus.services.identity.model import IdentitySettings

LONGEST = 4096
"""Characters of a token at most; longer text is refused unread."""
ALGORITHM = "ES256"
SECOND = 1_000_000


class Claims(msgspec.Struct, omit_defaults=True, kw_only=True):
    """What a token says.  Times are seconds since the epoch, with microseconds."""

    sub: str
    iat: float
    exp: float
    openstack_methods: tuple[str, ...]
    openstack_audit_ids: tuple[str, ...]
    openstack_system: str | None = None
    openstack_domain_id: str | None = None
    openstack_project_id: str | None = None
    openstack_trust_id: str | None = None
    openstack_idp_id: str | None = None
    openstack_protocol_id: str | None = None
    openstack_access_token_id: str | None = None
    openstack_app_cred_id: str | None = None
    openstack_thumbprint: str | None = None


def claims_of(payload: Payload) -> dict[str, Any]:
    """Return a token's payload as claims."""
    idp, protocol = payload.whence or (None, None)
    claims = Claims(
        sub=payload.user_id,
        iat=payload.issued_us / SECOND,
        exp=payload.expires_us / SECOND,
        openstack_methods=payload.methods,
        openstack_audit_ids=payload.audit_ids,
        openstack_system=payload.scope_id if payload.scope == "s" else None,
        openstack_domain_id=payload.domain_id,
        openstack_project_id=payload.project_id,
        openstack_trust_id=payload.trust_id,
        openstack_idp_id=idp,
        openstack_protocol_id=protocol,
        openstack_access_token_id=payload.access_token_id,
        openstack_app_cred_id=payload.application_credential_id,
        openstack_thumbprint=payload.thumbprint,
    )
    return msgspec.to_builtins(claims)


def payload_of(content: dict[str, Any]) -> Payload:
    """Return claims as a token's payload; raise ValidationError for claims of another kind."""
    claims = msgspec.convert(content, Claims)
    scopes = {"p": claims.openstack_project_id, "d": claims.openstack_domain_id, "s": claims.openstack_system}
    kind, id = next(((kind, id) for kind, id in scopes.items() if id), ("", ""))
    if not claims.openstack_audit_ids:
        raise msgspec.ValidationError("a token has an audit id")
    return Payload(
        1,
        claims.sub,
        claims.openstack_methods,
        kind,
        id,
        round(claims.iat * SECOND),
        round(claims.exp * SECOND),
        claims.openstack_audit_ids,
        application_credential_id=claims.openstack_app_cred_id,
        trust_id=claims.openstack_trust_id,
        access_token_id=claims.openstack_access_token_id,
        thumbprint=claims.openstack_thumbprint,
        whence=(claims.openstack_idp_id, claims.openstack_protocol_id or "") if claims.openstack_idp_id else None,
    )


class JwsKeys(KeyFolder):
    """The keys that sign one cloud's tokens."""

    def __init__(self, runtime: Runtime) -> None:
        settings = runtime.config.get(IdentitySettings)
        super().__init__(runtime.config.state / "identity" / "jws-keys", settings.max_active_keys)

    @staticmethod
    def are_in(state: Path) -> bool:
        """Tell whether a cloud has such keys."""
        return (state / "identity" / "jws-keys").is_dir()

    def _make(self) -> bytes:
        from cryptography.hazmat.primitives import serialization
        from cryptography.hazmat.primitives.asymmetric import ec

        return ec.generate_private_key(ec.SECP256R1()).private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
        )

    def _use(self, keys: list[bytes]) -> None:
        from joserfc.jwk import ECKey

        found = [ECKey.import_key(key) for key in keys]
        self._signing = found[0]
        self._known = {key.thumbprint(): key for key in found}

    def seal(self, payload: Payload) -> str:
        """Return the token's text."""
        from joserfc import jwt

        self.refresh()
        header = {"alg": ALGORITHM, "typ": "JWT", "kid": self._signing.thumbprint()}
        return jwt.encode(header, claims_of(payload), self._signing, algorithms=[ALGORITHM])

    def open(self, token: str) -> Payload:
        """Return what a token says; raise Unauthenticated when none of our keys signed it."""
        from joserfc import jws, jwt
        from joserfc.errors import JoseError

        if len(token) > LONGEST or not token.isascii():
            raise Unauthenticated(REFUSAL)
        try:
            kid = str(jws.extract_compact(token.encode()).headers().get("kid"))
            if kid not in self._known:
                self.refresh()
            return payload_of(jwt.decode(token, self._known[kid], algorithms=[ALGORITHM]).claims)
        except (JoseError, msgspec.ValidationError, KeyError, ValueError, TypeError):
            raise Unauthenticated(REFUSAL) from None
