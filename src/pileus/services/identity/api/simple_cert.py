"""OS-SIMPLE-CERT: the certificates of PKI tokens, which nobody issues any more; clients of old are told so."""

from pileus.kernel.errors import ApiError
from pileus.services.identity.api.router import api


class Gone(ApiError):
    """It was there once and will not come back."""

    status, title = 410, "Gone"


@api.get("/OS-SIMPLE-CERT/ca", None)
def show_ca() -> None:
    raise Gone("There are no PKI tokens any more, so there is no certificate of their authority.")


@api.get("/OS-SIMPLE-CERT/certificates", None)
def list_certificates() -> None:
    raise Gone("There are no PKI tokens any more, so there are no certificates they were signed with.")
