"""``pileus openrc``: what points clients at the cloud."""

import argparse
import json
import shlex

from pileus.cli.state import Cloud, State, url
from pileus.cli.terminal import Problem, say


def run(words: argparse.Namespace) -> None:
    """Print shell exports, or a clouds.yaml."""
    state = State(words.state)
    variables = exports(state.load(), state, words.project or "admin")
    if words.clouds_yaml:
        say(clouds_yaml(variables))
        return
    for name, value in variables.items():
        say(f"export {name}={shlex.quote(value)}")


def exports(cloud: Cloud, state: State, project: str) -> dict[str, str]:
    """Return the environment of a client that acts in ``project``."""
    users = state.credentials()  # by the names they had when the cloud was made
    found = next((user for user in users.values() if user["project"] == project), users.get(project))
    if found is None:
        known = ", ".join(sorted({user["project"] for user in users.values()}))
        raise Problem(f"No password is kept for a user of project {project}.", f"Projects with one: {known}.")
    return {
        "OS_AUTH_URL": f"{url(cloud)}/identity/v3",
        "OS_IDENTITY_API_VERSION": "3",
        "OS_REGION_NAME": "RegionOne",
        "OS_USERNAME": found["user"],
        "OS_PASSWORD": found["password"],
        "OS_PROJECT_NAME": found["project"],
        "OS_USER_DOMAIN_ID": "default",
        "OS_PROJECT_DOMAIN_ID": "default",
    }


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
    lines = ["clouds:", f"  {name}:", f"    region_name: {variables['OS_REGION_NAME']}", "    auth:"]
    return "\n".join(lines + [f"      {key}: {json.dumps(value)}" for key, value in auth.items()])
