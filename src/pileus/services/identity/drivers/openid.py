"""One OpenID provider, asked by us as its relying party and resource server.

Rule: nothing of a token is believed before its signature (or its issuer's own answer), issuer, audience and time are.
Formats: OpenID Connect Core and Discovery 1.0, RFC 7519 (JWT), RFC 7636 (PKCE), RFC 7662 (introspection).
"""

import asyncio
import base64
import hashlib
import importlib
from collections.abc import Mapping
from typing import Any
from urllib.parse import urlencode

from pileus.kernel import clock, ids
from pileus.kernel.errors import Unauthenticated, Unavailable
from pileus.services.identity.drivers.web import Answer, fetch
from pileus.services.identity.model.federation import OpenIdProvider

ALGORITHMS = ["RS256", "RS384", "RS512", "PS256", "PS384", "PS512", "ES256", "ES384", "ES512", "EdDSA"]
"""Signatures with a public key only: a client's secret is no key of the provider's."""
LEEWAY_S = 60
DOCUMENT_LIFE_S = 3600
KEYS_PAUSE_S = 10
"""Keys are fetched again for an unknown one, but not more often than this."""
LONGEST_TOKEN = 65536

Claims = dict[str, Any]


class OpenId:
    """What is known of one provider, and how it is asked."""

    def __init__(self, settings: OpenIdProvider) -> None:
        self.settings = settings
        self._document: tuple[float, dict[str, Any]] | None = None
        self._keys: tuple[float, Any] | None = None

    def _refused(self, reason: str) -> Unauthenticated:
        return Unauthenticated(f"The token of {self.settings.issuer} was refused: {reason}.")

    async def document(self) -> dict[str, Any]:
        """Return the provider's description of itself."""
        now = clock.now().timestamp()
        if self._document is not None and now < self._document[0]:
            return self._document[1]
        issuer = self.settings.issuer
        url = self.settings.discovery_url or f"{issuer.rstrip('/')}/.well-known/openid-configuration"
        answer = await fetch(url, ca_file=self.settings.ca_file)
        document = answer.json() if answer.status == 200 else {}
        if document.get("issuer") != issuer:
            raise Unavailable(
                f"{url} answered {answer.status} and speaks of the issuer {document.get('issuer')!r}, not {issuer!r}. "
                "The setting 'issuer' must be what the provider calls itself."
            )
        self._document = now + DOCUMENT_LIFE_S, document
        return document

    async def _endpoint(self, name: str) -> str:
        found = (await self.document()).get(name)
        if not isinstance(found, str):
            raise Unavailable(f"{self.settings.issuer} has no {name}.")
        return found

    async def _key_set(self, *, fresh: bool = False) -> Any:
        now = clock.now().timestamp()
        life = KEYS_PAUSE_S if fresh else DOCUMENT_LIFE_S
        if self._keys is None or now >= self._keys[0] + life:
            answer = await fetch(await self._endpoint("jwks_uri"), ca_file=self.settings.ca_file)
            if answer.status != 200:
                raise Unavailable(f"{answer.url} answered {answer.status} instead of the provider's keys.")
            await asyncio.to_thread(importlib.import_module, "joserfc.jwt")  # only clouds with a provider need it
            from joserfc.jwk import KeySet

            self._keys = now, KeySet.import_key_set(answer.json())  # type: ignore[arg-type]
        return self._keys[1]

    async def claims_of_access_token(self, token: str) -> Claims:
        """Return what the provider says of the holder of an access token (or of an ID token); raise Unauthenticated."""
        if not token.isascii() or not 0 < len(token) <= LONGEST_TOKEN:
            raise self._refused("it is none")
        claims = await self._verified(token) if token.count(".") == 2 else await self._introspected(token)
        self._check_audience(claims)
        return await self._with_userinfo(token, claims)

    async def _verified(self, token: str) -> Claims:
        """Return the claims of a JWT that the provider signed and that is good now."""
        keys = await self._key_set()
        from joserfc import errors, jwt

        try:
            decoded = jwt.decode(token, keys, algorithms=ALGORITHMS)
        except errors.InvalidKeyIdError:
            try:
                decoded = jwt.decode(token, await self._key_set(fresh=True), algorithms=ALGORITHMS)
            except (errors.JoseError, ValueError) as error:
                raise self._refused(f"its signature cannot be checked ({type(error).__name__})") from None
        except (errors.JoseError, ValueError) as error:
            raise self._refused(f"its signature does not hold ({type(error).__name__})") from None
        claims = dict(decoded.claims)
        rules = jwt.JWTClaimsRegistry(
            now=int(clock.now().timestamp()),
            leeway=LEEWAY_S,
            iss={"essential": True, "value": self.settings.issuer},
            exp={"essential": True},
        )
        try:
            rules.validate(claims)
        except errors.JoseError as error:
            raise self._refused(str(error).rstrip(".")) from None
        return claims

    async def _introspected(self, token: str) -> Claims:
        """Return what the provider answers about an opaque token."""
        if "introspection_endpoint" not in await self.document() or self.settings.client_secret is None:
            raise self._refused(
                "it is no JWT, and opaque ones need the provider's introspection endpoint and our client_secret"
            )
        answer = await self._post("introspection_endpoint", {"token": token, "token_type_hint": "access_token"})
        claims = answer.json() if answer.status == 200 else {}
        if claims.get("active") is not True:
            raise self._refused("the provider says that it is not active")
        if claims.get("iss", self.settings.issuer) != self.settings.issuer:
            raise self._refused(f"it was made by {claims['iss']}")
        expires = claims.get("exp")
        if isinstance(expires, int | float) and expires + LEEWAY_S < clock.now().timestamp():
            raise self._refused("it has ended")
        return {**claims, "iss": self.settings.issuer}

    def _check_audience(self, claims: Claims) -> None:
        ours = {self.settings.client_id, *self.settings.audiences}
        meant = claims.get("aud", [])
        named = {meant} if isinstance(meant, str) else {one for one in meant if isinstance(one, str)}
        named |= {claims[name] for name in ("azp", "client_id") if isinstance(claims.get(name), str)}
        if not ours & named:
            raise self._refused(
                f"it is meant for {', '.join(sorted(named)) or 'nobody'}, not for {', '.join(sorted(ours))}"
            )

    async def _with_userinfo(self, token: str, claims: Claims) -> Claims:
        """Add what the provider's userinfo endpoint says; a client's own token has no user, so a refusal is no harm."""
        if not self.settings.userinfo or "userinfo_endpoint" not in await self.document():
            return claims
        endpoint = await self._endpoint("userinfo_endpoint")
        answer = await fetch(endpoint, headers={"Authorization": f"Bearer {token}"}, ca_file=self.settings.ca_file)
        if answer.status != 200:
            return claims
        if answer.media_type == "application/jwt":
            found = await self._verified(answer.body.decode("ascii", "replace"))
        else:
            found = answer.json()
        if found.get("sub") is None or found["sub"] != claims.get("sub"):
            return claims
        return {**found, **claims}

    async def authorization_url(self, *, redirect_uri: str, state: str, nonce: str, verifier: str) -> str:
        """Return where a browser is sent to log in."""
        challenge = base64.urlsafe_b64encode(hashlib.sha256(verifier.encode()).digest()).rstrip(b"=").decode()
        query = {
            "response_type": "code",
            "client_id": self.settings.client_id,
            "redirect_uri": redirect_uri,
            "scope": " ".join(self.settings.scopes),
            "state": state,
            "nonce": nonce,
            "code_challenge": challenge,
            "code_challenge_method": "S256",
        }
        endpoint = await self._endpoint("authorization_endpoint")
        return f"{endpoint}{'&' if '?' in endpoint else '?'}{urlencode(query)}"

    async def claims_of_code(self, code: str, *, redirect_uri: str, nonce: str, verifier: str) -> Claims:
        """Return what the provider says of whoever logged in; raise Unauthenticated for a code that is not good."""
        form = {
            "grant_type": "authorization_code",
            "code": code,
            "redirect_uri": redirect_uri,
            "code_verifier": verifier,
        }
        answer = await self._post("token_endpoint", form)
        given = answer.json() if answer.status == 200 else {}
        token, access = given.get("id_token"), given.get("access_token")
        if not isinstance(token, str) or not isinstance(access, str):
            raise self._refused(f"the provider answered {answer.status} to the code it had sent")
        claims = await self._verified(token)
        audience = claims.get("aud")
        if self.settings.client_id not in ([audience] if isinstance(audience, str) else audience or []):
            raise self._refused("it is meant for somebody else")
        if claims.get("azp", self.settings.client_id) != self.settings.client_id:
            raise self._refused("it was made for another client")
        if claims.get("nonce") != nonce:
            raise self._refused("it belongs to another log-in")
        return await self._with_userinfo(access, claims)

    async def _post(self, endpoint: str, form: Mapping[str, str]) -> Answer:
        """Send a form as this client: by HTTP Basic with a secret, else by name only."""
        secret, client = self.settings.client_secret, self.settings.client_id
        sent, headers = dict(form), {}
        if secret is None:
            sent["client_id"] = client
        else:
            headers["Authorization"] = f"Basic {base64.b64encode(f'{client}:{secret}'.encode()).decode()}"
        return await fetch(await self._endpoint(endpoint), form=sent, headers=headers, ca_file=self.settings.ca_file)


def new_verifier() -> str:
    """Return a secret that only the browser's own log-in knows."""
    return base64.urlsafe_b64encode(ids.random_bytes(48)).decode()
