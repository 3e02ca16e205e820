"""How the host side of the metadata service proves to the control plane which guest is asking.

One rule: the proxy on the host and the API that answers both use this module, so they cannot disagree.
"""

import contextlib
import hashlib
import hmac
import os
from pathlib import Path

from pileus.kernel import ids
from pileus.kernel.files import sync_folder, write_durably

PATH = "/metadata"
"""Where the API answers what the hosts' proxies forward: `/metadata/latest/...`, `/metadata/openstack/...`."""
ADDRESS_HEADER = "X-Forwarded-For"
NETWORK_HEADER = "X-Neutron-Network-ID"
ROUTER_HEADER = "X-Neutron-Router-ID"
SIGNATURE_HEADER = "X-Pileus-Metadata-Signature"


def sign(secret: bytes, source_header: str, source_id: str, guest_ip: str) -> str:
    """Sign that a request of `guest_ip` came in through a network or a router (`source_header` says which)."""
    message = "\n".join((source_header.lower(), source_id, guest_ip))
    return hmac.new(secret, message.encode(), hashlib.sha256).hexdigest()


def verify(secret: bytes, source_header: str, source_id: str, guest_ip: str, signature: str) -> bool:
    """Tell whether a signature is the one `sign` makes, in constant time."""
    wanted = sign(secret, source_header, source_id, guest_ip)
    return hmac.compare_digest(wanted.encode(), signature.encode(errors="replace"))


def shared_secret(state: Path) -> bytes:
    """Return the secret that signs, from the state directory; whoever of API and agent comes first makes it."""
    path = state / "network" / "metadata.secret"
    if not path.exists():
        path.parent.mkdir(parents=True, exist_ok=True)
        fresh = path.with_suffix(f".{os.getpid()}")
        write_durably(fresh, ids.new_secret().encode())
        with contextlib.suppress(FileExistsError):
            os.link(fresh, path)
        fresh.unlink()
        sync_folder(path.parent)
    return path.read_text().encode()
