"""Which headers each verb knows: kept with the row, read by the request, or refused.

The one rule: a header of the API's own names either has its effect or is refused with a sentence; none is taken
silently.  Headers of other names (``X-Request-Id``, ``User-Agent``) are no business of this API's, as HTTP has it.
"""

from collections.abc import Mapping
from dataclasses import dataclass

from pileus.kernel.errors import ApiError, Invalid
from pileus.services.object_store.model import POLICY

OWN = (
    "x-account-",
    "x-container-",
    "x-object-",
    "x-remove-",
    "x-storage-",
    "x-symlink-",
    "x-versions-",
    "x-history-",
    "x-copy-",
    "x-delete-",
    "x-if-delete-",
    "x-detect-",
    "x-fresh-",
    "x-static-",
    "x-backend-",
)
"""How the names of the API's own headers begin."""
QUOTAS = tuple(f"x-account-quota-{what}{of}" for what in ("bytes", "count") for of in ("", f"-policy-{POLICY.lower()}"))


@dataclass(frozen=True, slots=True)
class Known:
    """The API's own headers that a verb knows; a name that ends in a dash stands for all that begin so."""

    kept: frozenset[str]
    """Stored with the row, and told by HEAD and GET."""
    read: frozenset[str] = frozenset()
    """They steer this request."""

    def has(self, name: str) -> bool:
        """Tell whether the verb knows the header."""
        return any(
            name == known or (known.endswith("-") and name.startswith(known)) for known in (*self.kept, *self.read)
        )


_OF_OBJECTS = frozenset(
    {
        "x-object-meta-",
        "x-object-manifest",
        "content-encoding",
        "content-disposition",
        "content-language",
        "cache-control",
        "expires",
        "x-robots-tag",
    }
)
_EXPIRY = frozenset({"x-delete-at", "x-delete-after"})
_GONE = frozenset({"x-remove-object-meta-", "x-remove-delete-at"})
"""A PUT and a POST replace all metadata: what they are to remove is gone by its absence."""
_COPY = frozenset({"x-copy-from", "x-copy-from-account", "x-fresh-metadata"})
_OF_CONTAINERS = frozenset(
    {"x-container-meta-", "x-container-read", "x-container-write", "x-versions-location", "x-history-location"}
)
_OF_ACCOUNTS = frozenset({"x-account-meta-", *QUOTAS})


def _removable(kept: frozenset[str]) -> frozenset[str]:
    return frozenset(name.replace("x-", "x-remove-", 1) for name in kept if name.startswith("x-"))


_CONTAINER = Known(_OF_CONTAINERS, _removable(_OF_CONTAINERS))
_ACCOUNT = Known(_OF_ACCOUNTS, _removable(_OF_ACCOUNTS))
KNOWN: Mapping[tuple[str, str], Known] = {
    ("object", "PUT"): Known(
        _OF_OBJECTS,
        _EXPIRY | _COPY | _GONE | {"x-detect-content-type", "x-static-large-object", "etag", "if-none-match"},
    ),
    ("object", "POST"): Known(_OF_OBJECTS, _EXPIRY | _GONE),
    ("object", "COPY"): Known(_OF_OBJECTS, _EXPIRY | {"destination", "destination-account", "x-fresh-metadata"}),
    # Clients (openstacksdk) send the headers of what they delete along: they go with it.
    ("object", "DELETE"): Known(_OF_OBJECTS, _EXPIRY | {"x-if-delete-at", "x-static-large-object"}),
    ("container", "PUT"): Known(_CONTAINER.kept, _CONTAINER.read | {"x-storage-policy"}),
    ("container", "POST"): _CONTAINER,
    ("container", "DELETE"): Known(_OF_CONTAINERS),
    ("account", "PUT"): _ACCOUNT,
    ("account", "POST"): _ACCOUNT,
    ("account", "DELETE"): Known(_OF_ACCOUNTS),
}
"""By what the path names and the verb; verbs that only read are not here, they keep nothing."""

ABSENT = {
    "x-symlink-target": "Symbolic links are",
    "x-symlink-target-account": "Symbolic links are",
    "x-symlink-target-etag": "Symbolic links are",
    "x-container-sync-to": "Container synchronisation is",
    "x-container-sync-key": "Container synchronisation is",
    "x-versions-enabled": "Versioning by X-Versions-Enabled (X-Versions-Location keeps versions too) is",
    "x-account-access-control": "Access lists of accounts (X-Container-Read and X-Container-Write open containers) are",
    "x-container-meta-access-control-": "Cross-origin requests (CORS) are",
}
"""Headers of features that are not here; a name that ends in a dash stands for all that begin so."""

METADATA_ONLY = {"x-container-meta-web-": "static web sites", "x-account-meta-web-": "static web sites"}
"""Metadata that a feature which is not here would act upon: kept like all metadata, and the answer says so."""

TOLD = frozenset(
    {
        "x-account-project-domain-id",
        "x-account-container-count",
        "x-account-object-count",
        "x-account-bytes-used",
        "x-account-storage-policy-",
        "x-container-object-count",
        "x-container-bytes-used",
        "x-storage-policy",
    }
)
"""Facts that answers carry; clients that send an answer's headers back change nothing by them."""


def check(kind: str, method: str, headers: Mapping[str, str]) -> None:
    """Refuse what this verb would take silently; ``kind`` is account, container or object.

    Raises ApiError 501 for a feature that is not here, Invalid for a header that means nothing on this verb.
    """
    known = KNOWN.get((kind, method))
    if known is None:
        return
    for name, value in headers.items():
        if not name.startswith(OWN):
            continue
        if value and (feature := _absent(name)) is not None and not _is_off(name, value):
            raise ApiError(f"{feature} not offered here; send the request without {name.title()}.", status=501)
        if known.has(name) or _absent(name) is not None or Known(TOLD).has(name):
            continue
        own = ", ".join(sorted(item.title() for item in (*known.kept, *known.read) if item.startswith("x-")))
        raise Invalid(
            f"{name.title()} has no effect on {method} of an {kind}; send the request without it."
            f" What is known here: {own or 'nothing of this kind'}."
        )


def warnings(headers: Mapping[str, str]) -> list[tuple[str, str]]:
    """Return what an answer has to warn of: metadata that is kept and does nothing more here."""
    return [
        ("Warning", f'299 - "{name.title()} is kept as metadata; {feature} are not offered here"')
        for name in headers
        for known, feature in METADATA_ONLY.items()
        if name.startswith(known) and headers[name]
    ]


def _absent(name: str) -> str | None:
    name = name.replace("x-remove-", "x-", 1)
    for known, feature in ABSENT.items():
        if name == known or (known.endswith("-") and name.startswith(known)):
            return feature
    return None


def _is_off(name: str, value: str) -> bool:
    """Tell whether the header only says that the feature is not wanted."""
    return name.startswith("x-remove-") or (
        name == "x-versions-enabled" and value.strip().lower() in ("false", "0", "no", "off", "f", "n")
    )
