"""Which engines have been tried in vain for which links, while something is looked for. Pure."""

from __future__ import annotations

from dataclasses import replace

from aceproxy.streams.ways import Way


class Tried:
    """What was of no use since it was last cleared: links by number, each with engines by URL."""

    def __init__(self) -> None:
        self._tried: set[tuple[int, str]] = set()

    def __bool__(self) -> bool:
        """Whether there is anything."""
        return bool(self._tried)

    def add(self, at: int, engine: str | None) -> None:
        """Link number `at` was tried on an engine, if one had been chosen."""
        if engine is not None:
            self._tried.add((at, engine))

    def clear(self) -> None:
        """What is looked for was found, or something else is."""
        self._tried.clear()

    def others(self, way: Way, fit: frozenset[str]) -> Way | None:
        """Return a way without the engines that were tried for it; None where no other one is `fit`."""
        exclude = way.exclude | {engine for at, engine in self._tried if at == way.at}
        return replace(way, exclude=exclude) if fit - exclude else None
