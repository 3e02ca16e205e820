"""Tokens open only with the keys that made them, and rotation ends no session."""

import os

import pytest

from pileus.kernel.config import Configuration
from pileus.kernel.errors import Unauthenticated
from pileus.kernel.runtime import Runtime
from pileus.services.identity.app.fernet import Payload, TokenKeys
from pileus.services.identity.service import SERVICE

PAYLOAD = Payload(1, "u" * 32, ("password",), "p", "p" * 32, 1_000_000, 2_000_000, ("a", "b"))


def keys(folder) -> TokenKeys:
    folder.mkdir(exist_ok=True)
    return TokenKeys(Runtime(Configuration(folder), [SERVICE]))


def test_a_token_says_what_was_sealed_in_it(tmp_path):
    made = keys(tmp_path)
    assert made.open(made.seal(PAYLOAD)) == PAYLOAD
    assert len(made.seal(PAYLOAD)) < 255


def test_keys_are_readable_by_their_owner_only(tmp_path):
    folder = keys(tmp_path).folder
    assert {path.name for path in folder.iterdir()} == {"0", "1"}
    assert all(path.stat().st_mode & 0o777 == 0o600 for path in folder.iterdir())
    assert folder.stat().st_mode & 0o777 == 0o700


def test_a_restart_keeps_the_keys(tmp_path):
    token = keys(tmp_path).seal(PAYLOAD)
    assert keys(tmp_path).open(token) == PAYLOAD


def test_tokens_survive_rotations_until_their_key_is_dropped(tmp_path):
    made = keys(tmp_path)
    token = made.seal(PAYLOAD)
    made.rotate()
    assert made.open(token) == PAYLOAD
    made.rotate()
    made.rotate()
    with pytest.raises(Unauthenticated):
        made.open(token)
    assert len(list(made.folder.iterdir())) == 3


def test_a_rotation_waits_until_the_last_is_long_enough_ago(tmp_path):
    made = keys(tmp_path)
    token = made.seal(PAYLOAD)
    assert not made.rotate(older_than_s=3600)
    next_key = made.folder / "0"
    os.utime(next_key, (next_key.stat().st_mtime - 4000,) * 2)
    assert made.rotate(older_than_s=3600)
    assert not made.rotate(older_than_s=3600)
    assert made.open(token) == PAYLOAD


def test_a_rotation_cut_off_halfway_is_finished_by_the_next_start(tmp_path):
    made = keys(tmp_path)
    token = made.seal(PAYLOAD)
    (made.folder / "0").rename(made.folder / "2")
    again = keys(tmp_path)
    assert again.open(token) == PAYLOAD
    again.rotate()
    assert again.open(again.seal(PAYLOAD)) == PAYLOAD


def test_another_process_notices_a_rotation(tmp_path):
    one, other = keys(tmp_path), keys(tmp_path)
    one.rotate()
    one.rotate()
    assert other.open(one.seal(PAYLOAD)) == PAYLOAD


@pytest.mark.parametrize("harm", [lambda t: t[:-10], lambda t: t[:60] + "A" + t[61:], lambda t: t * 20, lambda t: "é"])
def test_a_harmed_token_is_refused(tmp_path, harm):
    made = keys(tmp_path)
    token = made.seal(PAYLOAD)
    broken = harm(token)
    assert broken != token
    with pytest.raises(Unauthenticated):
        made.open(broken)


def test_a_foreign_key_is_refused(tmp_path):
    token = keys(tmp_path / "one").seal(PAYLOAD)
    with pytest.raises(Unauthenticated):
        keys(tmp_path / "two").open(token)
