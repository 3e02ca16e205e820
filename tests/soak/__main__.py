"""Run a soak: ``python -m tests.soak --minutes 60 [--report FILE]``.  Exit code 1 if anything went wrong."""

import argparse
import random
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from tests.e2e.cloud import RealCloud
from tests.real.api import COMPUTE, IMAGE, NETWORK, VOLUME, Api
from tests.real.audit import differences
from tests.real.processes import login, real_cloud
from tests.section import write_into
from tests.soak.churn import Churn
from tests.soak.control import Control
from tests.soak.keeper import Keeper
from tests.soak.killer import Killer
from tests.soak.report import MARKS, Report
from tests.soak.watch import Watch
from tests.soak.writers import GROUPS, IMAGES, Objects, Rows, volume_metadata

REST_S = 180.0
"""How long host and rows may take to agree once nobody asks for anything."""


def main() -> int:
    """Return 1 if anything went wrong."""
    words = argparse.ArgumentParser(prog="python -m tests.soak", description=__doc__)
    words.add_argument("--minutes", type=float, default=60)
    words.add_argument("--seed", type=int, default=int(time.time()))
    words.add_argument(
        "--checkpoint-minutes", type=float, default=10, help="how often all come to rest and are compared"
    )
    words.add_argument(
        "--no-kills", action="store_true", help="only the load: one server and one agent live to its end"
    )
    words.add_argument("--report", type=Path, help="the document whose section is replaced")
    chosen = words.parse_args()
    control = Control()
    report: Report | None = None
    try:
        with real_cloud("pileus-soak-") as cloud:
            soak = Soak(cloud, control, chosen.seed)
            soak.kills = not chosen.no_kills
            report = soak.run(chosen.minutes, chosen.checkpoint_minutes)
    except AssertionError as error:  # what the purge has left, or what made a beginning impossible
        control.trouble(str(error))
    if report is not None:
        print(report.text())
        if chosen.report:
            write_into(chosen.report, *MARKS, report.text())
    return 1 if control.troubles or report is None else 0


