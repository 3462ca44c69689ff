"""The tests' own judge of lists: it must find every kind of mistake, or it proves nothing."""

from __future__ import annotations

import pytest

from tests.hls.checking import ListChecker, read

HEAD = "#EXTM3U\n#EXT-X-VERSION:3\n#EXT-X-TARGETDURATION:3\n"


def made(
    first: int, count: int, *, breaks: int = 0, broken: int = -1, target: int = 3, duration: str = "2.50000"
) -> str:
    """Return a list of segments of 2.5 s; number `broken` begins anew."""
    lines = [
        "#EXTM3U",
        "#EXT-X-VERSION:3",
        f"#EXT-X-TARGETDURATION:{target}",
        f"#EXT-X-MEDIA-SEQUENCE:{first}",
        f"#EXT-X-DISCONTINUITY-SEQUENCE:{breaks}",
    ]
    for number in range(first, first + count):
        seconds = number * 2.5
        lines += ["#EXT-X-DISCONTINUITY"] * (number == broken)
        lines += [
            f"#EXT-X-PROGRAM-DATE-TIME:2026-01-01T00:{int(seconds) // 60:02d}:{seconds % 60:06.3f}Z",
            f"#EXTINF:{duration},",
            f"{number}.ts",
        ]
    return "\n".join(lines) + "\n"


def test_right_lists_are_right() -> None:
    checker = ListChecker()
    for first in range(12):
        assert checker.take(made(first, 4, broken=6, breaks=int(first > 6)), first * 2.5) == []
    assert checker.breaks == 1
    assert checker.take(made(11, 4, breaks=1) + "#EXT-X-ENDLIST\n", 30) == []


def test_what_must_be_there_is_what_is_listed_and_what_was_until_a_list_ago() -> None:
    checker = ListChecker()
    checker.take(made(0, 4), 0)
    checker.take(made(1, 4), 10)
    assert checker.owed(10) == ["0.ts", "1.ts", "2.ts", "3.ts", "4.ts"]
    assert checker.owed(10 + 2.5 + 10 + 0.1) == ["1.ts", "2.ts", "3.ts", "4.ts"]


@pytest.mark.parametrize(
    ("text", "words"),
    [
        (made(0, 3)[1:], "#EXTM3U"),
        (made(0, 3)[:-1], "line break"),
        (made(0, 3, target=2), "over the target"),
        (made(0, 3, duration="0.00000"), "without duration"),
        (made(0, 3, duration="1.00000"), "apart"),
        (made(0, 3).replace("#EXTINF:2.50000,\n1.ts", "1.ts"), "EXTINF"),
        (made(0, 3).replace("#EXT-X-TARGETDURATION:3\n", ""), "TARGETDURATION 0 times"),
        (made(0, 3) + "#EXT-X-TARGETDURATION:3\n", "after a segment"),
        (made(0, 3) + "#EXT-X-ENDLIST\n3.ts\n", "follows the end"),
        (made(0, 3) + "#EXT-X-NONSENSE\n", "unknown tag"),
        (made(0, 3).replace("Z\n", "\n"), "date"),
    ],
)
def test_a_list_that_is_wrong_by_itself_is_found(text: str, words: str) -> None:
    assert words in " ".join(read(text)[1])


@pytest.mark.parametrize(
    ("later", "words"),
    [
        (made(3, 4, breaks=1), "numbers went back"),
        (made(9, 4, breaks=1), "in no list"),
        (made(5, 4, breaks=0), "discontinuity sequence"),
        (made(6, 4, breaks=1, broken=7), "was"),
        (made(5, 4, breaks=1, target=4), "target changed"),
        (made(6, 3, breaks=1), "less than three targets"),
    ],
)
def test_a_list_that_does_not_follow_from_the_last_one_is_found(later: str, words: str) -> None:
    checker = ListChecker()
    assert checker.take(made(4, 4, broken=4), 0) == []
    assert words in " ".join(checker.take(later, 1))
