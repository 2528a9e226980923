"""Fixtures and rules for every test."""

from __future__ import annotations

import itertools
import shutil
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

import hypothesis
import pytest
from support.alone import Room
from support.http import close_all
from support.mongrel2 import Mongrel2, require
from support.server import APPS, Server

if TYPE_CHECKING:
    from collections.abc import Callable, Generator, Iterator

# These machines are shared: how long an example takes says nothing about it.
hypothesis.settings.register_profile("m2serve", deadline=None, suppress_health_check=[hypothesis.HealthCheck.too_slow])
hypothesis.settings.load_profile("m2serve")

_HERE = Path(__file__).parent
_SLOW = {"process", "mongrel2"}
_PROCESS_SECONDS = 60
_room = Room()


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Process tests come last, each with a limit of its own; behind them those that want to be alone."""
    for item in items:
        if _slow(item) and item.get_closest_marker("timeout") is None:
            item.add_marker(pytest.mark.timeout(_PROCESS_SECONDS))
    items.sort(key=lambda item: (_slow(item), _alone(item)))


@pytest.hookimpl(wrapper=True, tryfirst=True)
def pytest_runtest_protocol(item: pytest.Item) -> Generator[None, object, object]:
    """Wait for the others before the clock of pytest-timeout runs."""
    with _room.held(alone=_alone(item)):
        return (yield)


def _slow(item: pytest.Item) -> bool:
    return item.path.is_relative_to(_HERE) and item.path.relative_to(_HERE).parts[0] in _SLOW


def _alone(item: pytest.Item) -> bool:
    return item.get_closest_marker("alone") is not None


@pytest.fixture(autouse=True)
def _closed_connections() -> Iterator[None]:
    """A test that fails must not fail the next one by what it leaves to the garbage collector."""
    yield
    close_all()


@pytest.fixture
def public_path() -> Iterator[Callable[[], Path]]:
    """Makes directories for what runs as another user, who cannot go through those of pytest."""
    made: list[Path] = []

    def make() -> Path:
        made.append(Path(tempfile.mkdtemp(prefix="m2serve-tests-")))
        made[-1].chmod(0o755)
        return made[-1]

    yield make
    for directory in made:
        shutil.rmtree(directory)


@pytest.fixture
def start_mongrel2(tmp_path: Path, public_path: Callable[[], Path]) -> Iterator[Callable[..., Mongrel2]]:
    """Start a Mongrel2; several calls start several."""
    require()
    started: list[Mongrel2] = []

    def start(**options: object) -> Mongrel2:
        if {"owner", "user"} & options.keys():
            directory = public_path()
        else:
            directory = tmp_path / f"m{len(started)}"
            directory.mkdir()
        mongrel2 = Mongrel2(directory, **options)  # type: ignore[arg-type]
        started.append(mongrel2)
        return mongrel2.start()

    yield start
    for mongrel2 in started:
        mongrel2.kill()  # leaving in good order takes it a second, and it has nothing to lose


@pytest.fixture
def mongrel2(start_mongrel2: Callable[..., Mongrel2]) -> Mongrel2:
    """The one Mongrel2 of most tests."""
    return start_mongrel2()


@pytest.fixture
def start_server(tmp_path: Path, public_path: Callable[[], Path]) -> Iterator[Callable[..., Server]]:
    """Run m2serve with arguments; at the end nothing of it may be left, nor an unexpected word in its log."""
    started: list[Server] = []
    numbers = itertools.count()

    def start(*args: str, **options: object) -> Server:
        if "user" in options:
            directory = public_path()
        else:
            directory = tmp_path / f"s{next(numbers)}"
            directory.mkdir()
        server = Server(directory, *args, **options)  # type: ignore[arg-type]
        started.append(server)
        return server

    yield start
    problems = [problem for server in started for problem in server.finish()]
    assert not problems, "\n".join(problems)


@pytest.fixture
def serve(start_server: Callable[..., Server]) -> Callable[..., Server]:
    """Run m2serve for some Mongrel2 servers, with the applications of the tests; returns when it serves."""

    def start(
        *mongrels: Mongrel2,
        module: str = "probe",
        processes: int = 2,
        threads: int = 4,
        options: tuple[str, ...] = (),
    ) -> Server:
        args = [word for one in mongrels for word in ("--zeromq", one.pair)]
        args += ["-p", str(processes), "--threads", str(threads), "--pythonpath", str(APPS), "--module", module]
        return start_server(*args, *options).wait_ready(processes)

    return start
