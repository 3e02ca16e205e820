"""``pileus policy``: who may do what and why not; a sample of every rule; whether the operator's file is good."""

import argparse
import asyncio
from pathlib import Path

import yaml

from pileus.cli.policy_subject import Subject, find_subject, guarded_by
from pileus.cli.settings import configuration
from pileus.cli.state import State
from pileus.cli.terminal import Problem, say, table
from pileus.kernel.config import Configuration
from pileus.kernel.context import Context
from pileus.kernel.db import Tx
from pileus.kernel.policy import RULES, Policy, PolicyError, Rule
from pileus.kernel.policy_explain import Verdict, explain, nearest
from pileus.kernel.runtime import Runtime
from pileus.kernel.service import find_services
from pileus.services.identity.public import Person, find_person


def run(words: argparse.Namespace) -> int:
    """Explain, print the sample, or check the file."""
    if words.verb == "sample":
        say(sample())
        return 0
    state = State(words.state)
    if words.verb == "check":
        return check(state.path / "policy.yaml")
    if words.user is None or words.action is None:
        raise Problem(
            "Who is to do what?",
            "`pileus policy explain demo os_compute_api:servers:delete ID` or "
            "`pileus policy explain demo DELETE /compute/v2.1/servers/ID`.",
        )
    return asyncio.run(_explain(configuration(state), words))


def check(path: Path) -> int:
    """Say whether an operator's file can be used and what in it has no effect."""
    find_services()
    try:
        policy = Policy.from_file(path)
    except (PolicyError, yaml.YAMLError) as error:
        raise Problem(f"{path}: {error}", "`pileus policy sample` prints every rule as it is by default.") from error
    unknown = policy.unknown()
    for name in unknown:
        say(f"{name}: there is no such rule; the line has no effect")
    changed = [rule.name for rule in RULES.values() if policy.is_overridden(rule)]
    say(f"{path}: {len(changed)} of {len(RULES)} rules changed{': ' if changed else ''}{', '.join(changed)}")
    return 1 if unknown else 0


def sample() -> str:
    """Return a policy.yaml in which every rule stands as a comment with its default."""
    guards = guarded_by(find_services())
    lines = [
        "# Every rule of this cloud with its default. Remove the '#' before a rule and change it; save the file as",
        "# policy.yaml in the cloud's state directory and restart the server. Rules that are not named keep their",
        "# default. `pileus policy check` reads the file, `pileus policy explain` says what it comes to.",
    ]
    for name in sorted(RULES):
        rule = RULES[name]
        lines.append("")
        if rule.description:
            lines.append(f"# {rule.description}")
        lines.append(f"# With a token for {rule.scopes_in_words}")
        lines += [f"# {where}" for where in guards.get(name, ["Judged inside other requests"])]
        lines.append(f"#{_quoted(name)}: {_quoted(rule.check)}")
    return "\n".join(lines)


def _quoted(text: str) -> str:
    return yaml.safe_dump(text, default_style='"', width=1_000_000).strip()


async def _explain(config: Configuration, words: argparse.Namespace) -> int:
    runtime = Runtime(config)
    try:
        return await runtime.db.read(_answer, runtime, words)
    finally:
        await runtime.db.close()


def _answer(tx: Tx, runtime: Runtime, words: argparse.Namespace) -> int:
    person = find_person(tx, words.user)
    if person is None:
        raise Problem(f"There is no user {words.user}.", "Name one by id, by name, or as name@domain.")
    subject = find_subject(tx, runtime, words.action, words.resource)
    if subject.rule is None:
        say(f"{subject.guards[0]} is open to all: it needs no token.")
        return 0
    say(f"May {person.name} (user {person.user_id}, domain {person.domain}) do {subject.rule.name}?")
    for where in subject.guards:
        say(f"  {where}")
    origin = "policy.yaml" if runtime.policy.is_overridden(subject.rule) else "default"
    say(f"  rule ({origin}): {runtime.policy.check_of(subject.rule) or '@'}")
    say(f"  with a token for {subject.rule.scopes_in_words}")
    if subject.described:
        say(f"  on {subject.described}")
    say()
    return _verdicts(runtime.policy, person, subject, subject.rule)


def _verdicts(policy: Policy, person: Person, subject: Subject, rule: Rule) -> int:
    """Print one line for each place where the person can act, then the sum; return the exit code."""
    lines: list[tuple[str, ...]] = []
    ways: list[tuple[str, ...]] = []
    allowed = False
    for standing in person.standings:
        verdict = _verdict(policy, rule, subject, Context(standing.caller, policy))
        allowed = allowed or verdict.allowed
        why = f"by {verdict.way}" if verdict.allowed else " and ".join(verdict.lacking[0])
        ways += verdict.lacking
        roles = ", ".join(standing.roles) or "none"
        lines.append(
            (standing.place, roles, "yes" if verdict.allowed else "no", why if verdict.allowed else f"lacks {why}")
        )
    table(lines, ("a token for", "its roles", "may", "why"))
    say()
    if person.hindrance:
        say(f"No: {person.hindrance}, so {person.name} gets no token at all.")
        return 1
    if allowed:
        say(f"Yes, with a token for {', or '.join(line[0] for line in lines if line[2] == 'yes')}.")
        return 0
    say(f"No. What would do: {'; or '.join(' and '.join(way) for way in nearest(ways))}.")
    return 1


def _verdict(policy: Policy, rule: Rule, subject: Subject, ctx: Context) -> Verdict:
    """Judge as the request would be: by the token's scope, by the rule, and by whether the caller sees the thing."""
    verdict = explain(policy, rule, ctx.caller, subject.target_for(ctx))
    if verdict.allowed and not subject.seen_by(ctx):
        return Verdict(False, "", (("that the thing is there for this token: it is another project's, so 404",),))
    return verdict
