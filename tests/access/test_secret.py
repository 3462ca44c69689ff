"""The admin secret: made once, kept for its owner alone."""

from __future__ import annotations

from pathlib import Path

import pytest

from aceproxy.access.secret import load_admin_secret
from aceproxy.files import write_private


def test_the_first_start_makes_a_secret_and_the_next_one_finds_it(tmp_path: Path) -> None:
    first = load_admin_secret(tmp_path)
    assert first.is_new
    assert first.path is not None
    assert first.path.stat().st_mode & 0o777 == 0o600
    assert len(first.value) >= 43  # 256 bits
    second = load_admin_secret(tmp_path)
    assert (second.value, second.is_new) == (first.value, False)
    assert [path.name for path in tmp_path.iterdir()] == ["admin-secret"]


def test_without_a_folder_every_start_makes_another_one() -> None:
    assert load_admin_secret(None).value != load_admin_secret(None).value


@pytest.mark.parametrize("text", ["", "\n", "short", "\x00\xff", "\xff" * 64, "\x01" * 64])
def test_a_file_without_a_secret_is_replaced(tmp_path: Path, text: str) -> None:
    (tmp_path / "admin-secret").write_text(text)
    found = load_admin_secret(tmp_path)
    assert found.is_new
    assert load_admin_secret(tmp_path).value == found.value


def test_a_file_that_others_can_read_is_closed_to_them(tmp_path: Path) -> None:
    path = tmp_path / "admin-secret"
    path.write_text("an-operator-chose-this-long-secret\n")
    path.chmod(0o644)
    assert load_admin_secret(tmp_path).value == "an-operator-chose-this-long-secret"
    assert path.stat().st_mode & 0o777 == 0o600


def test_a_file_that_cannot_be_written_leaves_the_old_one_and_no_rest(tmp_path: Path) -> None:
    path = tmp_path / "kept"
    write_private(path, "old")
    with pytest.raises(UnicodeEncodeError):
        write_private(path, "new \ud800")
    assert path.read_text() == "old"
    assert [one.name for one in tmp_path.iterdir()] == ["kept"]
