"""What this object store can do, and whether it is well."""

import msgspec

from pileus import __version__
from pileus.kernel.context import Context
from pileus.kernel.rest import Response
from pileus.services.object_store.api.answers import answer, root
from pileus.services.object_store.api.archives import MAX_CONTAINERS, MAX_ERRORS
from pileus.services.object_store.app.tempurl import DIGESTS, METHODS
from pileus.services.object_store.model import (
    LIMITS,
    MAX_BULK_DELETES,
    MAX_FAILED_DELETES,
    MAX_MANIFEST_BYTES,
    MAX_SEGMENTS,
    POLICY,
)

SWIFT_VERSION = "2.37.0"
"""The release of Swift whose API this is; clients compare it."""

INFO = {
    "swift": {
        **LIMITS,
        "version": SWIFT_VERSION,
        "account_autocreate": True,
        "allow_account_management": True,
        "allow_open_expired": False,
        "strict_cors_mode": True,
        "policies": [{"name": POLICY, "default": True, "aliases": POLICY}],
        "valid_api_versions": ["v1", "v1.0"],
    },
    "pileus": {"version": __version__},
    "account_quotas": {},
    "bulk_delete": {"max_deletes_per_request": MAX_BULK_DELETES, "max_failed_deletes": MAX_FAILED_DELETES},
    "bulk_upload": {"max_containers_per_extraction": MAX_CONTAINERS, "max_failed_extractions": MAX_ERRORS},
    "container_quotas": {},
    "dlo": {"max_segments": 10000},
    "keystoneauth": {},
    "slo": {
        "max_manifest_segments": MAX_SEGMENTS,
        "max_manifest_size": MAX_MANIFEST_BYTES,
        "min_segment_size": 1,
        "allow_async_delete": False,
    },
    "tempurl": {
        "allowed_digests": list(DIGESTS),
        "deprecated_digests": ["sha1"],
        "methods": list(METHODS),
        "incoming_allow_headers": [],
        "incoming_remove_headers": ["x-timestamp"],
        "outgoing_allow_headers": ["x-object-meta-public-*"],
        "outgoing_remove_headers": ["x-object-meta-*"],
    },
    "versioned_writes": {"allowed_flags": ["x-versions-location", "x-history-location"]},
}


@root.get("/info", None)
def show_info(ctx: Context) -> Response:
    return answer(ctx, 200, [], msgspec.json.encode(INFO), "application/json; charset=UTF-8")


@root.get("/healthcheck", None)
def show_health(ctx: Context) -> Response:
    return answer(ctx, 200, [], b"OK")
