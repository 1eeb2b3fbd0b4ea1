"""The key that signs cursors."""

from pathlib import Path

import pytest

from chaintide.api.keys import BYTES, FILE_NAME, cursor_key
from chaintide.streams.errors import ConfigError


def test_a_key_is_made_once_and_only_its_owner_can_read_it(tmp_path: Path):
    first = cursor_key(tmp_path / "data", "")
    assert len(first) == BYTES
    assert cursor_key(tmp_path / "data", "") == first
    path = tmp_path / "data" / FILE_NAME
    assert path.stat().st_mode & 0o777 == 0o600
    assert [entry.name for entry in path.parent.iterdir()] == [FILE_NAME]


def test_each_data_directory_has_a_key_of_its_own(tmp_path: Path):
    assert cursor_key(tmp_path / "a", "") != cursor_key(tmp_path / "b", "")


def test_a_given_key_is_used_and_nothing_is_written(tmp_path: Path):
    assert cursor_key(tmp_path / "data", "secret") == b"secret"
    assert not (tmp_path / "data").exists()


def test_a_directory_that_cannot_be_used_is_named(tmp_path: Path):
    (tmp_path / "data").write_text("")
    with pytest.raises(ConfigError, match="CHAINTIDE_CURSOR_KEY"):
        cursor_key(tmp_path / "data", "")