class Soak:
    """One run."""

    def __init__(self, cloud: RealCloud, control: Control, seed: int) -> None:
        self.cloud, self.control, self.seed = cloud, control, seed
        self.kills = True
        chance = random.Random(seed)

        def draw() -> random.Random:
            return random.Random(chance.getrandbits(64))

        self._prepare(login(cloud, "admin"))
        self.api = login(cloud)
        body = self._server()
        self.keepers = [
            Keeper(self.api, control, draw(), cloud.key, {"server": body | {"name": f"kept-{number}"}})
            for number in range(2)
        ]
        kinds = [GROUPS, IMAGES, volume_metadata(self.keepers[0].volume)]
        self.rows = [Rows(self._user(), control, draw(), kind) for kind in kinds]
        self.objects = Objects(self._user(), control, draw())
        (router,) = self.api.get(f"{NETWORK}/routers")["routers"]
        self.churns = [Churn(self._user(), control, draw(), body, router["id"]) for _ in range(2)]
        self.killer = Killer(cloud.state, control, draw())
        self.watch = Watch(cloud.state, control)
        self.chance = draw()

    def _user(self) -> Api:
        return login(self.cloud)

    def _prepare(self, admin: Api) -> None:
        """Let the demo project have as much as it needs."""
        project = self.cloud.state.credentials()["demo"].get("project_id") or self._user().project_id
        for path, key, names in (
            (f"{COMPUTE}/os-quota-sets/{project}", "quota_set", ("instances", "cores", "ram")),
            (f"{VOLUME}/os-quota-sets/{project}", "quota_set", ("volumes", "snapshots", "gigabytes")),
            (f"{NETWORK}/quotas/{project}", "quota", ("security_group", "port", "network", "subnet")),
        ):
            status, answer = admin.call("PUT", path, {key: dict.fromkeys(names, -1)})
            assert status == 200, f"{path}: {status} {answer}"

    def _server(self) -> dict[str, Any]:
        """Return the body of a server that lets itself be logged into."""
        public_key = self.cloud.key.with_suffix(".pub").read_text()
        self.api.post(f"{COMPUTE}/os-keypairs", {"keypair": {"name": "soak", "public_key": public_key, "type": "ssh"}})
        (group,) = self.api.get(f"{NETWORK}/security-groups?name=default")["security_groups"]
        rule = {"security_group_id": group["id"], "direction": "ingress", "protocol": "tcp"}
        rule |= {"port_range_min": 22, "port_range_max": 22}
        self.api.post(f"{NETWORK}/security-group-rules", {"security_group_rule": rule})
        image = self.api.get(f"{IMAGE}/images?name=pileus-mini")["images"][0]["id"]
        flavors = self.api.get(f"{COMPUTE}/flavors")["flavors"]
        flavor = next(flavor["id"] for flavor in flavors if flavor["name"] == "pileus.mini")
        network = self.api.get(f"{NETWORK}/networks?name=private")["networks"][0]["id"]
        return {"imageRef": image, "flavorRef": flavor, "networks": [{"uuid": network}], "key_name": "soak"}

    def run(self, minutes: float, checkpoint_minutes: float) -> Report:
        """Load, kill, compare; then verify everything, delete everything, and compare again."""
        self._start()
        until = self.control.elapsed_s + minutes * 60
        spare = self.control.elapsed_s + minutes * 60 * 0.8
        checkpoint = self.control.elapsed_s + checkpoint_minutes * 60
        while self.control.elapsed_s < until:
            time.sleep(1)
            if self.control.elapsed_s > spare and not self.killer.sparing:
                self.killer.sparing = {"server", "agent", "server and agent"}
            if self.control.elapsed_s > checkpoint and until - self.control.elapsed_s > 60:
                with self.control.at_rest():
                    self.compare("checkpoint")
                checkpoint = self.control.elapsed_s + checkpoint_minutes * 60
        with self.control.at_rest():
            self.control.ending.set()
            self.compare("end of the load")
            self.verify()
            report = Report.gather(minutes, self.seed, self.control, self.watch)
            self.clear()
        return report

    def _start(self) -> None:
        def about(seconds: float) -> float:
            return self.chance.uniform(0.5, 1.5) * seconds

        for rows in self.rows:
            self.control.repeat(rows.write, lambda: about(0.5))
        self.control.repeat(self.objects.write, lambda: about(0.4))
        for keeper in self.keepers:
            self.control.repeat(keeper.write, lambda: about(6))
        self.control.repeat(self.keepers[0].snapshot, lambda: about(240))
        self.control.repeat(self.churns[0].server_life, lambda: about(20))
        self.control.repeat(self.churns[1].volume_life, lambda: about(15))
        if self.kills:
            self.control.repeat(self.killer.strike, lambda: about(30))
        self.control.repeat(self.watch.look, lambda: 5)

    def compare(self, when: str) -> None:
        """Wait until host and rows agree; what still differs after a while is a trouble."""
        deadline = time.monotonic() + REST_S
        while wrong := differences(self.cloud.state.path):
            if time.monotonic() > deadline:
                for sentence in wrong:
                    self.control.trouble(f"{when}: {sentence}")
                break
            time.sleep(1)
        self.control.count("comparisons of host and rows at rest")
        print(f"  {when} at {self.control.elapsed_s / 60:.1f} min: {dict(self.control.counts)}", flush=True)

    def verify(self) -> None:
        """Look for every acknowledged write."""
        for rows in self.rows:
            rows.verify()
        self.objects.verify()
        with tempfile.TemporaryDirectory(dir=self.cloud.state.path.parent) as folder:
            for keeper in self.keepers:
                keeper.stop()
                keeper.verify(self.cloud.state.path / "block_storage", Path(folder))

    def clear(self) -> None:
        """Delete all that users have made; nothing may be left, nothing may refuse."""
        self.objects.clear()
        for keeper in self.keepers:
            keeper.clear()
        self.compare("after the deletion of servers")
        for keeper in self.keepers:
            self.api.delete(f"{VOLUME}/volumes/{keeper.volume}")
        for row in self.api.get(f"{IMAGE}/images?limit=1000")["images"]:
            if "soak" in row:
                self.api.delete(f"{IMAGE}/images/{row['id']}")
        self.compare("after the deletion of everything")


if __name__ == "__main__":
    sys.exit(main())
