"""The password: argon2id, checked in a thread, few at a time."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from aceproxy.access.passwords import WAITING_LIMIT, Passwords, check_quality, hash_password, verify
from aceproxy.errors import AceProxyError, Reason

GOOD = "correct horse battery"


def test_the_hash_is_argon2id_with_a_salt_of_its_own() -> None:
    first = hash_password(GOOD)
    assert first.startswith("$argon2id$v=19$m=19456,t=2,p=1$")
    assert first != hash_password(GOOD)
    assert verify(first, GOOD)
    assert not verify(first, GOOD + " ")
    assert not verify("nonsense", GOOD)
    assert not verify("", GOOD)


@pytest.mark.parametrize("password", ["", "123456789", "ü" * 600, "lone surrogate \ud800"])
def test_a_poor_password_is_refused(password: str) -> None:
    with pytest.raises(AceProxyError) as caught:
        check_quality(password)
    assert caught.value.reason is Reason.BAD_PARAMETER


async def test_a_password_is_kept_for_its_owner_alone_and_found_by_the_next_start(tmp_path: Path) -> None:
    passwords = Passwords(tmp_path)
    passwords.load()
    assert not passwords.is_set
    assert not await passwords.is_right(GOOD)
    await passwords.change(GOOD)
    assert (tmp_path / "password").stat().st_mode & 0o777 == 0o600
    assert GOOD not in (tmp_path / "password").read_text()
    again = Passwords(tmp_path)
    again.load()
    assert again.mark == passwords.mark != ""
    assert await again.is_right(GOOD)
    assert not await again.is_right("wrong " + GOOD)
    assert not await again.is_right("x" * 100_000)
    await again.remove()
    assert not (tmp_path / "password").exists()
    assert not await passwords.is_right(GOOD)
    for one in (passwords, again):
        one.close()


async def test_checks_wait_for_each_other_and_only_so_many_may_wait() -> None:
    passwords = Passwords(None)
    await passwords.change(GOOD)
    tries = [asyncio.create_task(passwords.is_right(GOOD)) for _ in range(WAITING_LIMIT + 4)]
    results = await asyncio.gather(*tries, return_exceptions=True)
    refused = [one for one in results if isinstance(one, AceProxyError)]
    assert [one for one in results if one is True] == [True] * WAITING_LIMIT
    assert [one.reason for one in refused] == [Reason.TOO_MANY_ATTEMPTS] * 4
    assert await passwords.is_right(GOOD)
    passwords.close()
