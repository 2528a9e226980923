"""Whether the chroot happened, and where an address of Mongrel2's leads from here."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import pytest

from m2serve.endpoint import Endpoint
from m2serve.errors import ConfigError
from m2serve.mongrel2 import place
from m2serve.mongrel2.database import Server
from m2serve.mongrel2.place import Place

if TYPE_CHECKING:
    from pathlib import Path

DEAD = 2**22 + 1
"""No process has this number."""


def server(chroot: object, pid_file: str = "/run/m2.pid") -> Server:
    return Server("1", "main", str(chroot), pid_file, "", False)


class Files:
    """A machine with a database in ``home`` and a chroot beside it; *owner* tells who wrote which PID file."""

    def __init__(self, base: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        self.home, self.root = base / "home", base / "root"
        self.database = str(self.home / "config.sqlite")
        self.owners: dict[str, int] = {}
        for directory in (self.home / "run", self.root / "run"):
            directory.mkdir(parents=True)
        monkeypatch.setattr(place, "_owner", self._owner)

    def _owner(self, path: str) -> int | None:
        return self.owners.get(os.path.normpath(path)) if os.path.exists(path) else None

    def pid_file(self, path: Path, owner: int, pid: int = DEAD) -> None:
        path.write_text(str(pid))
        self.owners[str(path)] = owner

    def found(self, one: Server) -> Place:
        return place.found(one, self.database)


@pytest.fixture
def files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Files:
    return Files(tmp_path, monkeypatch)


def test_without_a_chroot_it_works_where_the_database_lies(files: Files) -> None:
    assert files.found(server("")) == Place("/", str(files.home))


def test_without_a_chroot_the_process_knows_better(files: Files, monkeypatch: pytest.MonkeyPatch) -> None:
    files.pid_file(files.home / "run" / "m2.pid", 1000, os.getpid())
    assert files.found(server("", "run/m2.pid")) == Place("/", str(files.home)), "this is no Mongrel2"
    with open("/proc/self/comm", encoding="utf-8") as name:
        monkeypatch.setattr(place, "_PROGRAM", name.read().strip())
    assert files.found(server("", "run/m2.pid")) == Place("/", os.getcwd())
    (files.home / "run" / "m2.pid").write_text("nonsense")
    assert files.found(server("", "run/m2.pid")) == Place("/", str(files.home))


@pytest.mark.parametrize("pid_file", ["/run/m2.pid", "run/m2.pid"])
def test_a_pid_file_of_roots_inside_means_that_it_happened(files: Files, pid_file: str) -> None:
    files.pid_file(files.root / "run" / "m2.pid", 0)
    assert files.found(server(files.root, pid_file)) == Place(str(files.root), str(files.root))
    assert files.found(server("../root", pid_file)).root == str(files.root)


def test_somebody_elses_means_that_he_had_no_right_to(files: Files) -> None:
    files.pid_file(files.root / "run" / "m2.pid", 1000)
    assert files.found(server(files.root)) == Place("/", str(files.root))


def test_without_the_right_the_pid_file_is_where_it_was_started(files: Files) -> None:
    files.pid_file(files.home / "run" / "m2.pid", 1000)
    assert files.found(server(files.root)) == Place("/", str(files.home))


def test_one_that_does_not_run_is_believed(files: Files) -> None:
    assert files.found(server(files.root)) == Place(str(files.root), str(files.root), certain=False)


def test_inside_the_same_chroot_we_see_its_pid_file_as_it_does(files: Files) -> None:
    inside = files.home / "run" / "inside.pid"
    files.pid_file(inside, 0)
    assert files.found(server("/no/such/chroot", str(inside))) == Place("/", "/")
    assert files.found(server(files.root, str(inside))).certain is False


# --- addresses ------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("spec", "ours"),
    [
        ("tcp://127.0.0.1:9997", "tcp://127.0.0.1:9997"),
        ("tcp://*:9997", "tcp://127.0.0.1:9997"),
        ("tcp://0.0.0.0:9997", "tcp://127.0.0.1:9997"),
        ("tcp://[::]:9997", "tcp://[::1]:9997"),
        ("tcp://10.0.0.5:9997", "tcp://10.0.0.5:9997"),
        ("ipc:///run/app", "ipc:///srv/m2/run/app"),
        ("ipc://run/app", "ipc:///srv/m2/run/app"),
        ("ipc://@abstract", "ipc://@abstract"),
    ],
)
def test_where_to_connect(spec: str, ours: str) -> None:
    assert str(place.reachable(spec, place.given("/srv/m2"))) == ours


def test_without_a_chroot_an_ipc_path_stays() -> None:
    where = Place("/", "/home/m2")
    assert str(place.reachable("ipc:///run/app", where)) == "ipc:///run/app"
    assert str(place.reachable("ipc://run/app", where)) == "ipc:///home/m2/run/app"


def test_while_nobody_knows_the_socket_that_exists_is_taken(monkeypatch: pytest.MonkeyPatch) -> None:
    exist: set[str] = set()
    monkeypatch.setattr(os.path, "exists", exist.__contains__)
    where = Place("/srv/m2", "/srv/m2", certain=False)
    assert place.reachable("ipc:///run/app", where).path == "/srv/m2/run/app"
    exist.add("/run/app")
    assert place.reachable("ipc:///run/app", where).path == "/run/app"
    assert place.reachable("ipc:///run/app", where._replace(certain=True)).path == "/srv/m2/run/app"
    exist.add("/srv/m2/run/app")
    assert place.reachable("ipc:///run/app", where).path == "/srv/m2/run/app"


@pytest.mark.parametrize(
    ("spec", "reason"),
    [
        ("tcp://127.0.0.1:*", "chosen at the start"),
        ("tcp://127.0.0.1", "has no port"),
        ("inproc://app", "is not an endpoint"),
        ("", "is not an endpoint"),
        ("ipc://" + "x" * 105, "too long"),
    ],
)
def test_where_nobody_can_connect(spec: str, reason: str) -> None:
    with pytest.raises(ConfigError, match=reason):
        place.reachable(spec, place.given("/srv/m2root"))


@pytest.mark.parametrize(
    ("spec", "endpoint", "same"),
    [
        ("tcp://127.0.0.1:9997", "tcp://127.0.0.1:9997", True),
        ("tcp://127.0.0.1:9997", "tcp://localhost:9997", True),
        ("tcp://127.0.0.1:9997", "tcp://127.0.0.1:9998", False),
        ("tcp://127.0.0.1:9997", "tcp://127.0.0.2:9997", False),
        ("tcp://*:9997", "tcp://10.1.2.3:9997", True),
        ("tcp://*:9997", "tcp://10.1.2.3:9996", False),
        ("tcp://[::1]:9997", "tcp://[::1]:9997", True),
        ("ipc:///run/app", "ipc:///run/app", True),
        ("ipc:///run/app", "ipc:///srv/m2/run/app", True),
        ("ipc://run/app", "ipc:///srv/m2/run/app", True),
        ("ipc:///run/app", "ipc:///srv/m2/run/other", False),
        ("ipc:///run/app", "ipc:///srv/m2/rerun/app", False),
        ("ipc://@app", "ipc://@app", True),
        ("ipc:///run/app", "tcp://127.0.0.1:9997", False),
    ],
)
def test_whether_an_address_is_that_of_a_handler(spec: str, endpoint: str, same: bool) -> None:
    assert place.is_at(spec, Endpoint.parse(endpoint)) is same
