"""The table of reasons: whole, sane, and shown as it should be."""

from __future__ import annotations

import ast
import http
import json
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from aceproxy.errors import REASONS, AceProxyError, Fault, Reason

SOURCES = Path(__file__).resolve().parents[1] / "src" / "aceproxy"
TEXTS = SOURCES / "web" / "static" / "texts"
ITALIAN = TEXTS / "it" / "server.js"
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


# --- in other languages ---


def italian() -> dict[str, dict[str, str]]:
    """Return what the Italian catalogue makes of the server's words: sentences by reason, details by their English."""
    body = ITALIAN.read_text(encoding="utf-8").partition("export default")[2].rstrip().removesuffix(";")
    body = re.sub(r"^(\s*)(\w+): \{", r'\1"\2": {', body, flags=re.MULTILINE)
    catalogue: dict[str, dict[str, str]] = json.loads(re.sub(r",(\s*\})", r"\1", body))
    return catalogue


def details_in_the_source() -> Iterator[tuple[str, str]]:
    """Yield every detail that is written out in an error, `{}` for what is filled in, and where it stands."""
    for path in sorted(SOURCES.rglob("*.py")):
        if "simulator" in path.parts:
            continue
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if not isinstance(node, ast.Call) or not node.args:
                continue
            if not ast.unparse(node.args[0]).startswith("Reason."):
                continue
            told = [*node.args[1:], *(word.value for word in node.keywords if word.arg == "detail")]
            either = [
                part for one in told for part in ([one.body, one.orelse] if isinstance(one, ast.IfExp) else [one])
            ]
            for text in filter(None, map(template, either)):
                yield text, f"{path.name}:{node.lineno}"


def template(node: ast.expr) -> str | None:
    """Return a text as the catalogue names it; None for what is no text, or has no words of ours."""
    if isinstance(node, ast.Constant) and isinstance(node.value, str):
        text = node.value
    elif isinstance(node, ast.JoinedStr):
        parts = (str(part.value) if isinstance(part, ast.Constant) else "{}" for part in node.values)
        text = re.sub(r"(\{\}){2,}", "{}", "".join(parts))
    else:
        return None
    return text if re.search(r"[a-z]{2}", text) else None


@pytest.mark.parametrize("reason", Reason)
def test_every_reason_has_an_italian_sentence(reason: Reason) -> None:
    own = italian()["serverMessages"].get(reason)
    assert own, f"add {reason} to serverMessages in {ITALIAN}"
    assert own != REASONS[reason].message
    assert own[-1] in ".?", own


def test_the_catalogue_knows_no_other_reasons() -> None:
    assert set(italian()["serverMessages"]) == set(Reason)


@pytest.mark.parametrize("language", ["en", "it"])
def test_every_reason_has_a_short_name_in_every_language(language: str) -> None:
    text = (TEXTS / language / "common.js").read_text(encoding="utf-8")
    names = re.findall(r"^    (\w+):", text.partition("  reasons: {")[2].partition("\n  },")[0], flags=re.MULTILINE)
    assert set(names) == set(Reason)
    assert len(names) == len(set(names))


def test_every_detail_that_is_written_out_has_italian_words() -> None:
    known = italian()["serverDetails"]
    missing = [f"{place}: {text}" for text, place in details_in_the_source() if text not in known]
    assert missing == [], f"add them to serverDetails in {ITALIAN}"
    for english, own in known.items():
        assert len(re.findall(r"\{\}", english)) == len(re.findall(r"\{\d?\}", own)), english
