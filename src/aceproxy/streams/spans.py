"""Parts of a file: which bytes are wanted, and which ones an answer says it has (RFC 9110 §14). Pure."""

from __future__ import annotations

import re
from dataclasses import dataclass

from aceproxy.engine.http_response import ResponseHead
from aceproxy.engine.media import RangeRefusedError
from aceproxy.errors import AceProxyError, Reason

_CONTENT_RANGE = re.compile(r"bytes ([0-9]{1,18})-([0-9]{1,18})/([0-9]{1,18}|\*)")
_TYPE = re.compile(r"(?:video|audio)/[A-Za-z0-9.+-]{1,60}")
PLAIN_TYPE = "application/octet-stream"


@dataclass(frozen=True, slots=True)
class Facts:
    """What is known of a recording. None where the engine has not told."""

    infohash: str | None = None
    size_bytes: int | None = None
    content_type: str = PLAIN_TYPE


@dataclass(frozen=True, slots=True)
class Span:
    """The bytes that are wanted: from `first` to `last`, both included; None: from the beginning, to the end.

    With `suffix` the last so many bytes are wanted, wherever they begin.
    """

    first: int | None = None
    last: int | None = None
    suffix: int | None = None

    @property
    def is_whole(self) -> bool:
        """Whether everything is wanted, so that there is no need to ask for a part."""
        return self.first is None and self.last is None and self.suffix is None

    @property
    def header(self) -> str:
        """The Range header that asks for it (RFC 9110 §14.1.2); empty for everything."""
        if self.suffix is not None:
            return f"bytes=-{self.suffix}"
        return "" if self.is_whole else f"bytes={self.first or 0}-{'' if self.last is None else self.last}"

    def settled(self, size_bytes: int | None) -> Span:
        """Return the same bytes of a file of this size, without going over its end. Raises RangeRefusedError."""
        if size_bytes is None or self.is_whole:
            return self
        if self.suffix is not None:
            if not self.suffix or not size_bytes:
                raise RangeRefusedError(size_bytes)
            return Span(max(0, size_bytes - self.suffix), size_bytes - 1)
        if (self.first or 0) >= size_bytes:
            raise RangeRefusedError(size_bytes)
        return Span(self.first or 0, size_bytes - 1 if self.last is None else min(self.last, size_bytes - 1))


def read_head(head: ResponseHead, span: Span, known: Facts) -> tuple[int, int | None, Facts]:
    """Return where a body begins, where it stops, and what its head tells of the file. Raises AceProxyError."""
    content_type = head.headers.get("content-type", "").partition(";")[0].strip().lower()
    content_type = content_type if _TYPE.fullmatch(content_type) else PLAIN_TYPE
    if head.status != 206:
        size = head.length
        return 0, size, Facts(known.infohash, size, content_type)
    found = _CONTENT_RANGE.fullmatch(head.headers.get("content-range", ""))
    if found is None:
        raise AceProxyError(Reason.ENGINE_ERROR, "a part of a file without its place")
    first, stop = int(found[1]), int(found[2]) + 1
    total = None if found[3] == "*" else int(found[3])
    is_expected = span.suffix is not None or first == (span.first or 0)
    if not is_expected or first >= stop or (total is not None and stop > total):
        raise AceProxyError(Reason.ENGINE_ERROR, "another part of the file than was asked for")
    return first, stop, Facts(known.infohash, total if total is not None else known.size_bytes, content_type)
