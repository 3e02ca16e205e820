"""``pileus openrc``: what points clients at the cloud, and what makes the shell find them."""

import argparse
import json
import shlex
import shutil
import sys

from pileus.cli.invocation import bin_folder, command
from pileus.cli.settings import reached
from pileus.cli.state import Cloud, State
from pileus.cli.terminal import Problem, say


def run(words: argparse.Namespace) -> None:
    """Print shell exports, a clouds.yaml, or JSON."""
    state = State(words.state)
    variables = exports(state.load(), state, words.project or "admin")
    if words.clouds_yaml:
        say(clouds_yaml(variables))
        return
    if words.json:
        say(json.dumps(variables, indent=2))
        return
    for name, value in variables.items():
        say(f"export {name}={shlex.quote(value)}")
    say(path_line())
    if shutil.which("openstack") is None and not (bin_folder() / "openstack").exists():
        print("pileus: the openstack client is not installed: pip install python-openstackclient", file=sys.stderr)


def line(state: State, project: str) -> str:
    """Return the line after which a shell finds ``pileus`` and ``openstack`` and they find the cloud."""
    return f'eval "$({command("openrc", state, "--project", project)})"'


def path_line() -> str:
    """Return the line that adds our commands to the shell's path: last, so that they hide none of the user's, once."""
    folder = shlex.quote(str(bin_folder()))
    return f'case ":$PATH:" in *:{folder}:*) ;; *) export PATH="$PATH":{folder} ;; esac'


def exports(cloud: Cloud, state: State, project: str) -> dict[str, str]:
    """Return the environment of a client that acts in ``project``."""
    users = state.credentials()  # by the names they had when the cloud was made
    found = next((user for user in users.values() if user["project"] == project), users.get(project))
    if found is None:
        known = ", ".join(sorted({user["project"] for user in users.values()}))
        raise Problem(f"No password is kept for a user of project {project}.", f"Projects with one: {known}.")
    way = reached(state, cloud)
    variables = {
        "OS_AUTH_URL": f"{way.url}/identity/v3",
        "OS_IDENTITY_API_VERSION": "3",
        "OS_REGION_NAME": "RegionOne",
        "OS_USERNAME": found["user"],
        "OS_PASSWORD": found["password"],
        "OS_PROJECT_NAME": found["project"],
        "OS_USER_DOMAIN_ID": "default",
        "OS_PROJECT_DOMAIN_ID": "default",
    }
    return variables if way.ca is None else {**variables, "OS_CACERT": str(way.ca)}


def clouds_yaml(variables: dict[str, str], name: str = "pileus") -> str:
    """Return a clouds.yaml with one cloud; JSON strings are YAML strings."""
    auth = {
        "auth_url": variables["OS_AUTH_URL"],
        "username": variables["OS_USERNAME"],
        "password": variables["OS_PASSWORD"],
        "project_name": variables["OS_PROJECT_NAME"],
        "user_domain_id": "default",
        "project_domain_id": "default",
    }
    lines = ["clouds:", f"  {name}:", f"    region_name: {variables['OS_REGION_NAME']}"]
    if ca := variables.get("OS_CACERT"):
        lines.append(f"    cacert: {json.dumps(ca)}")
    lines.append("    auth:")
    return "\n".join(lines + [f"      {key}: {json.dumps(value)}" for key, value in auth.items()])
