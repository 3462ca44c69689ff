"""Fixtures of the system tests: processes that are always ended, by their own ids."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TypeVar

import pytest

from tests.system.calls import Viewer
from tests.system.programs import Engine, Program, Proxy

SYSTEM = Path(__file__).parent

P = TypeVar("P", bound=Program)

Running = Callable[[P], P]


# files whose tests load the machine themselves, or measure what only an idle machine gives
ALONE = {"test_chaos", "test_churn", "test_engine_faults", "test_flood", "test_hls_players", "test_join", "test_kodi"}
ALONE |= {"test_load"}


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark everything in this folder."""
    for item in items:
        if SYSTEM in item.path.parents:
            item.add_marker(pytest.mark.alone if item.path.stem in ALONE else pytest.mark.system)


@pytest.fixture
def programs() -> Iterator[Callable[[P], P]]:
    """Return a function that takes care of the end of a program."""
    yield from _keeper()


@pytest.fixture(scope="module")
def module_programs() -> Iterator[Callable[[P], P]]:
    """The same for programs that several tests of a file share."""
    yield from _keeper()


def _keeper() -> Iterator[Callable[[P], P]]:
    kept: list[Program] = []

    def keep(program: P) -> P:
        kept.append(program)
        return program

    yield keep
    for program in reversed(kept):
        program.end()


@pytest.fixture
def engine(programs: Callable[[Engine], Engine], tmp_path: Path) -> Engine:
    """Return an engine of this test's own."""
    return programs(Engine(tmp_path))


@pytest.fixture
def proxy(programs: Callable[[Proxy], Proxy], engine: Engine, tmp_path: Path) -> Proxy:
    """Return a proxy of this test's own in front of `engine`."""
    return programs(Proxy(tmp_path, engine.url, "linger_s=0.3"))


@pytest.fixture
def view() -> Iterator[Callable[..., Viewer]]:
    """Return a function that opens a viewer, which leaves at the end of the test."""
    viewers: list[Viewer] = []

    def open_viewer(url: str, **options: float) -> Viewer:
        viewer = Viewer(url, **options)  # type: ignore[arg-type]  # passed on as they are
        viewers.append(viewer)
        return viewer

    yield open_viewer
    for viewer in viewers:
        viewer.leave()
