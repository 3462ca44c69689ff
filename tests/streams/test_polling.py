"""How often engines are asked."""

from __future__ import annotations

from aceproxy.streams.polling import POLLS_AT_EASE, SLOWEST_S, PollPace


def test_few_playbacks_are_asked_as_the_settings_say() -> None:
    pace = PollPace()
    pace.polls = POLLS_AT_EASE
    assert pace.pause_s(2.0) == 2.0


def test_many_playbacks_together_are_asked_no_more_often_than_twenty() -> None:
    pace = PollPace()
    pace.polls = 4 * POLLS_AT_EASE
    assert pace.pause_s(2.0) == 8.0


def test_no_playback_is_asked_less_often_than_every_ten_seconds_unless_the_settings_say_so() -> None:
    pace = PollPace()
    pace.polls = 1000 * POLLS_AT_EASE
    assert pace.pause_s(2.0) == SLOWEST_S
    assert pace.pause_s(30.0) == 30.0
