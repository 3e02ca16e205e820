"""The wheel and the source archive: made, compared with the source, installed by pip, used by the SDK."""

from tests.fresh.machine import USER
from tests.fresh.run import CHECKOUT, Run

WITHIN_S = 10
"""From the end of `pip install` to a server that is ACTIVE, by the SDK."""
BUILD = f"""set -e
cd {CHECKOUT}
./pileus --version
uv=$(command -v uv || echo .venv/bin/uv)
rm -rf /tmp/dist && "$uv" build -q --out-dir /tmp/dist
python3 - <<'END'
import subprocess, tarfile, zipfile
from pathlib import Path
wheel = set(zipfile.ZipFile(next(Path("/tmp/dist").glob("*.whl"))).namelist())
archive = tarfile.open(next(Path("/tmp/dist").glob("*.tar.gz")))
source = {{name.partition("/")[2] for name in archive.getnames()}}
files = subprocess.run(["git", "ls-files"], capture_output=True, text=True, check=True).stdout.split()
lacking = [name for name in files if name.startswith("src/") and name.removeprefix("src/") not in wheel]
lacking += [name for name in files if name not in source]
print("lacking:", lacking)
raise SystemExit(bool(lacking))
END
"""
INSTALL = """set -e
cd
rm -rf wheel && python3 -m venv wheel
wheel/bin/pip install -q "$(echo /tmp/dist/*.whl)[clients]"
"""
BOOT = f"""set -e
cd
began=$(date +%s.%N)
wheel/bin/pileus up --fake --state ~/by-wheel --port 8799
wheel/bin/pileus openrc --clouds-yaml --project demo --state ~/by-wheel > clouds.yaml
wheel/bin/python - <<'END'
import openstack
cloud = openstack.connect(cloud="pileus")
image, flavor = cloud.image.find_image("pileus-mini"), cloud.compute.find_flavor("pileus.mini")
network = cloud.network.find_network("private")
networks = [{{"uuid": network.id}}]
server = cloud.compute.create_server(name="w", image_id=image.id, flavor_id=flavor.id, networks=networks)
print(cloud.compute.wait_for_server(server, interval=0.1).status)
END
seconds=$(echo "$(date +%s.%N) $began" | awk '{{ print $1 - $2 }}')
echo "$seconds s"
python3 - <<'END'
import re
from urllib.request import urlopen
cloud = "http://127.0.0.1:8799"
page = urlopen(f"{{cloud}}/dashboard/login").read().decode()
files = re.findall(r'(?:src|href)="(/dashboard/static/[^"]+)', page)
print("dashboard:", {{name: len(urlopen(cloud + name).read()) for name in files}})
assert files
END
wheel/bin/pileus down --purge --state ~/by-wheel
[ "${{seconds%.*}}" -lt {WITHIN_S} ]
"""


def wheel(run: Run) -> None:
    """Build, install, boot a fake server."""
    run.do("wheel and source archive hold every file", BUILD, USER, checkout=False)
    run.do("`pip install pileus[clients]` from the wheel", INSTALL, USER, checkout=False)
    run.do(f"a fake server by the SDK within {WITHIN_S} s of that", BOOT, USER, checkout=False)
