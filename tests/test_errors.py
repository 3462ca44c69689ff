"""The table of reasons: whole, sane, and shown as it should be."""

from __future__ import annotations

import http

import pytest

from aceproxy.errors import REASONS, AceProxyError, Fault, Reason

ENDS_OF_CLIENTS = {
    Reason.CLIENT_LEFT,
    Reason.STALLED_CLIENT,
    Reason.KICKED,
    Reason.TOKEN_REVOKED,
    Reason.CLIENT_SILENT,
    Reason.PLAYER_STOPPED,
}


def test_every_reason_has_a_row_in_the_order_of_the_names() -> None:
    assert list(REASONS) == list(Reason)


@pytest.mark.parametrize("reason", Reason)
def test_the_row_of_a_reason_is_sane(reason: Reason) -> None:
    row = REASONS[reason]
    assert reason.value == reason.name.lower()
    assert row.status == 499 or row.status in set(http.HTTPStatus)
    assert 400 <= row.status < 600
    assert row.message[0].isupper()
    assert row.message[-1] in ".?"
    assert "\n" not in row.message
    assert row.retry_after_s is None or 1 <= row.retry_after_s <= 60


@pytest.mark.parametrize("reason", [reason for reason in Reason if reason not in ENDS_OF_CLIENTS])
def test_a_status_says_whose_fault_it_is(reason: Reason) -> None:
    row = REASONS[reason]
    if row.fault is Fault.CLIENT:
        assert 400 <= row.status < 500
        assert row.retry_after_s is None
    elif reason is not Reason.CONTENT_NOT_FOUND:  # a wrong link, so a 404, though nobody here is to blame
        assert row.status >= 500


def test_a_503_always_says_when_to_come_back() -> None:
    assert [reason for reason, row in REASONS.items() if row.status == 503 and row.retry_after_s is None] == []


def test_messages_are_told_apart() -> None:
    messages = [row.message for row in REASONS.values()]
    assert len(set(messages)) == len(messages)


def test_an_error_without_detail_is_the_sentence_of_its_reason() -> None:
    error = AceProxyError(Reason.NO_PEERS)
    assert error.row is REASONS[Reason.NO_PEERS]
    assert error.message == error.row.message
    assert str(error) == f"no_peers: {error.row.message}"
    assert error.detail == ""


def test_an_error_with_detail_has_it_in_brackets() -> None:
    error = AceProxyError(Reason.ENGINE_ERROR, "HTTP 500: boom")
    assert error.message == f"{REASONS[Reason.ENGINE_ERROR].message} (HTTP 500: boom)"
    assert str(error) == f"engine_error: {error.message}"
    assert error.args == (Reason.ENGINE_ERROR, "HTTP 500: boom")


def test_the_table_cannot_be_changed_by_its_rows() -> None:
    with pytest.raises(AttributeError):
        REASONS[Reason.NO_LINK].status = 200  # type: ignore[misc]  # what must not be possible
