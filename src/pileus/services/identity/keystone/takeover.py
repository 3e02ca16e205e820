"""All of a Keystone in one transaction: what belongs together comes together, or not at all.

Rule: a trial run does everything and rolls it back, so that its table is what would happen.
"""

from dataclasses import dataclass
from pathlib import Path

import msgspec

from pileus.kernel import events
from pileus.kernel.db import Tx
from pileus.kernel.files import write_durably
from pileus.kernel.runtime import Runtime
from pileus.services.identity.app.secrets import CredentialKeys
from pileus.services.identity.bootstrap import credentials_file
from pileus.services.identity.keystone import catalog, delegation, federation, tenancy
from pileus.services.identity.keystone.merge import Merge, Report
from pileus.services.identity.keystone.source import Source, SourceError
from pileus.services.identity.model import Revision
from pileus.services.identity.store import tokens


@dataclass(frozen=True)
class Choices:
    """What an operator chose."""

    credential_keys: Path | None = None
    services: str = "missing"
    trial: bool = False


class TrialIsOver(Exception):
    """Rolls a trial run back; carries its report."""

    def __init__(self, report: Report) -> None:
        super().__init__("trial run")
        self.report = report


async def take_over(runtime: Runtime, source: Source, choices: Choices) -> Report:
    """Bring in everything; raise SourceError, with nothing changed, when that is not possible."""
    try:
        report = await runtime.db.write(_take_over, runtime, source, choices)
    except TrialIsOver as trial:
        return trial.report
    _rename_credentials(credentials_file(runtime.config.state), report)
    return report


def _take_over(tx: Tx, runtime: Runtime, source: Source, choices: Choices) -> Report:
    if tx.get(Revision, 1) is None:
        raise SourceError("This cloud was never started: start it once, so that it has its tables and keys.")
    old, ours = delegation.old_keys(choices.credential_keys), runtime.part(CredentialKeys)
    merge = Merge(tx, Report())
    tenancy.take_projects(merge, source)
    roles = tenancy.take_roles(merge, source)
    tenancy.take_people(merge, source)
    tenancy.take_assignments(merge, source, roles)
    services = catalog.take_catalog(merge, source, choices.services)
    catalog.take_endpoint_filters(merge, source, services)
    catalog.take_policies(merge, source, services)
    catalog.take_limits(merge, source, services)
    delegation.take_credentials(merge, source, old, ours)
    delegation.take_application_credentials(merge, source, roles)
    delegation.take_trusts(merge, source, roles)
    federation.take_domain_configs(merge, source, ours)
    federation.take_providers(merge, source)
    delegation.take_consumers(merge, source, ours)
    tx.flush()
    if choices.trial:
        raise TrialIsOver(merge.report)
    tokens.move_revision(tx)
    events.emit(tx, "identity.keystone.imported", "keystone", ctx=runtime.internal())
    return merge.report


def _rename_credentials(path: Path, report: Report) -> None:
    """Let the passwords kept of the first users name them as they are called now."""
    if not report.renamed or not path.exists():
        return
    new = {(kind, old): name for kind, old, name in report.renamed}
    found = msgspec.json.decode(path.read_bytes())
    for entry in found.values():
        entry["user"] = new.get(("user", entry["user"]), entry["user"])
        entry["project"] = new.get(("project", entry["project"]), entry["project"])
    write_durably(path, msgspec.json.format(msgspec.json.encode(found)))
