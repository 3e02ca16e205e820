"""Domains whose people a directory keeps: found, mirrored, logged in.

Rule: a directory is asked outside of every transaction and on threads of its own, so that one that does not answer
holds up nobody but its own people.  What is known of it are ordinary rows; only its passwords are never here.
"""

import asyncio
import logging
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any, NoReturn, TypeVar

import msgspec

from pileus.kernel import clock
from pileus.kernel.context import Context
from pileus.kernel.db import Tx
from pileus.kernel.errors import Forbidden, Unavailable
from pileus.kernel.runtime import Runtime
from pileus.services.identity.app.mirror import mirror
from pileus.services.identity.app.public_ids import public_id
from pileus.services.identity.app.secrets import CredentialKeys
from pileus.services.identity.drivers.directory import Directory, Everybody
from pileus.services.identity.model.directories import DirectoriesSettings, DirectorySettings
from pileus.services.identity.model.domain_configs import SECRET
from pileus.services.identity.store import directories, domain_configs, projects

log = logging.getLogger(__name__)
T = TypeVar("T")

THREADS = 16
CHECK_S = 10


class Directories:
    """The directories of this cloud."""

    def __init__(self, runtime: Runtime) -> None:
        self._runtime = runtime
        self._written = runtime.config.get(DirectoriesSettings).domains
        self._threads: ThreadPoolExecutor | None = None
        self._known: dict[DirectorySettings, Directory] = {}
        self._busy: dict[str, asyncio.Lock] = {}
        self._read_at: dict[str, float] = {}

    def find(self, tx: Tx, domain_id: str) -> Directory | None:
        """Return the directory that keeps a domain's people, if one does."""
        settings = self._settings(tx, domain_id)
        if settings is None:
            return None
        if settings not in self._known:
            self._known[settings] = Directory(settings)
        return self._known[settings]

    def _settings(self, tx: Tx, domain_id: str) -> DirectorySettings | None:
        if self._written:
            domain = projects.get_domain(tx, domain_id)
            if domain is not None and domain.name in self._written:
                return self._written[domain.name]
        options = domain_configs.list_options(tx, domain_id)
        drivers = [row for row in options if (row.section, row.name) == ("identity", "driver")]
        if not drivers or msgspec.json.decode(drivers[0].value) != "ldap":
            return None
        known = set(DirectorySettings.__struct_fields__)
        given: dict[str, Any] = {}
        for row in options:
            if row.section == "ldap" and row.name in known:
                sealed = row.name in SECRET["ldap"]
                text = self._runtime.part(CredentialKeys).decrypt(row.value.encode()) if sealed else row.value
                given[row.name] = msgspec.json.decode(text)
        try:
            return msgspec.convert({key: value for key, value in given.items() if value is not None}, DirectorySettings)
        except msgspec.ValidationError as error:
            raise Unavailable(f"The configuration of domain {domain_id} cannot be used: {error}.") from None

    def refuse_writes(self, tx: Tx, domain_id: str) -> None:
        """Raise Forbidden for a domain whose people are kept elsewhere."""
        if self.find(tx, domain_id) is not None:
            read_only(domain_id)

    async def ask(self, work: Callable[..., T], *args: Any, **more: Any) -> T:
        """Run what blocks on a thread for directories."""
        if self._threads is None:
            self._threads = ThreadPoolExecutor(THREADS, "ldap")
        return await asyncio.get_running_loop().run_in_executor(self._threads, lambda: work(*args, **more))

    async def refresh(self, ctx: Context | None, domain_id: str | None) -> bool:
        """Mirror what a domain's directory has now; False when the domain has none."""
        if domain_id is None:
            return False
        directory = await self._runtime.db.read(self.find, domain_id)
        if directory is None:
            return False
        asked_at = clock.monotonic()
        if asked_at - self._read_at.get(domain_id, float("-inf")) < directory.settings.stale_s:
            return True
        async with self._busy.setdefault(domain_id, asyncio.Lock()):
            if self._read_at.get(domain_id, float("-inf")) >= asked_at:
                return True  # somebody else has just read it, after we asked
            began = clock.monotonic()
            found = await self.ask(directory.read_all)
            if await self._runtime.db.read(_differs, ctx, domain_id, found, True):
                await self._runtime.db.write(mirror, ctx, domain_id, found)
            self._read_at[domain_id] = began
        return True

    async def log_in(
        self, ctx: Context, domain_id: str, password: str, *, name: str | None, local_id: str | None
    ) -> str | None:
        """Return the id of the user whose password it is; raise Unavailable when the directory does not answer."""
        directory = await self._runtime.db.read(self.find, domain_id)
        if directory is None:
            return None
        found = await self.ask(directory.verify, password, name=name, local_id=local_id)
        if found is None:
            return None
        if await self._runtime.db.read(_differs, ctx, domain_id, found, False):
            await self._runtime.db.write(_mirror_one, ctx, domain_id, found)
        return public_id(domain_id, "user", found.people[0].local_id)

    async def mirror_forever(self) -> None:
        """Read every directory again when its time has come, so that who left loses what rests on it."""
        while True:
            for domain_id, every_s in await self._runtime.db.read(self._due):
                try:
                    await self.refresh(None, domain_id)
                except Unavailable as error:
                    log.warning("domain %s: %s", domain_id, error.message)
                    self._read_at[domain_id] = clock.monotonic() - every_s / 2
            await clock.sleep(CHECK_S)

    def _due(self, tx: Tx) -> list[tuple[str, int]]:
        found = {row.id for row in (projects.find_domain(tx, name) for name in self._written) if row is not None}
        found.update(directories.domains_with_driver(tx))
        due = []
        for domain_id in found:
            settings = self._settings(tx, domain_id)
            if settings is None:
                continue
            last = self._read_at.get(domain_id)
            if last is None or clock.monotonic() - last >= settings.mirror_s:
                due.append((domain_id, settings.mirror_s))
        return due

    def close(self) -> None:
        """Let the threads end."""
        if self._threads is not None:
            self._threads.shutdown(wait=False, cancel_futures=True)


def _differs(tx: Tx, ctx: Context | None, domain_id: str, found: Everybody, complete: bool) -> bool:
    return mirror(tx, ctx, domain_id, found, complete=complete, writes=False)


def _mirror_one(tx: Tx, ctx: Context, domain_id: str, found: Everybody) -> None:
    mirror(tx, ctx, domain_id, found, complete=False)


def read_only(domain_id: str) -> NoReturn:
    """Refuse to change what a directory keeps."""
    raise Forbidden(
        f"The users and groups of domain {domain_id} are kept in a directory (LDAP), which is only read: make the "
        "change there."
    )


def refuse_entry(tx: Tx, id: str) -> None:
    """Raise Forbidden for a user or group that a directory keeps."""
    entry = directories.get_entry(tx, id)
    if entry is not None and entry.gone_at is None:
        read_only(entry.domain_id)
