"""TLS in front of every API: which certificate is served, and that its successor is taken up while serving.

Rule: this machine's agent and commands keep their unix socket, without TLS.
"""

import asyncio
import contextlib
import logging
import signal
import ssl

from pileus.cli import certificates
from pileus.cli.contents import CERTIFICATES
from pileus.cli.terminal import Problem
from pileus.kernel.config import Configuration

log = logging.getLogger("pileus.tls")

LOOK_EVERY_S = 60
ENSURE_EVERY = 24 * 60
"""Of so many looks one asks whether the cloud's own certificate is still good."""


class Tls:
    """The certificate of a cloud that serves by TLS."""

    def __init__(self, config: Configuration) -> None:
        self._config = config
        cloud, state = config.cloud, config.state
        self.own = cloud.tls_certificate is None
        own = state / CERTIFICATES
        self.certificate = own / certificates.CERTIFICATE if self.own else state / str(cloud.tls_certificate)
        self.key = state / cloud.tls_key if cloud.tls_key is not None else self.certificate
        self._seen: tuple[int, ...] = ()

    def context(self) -> ssl.SSLContext:
        """Return what connections are made with; raise Problem for a certificate that cannot be used."""
        if self.own:
            certificates.ensure(self.certificate.parent, self._config.cloud)
        context = _empty()
        try:
            self._seen = self._changed_at()
            context.load_cert_chain(self.certificate, self.key, password=_no_password)
        except (OSError, ValueError) as error:
            raise Problem(
                f"The certificate in {self.certificate}, with the key in {self.key}, cannot be used: {_why(error)}.",
                "Mend [cloud] tls_certificate and tls_key: PEM files, the key that of the first certificate.",
            ) from error
        return context

    async def watch(self, context: ssl.SSLContext) -> None:
        """Take up a new certificate for the connections that come after it; SIGHUP asks to look at once."""
        looks, asked = 0, asyncio.Event()
        asyncio.get_running_loop().add_signal_handler(signal.SIGHUP, asked.set)
        while True:
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(asked.wait(), LOOK_EVERY_S)
            asked.clear()
            looks += 1
            try:
                if self.own and looks % ENSURE_EVERY == 0:
                    await asyncio.to_thread(certificates.ensure, self.certificate.parent, self._config.cloud)
                self.look(context)
            except (OSError, ValueError) as error:
                log.warning("the certificate in %s cannot be used, the old one stays: %s", self.certificate, error)

    def look(self, context: ssl.SSLContext) -> bool:
        """Load the files again where they have changed; return whether they had.  Raises OSError, ValueError."""
        found = self._changed_at()
        if found == self._seen:
            return False
        _empty().load_cert_chain(self.certificate, self.key, password=_no_password)  # a bad one must not spoil ours
        context.load_cert_chain(self.certificate, self.key, password=_no_password)
        self._seen = found
        log.info("a new certificate is served, from %s", self.certificate)
        return True

    def _changed_at(self) -> tuple[int, ...]:
        return tuple(path.stat().st_mtime_ns for path in (self.certificate, self.key))


def _empty() -> ssl.SSLContext:
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.set_alpn_protocols(["http/1.1"])
    return context


def _no_password() -> str:
    """Refuse keys that need one: without this OpenSSL would ask on a terminal."""
    raise ValueError("the key is encrypted; store it without a password, readable by this user only")


def _why(error: Exception) -> str:
    if isinstance(error, ssl.SSLError):
        return str(error.reason or error).replace("_", " ").lower()
    return error.strerror or str(error) if isinstance(error, OSError) else str(error)
