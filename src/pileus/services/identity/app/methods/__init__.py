"""The ways to prove who one is: each names the struct of its part of ``auth.identity`` and a function.

Rule: a method says who it found; it neither makes tokens nor decides about scopes.
"""

from pileus.services.identity.app.methods import application_credential, external, mapped, oauth1, password, token, totp
from pileus.services.identity.app.methods.proof import Method

METHODS: dict[str, Method] = {
    "password": Method(password.PasswordMethod, password.prove),
    "token": Method(token.TokenMethod, token.prove),
    "mapped": Method(mapped.MappedMethod, mapped.prove),
    "application_credential": Method(application_credential.CredentialMethod, application_credential.prove),
    "external": Method(external.ExternalMethod, external.prove),
    "oauth1": Method(oauth1.OAuth1Method, oauth1.prove),
    "totp": Method(totp.TotpMethod, totp.prove),
}
"""By the name that ``auth.identity.methods`` has."""
