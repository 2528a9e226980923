from __future__ import annotations

import os
import sys
import threading
from typing import TYPE_CHECKING, Any

import pytest

from m2serve.apps.cache.cache import Caches
from m2serve.apps.uwsgi.install import begin, install
from m2serve.apps.uwsgi.locks import Locks
from m2serve.apps.uwsgi.running import Running
from m2serve.config.caches import CacheLine
from m2serve.config.settings import load
from m2serve.master.caches import make_caches

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

DOOR = ("--module", "x", "--zeromq", "tcp://127.0.0.1:1,tcp://127.0.0.1:2")


class Node:
    """What the module hangs on, told by the test."""

    def __init__(self, *options: str) -> None:
        self.fd = os.memfd_create("test")
        self.number: int | None = None
        self.told: list[int] = []
        self.running = Running(load([*DOOR, *options], {}), self.fd, master=4711, started=0.0)
        self.running.request = lambda: self.number
        self.running.total = lambda: 99
        self.running.tell_master = self.told.append  # type: ignore[method-assign]


@pytest.fixture
def _untouched(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "modules", {k: v for k, v in sys.modules.items() if not k.startswith("uwsgi")})
    monkeypatch.setattr(sys, "meta_path", list(sys.meta_path))
    monkeypatch.setattr(sys, "path", list(sys.path))
    monkeypatch.setattr("atexit.register", lambda function: function)


@pytest.fixture
def node(_untouched: None) -> Iterator[Node]:
    node = Node("-p", "3", "--threads", "2", "--env", "A=1", "--env", "B=2")
    install(node.running)
    yield node
    node.running.clock.stop()
    os.close(node.fd)


@pytest.fixture
def uwsgi(node: Node) -> Any:
    import uwsgi

    return uwsgi


def test_nobody_has_it_who_does_not_ask(node: Node) -> None:
    assert "uwsgi" not in sys.modules
    begin()
    assert "uwsgi" not in sys.modules


def test_who_and_what(node: Node, uwsgi: Any) -> None:
    assert uwsgi.__name__ == "uwsgi"
    assert uwsgi.version_info > (2, 0, 20)
    assert uwsgi.version.startswith(b"2.0.")
    assert (uwsgi.worker_id(), uwsgi.mule_id(), uwsgi.masterpid()) == (0, 0, 4711)
    node.running.worker = 2
    assert uwsgi.worker_id() == 2
    assert (uwsgi.numproc, uwsgi.cores, uwsgi.total_requests(), uwsgi.request_id()) == (3, 2, 99, 0)
    rss, size = uwsgi.mem()
    assert 0 < rss <= size
    assert isinstance(uwsgi.hostname, bytes)


def test_options(uwsgi: Any) -> None:
    assert uwsgi.opt["processes"] == uwsgi.opt["workers"] == b"3"
    assert uwsgi.opt["env"] == b"B=2"
    for name in ("master", "enable-threads", "single-interpreter", "py-call-osafterfork"):
        assert uwsgi.opt[name] == b"true", name
    assert not {"disable-logging", "thunder-lock", "chdir", "virtualenv"} & uwsgi.opt.keys()
    assert all(type(key) is str and type(value) is bytes for key, value in uwsgi.opt.items())


def test_what_is_missing_says_why(uwsgi: Any) -> None:
    assert not hasattr(uwsgi, "queue_get") and not hasattr(uwsgi, "spool")
    assert getattr(uwsgi, "atexit", None) is None and getattr(uwsgi, "post_fork_hook", None) is None
    with pytest.raises(AttributeError, match=r"uwsgi\.queue_get: there is no shared memory"):
        uwsgi.queue_get("key")
    with pytest.raises(AttributeError, match=r"uwsgi\.sharedarea_read: there is no shared memory"):
        uwsgi.sharedarea_read(0, 0)
    with pytest.raises(AttributeError, match=r"uwsgi\.frobnicate: m2serve does not have it"):
        uwsgi.frobnicate()
    with pytest.raises(ImportError):
        exec("from uwsgi import spool")


def test_without_a_cache_nothing_is_kept(uwsgi: Any) -> None:
    assert uwsgi.cache_set("a", "1") is None
    assert uwsgi.cache_update("a", b"1") is None
    assert uwsgi.cache_get("a") is None
    assert uwsgi.cache_exists("a") is None
    assert uwsgi.cache_del("a") is None
    assert uwsgi.cache_inc("a") is None
    assert uwsgi.cache_num("a") == 0
    assert uwsgi.cache_clear() is None
    with pytest.raises(ValueError, match="no local uWSGI cache"):
        uwsgi.cache_keys()


def test_caches(node: Node, uwsgi: Any) -> None:
    lines = CacheLine.parse("name=one,items=5"), CacheLine.parse("name=two,items=5")
    fds = make_caches(lines, {})
    node.running.caches = Caches(lines, fds)
    assert uwsgi.cache_set("a", "text") is True
    assert uwsgi.cache_set(b"a", "other") is None
    assert uwsgi.cache_update("a", b"new", 100) is True
    assert uwsgi.cache_get(b"a") == uwsgi.cache_get("a", "") == uwsgi.cache_get("a", "one") == b"new"
    assert uwsgi.cache_get("a", "two") is None
    assert uwsgi.cache_get("a", "three") is None
    assert uwsgi.cache_exists("a") is True
    assert uwsgi.cache_exists("b") is None
    assert uwsgi.cache_inc("n", 7, 0, "two") is True
    assert uwsgi.cache_dec("n", 1, 0, "two") is uwsgi.cache_mul("n", 4, 0, "two") is True
    assert uwsgi.cache_div("n", 3, 0, "two") is True
    assert uwsgi.cache_num("n", "two") == 8
    assert uwsgi.cache_keys() == [b"a"]
    assert uwsgi.cache_del("a") is True
    assert uwsgi.cache_del("a") is None
    assert uwsgi.cache_clear("two") is True
    assert uwsgi.cache_keys("two") == []
    with pytest.raises(TypeError):
        uwsgi.cache_set("number", 3)
    with pytest.raises(ValueError, match="no local uWSGI cache"):
        uwsgi.cache_keys("three")
    for fd in fds.values():
        os.close(fd)


def test_a_forked_child_lets_go_of_locks(node: Node) -> None:
    mine, other = Locks(node.fd), Locks(node.fd)
    assert mine.acquire(3)
    assert not other.acquire(3, wait=False)
    mine.let_go()
    assert other.acquire(3, wait=False)
    assert not mine.acquire(3, wait=False)
    other.release(3)
    assert mine.acquire(3, wait=False)
    mine.release(3)


def test_orders_for_the_master(node: Node, uwsgi: Any) -> None:
    assert uwsgi.reload() and uwsgi.stop()
    assert node.told == [1, 2]


def test_the_log(uwsgi: Any, capfd: pytest.CaptureFixture[str]) -> None:
    assert uwsgi.log("text") and uwsgi.log(b"bytes")
    assert capfd.readouterr().err == "text\nbytes\n"


def test_the_log_as_the_options_want_it(node: Node, uwsgi: Any) -> None:
    said: list[bytes] = []
    node.running.say = said.append
    uwsgi.log("text")
    assert said == [b"text\n"]


def test_an_alarm(node: Node, uwsgi: Any) -> None:
    assert uwsgi.alarm("boss", "nobody is told") is None
    raised: list[tuple[str, bytes]] = []
    node.running.raise_alarm = lambda name, text: raised.append((name, text))
    uwsgi.alarm("boss", "it burns")
    uwsgi.alarm("boss", b"\xff")
    assert raised == [("boss", b"it burns"), ("boss", b"\xff")]


def test_variables_belong_to_a_request(node: Node, uwsgi: Any) -> None:
    uwsgi.set_logvar("user", "nobody")
    assert uwsgi.get_logvar("user") is None
    node.number = 7
    uwsgi.set_logvar("user", "kate")
    uwsgi.set_logvar("site", b"a")
    assert (uwsgi.get_logvar("user"), uwsgi.get_logvar("site"), uwsgi.get_logvar("x")) == (b"kate", b"a", None)
    elsewhere: list[bytes | None] = []
    thread = threading.Thread(target=lambda: elsewhere.append(uwsgi.get_logvar("user")))
    thread.start()
    thread.join()
    assert elsewhere == [None]
    node.number = 8
    assert uwsgi.get_logvar("user") is None
    uwsgi.set_logvar("site", "b")
    assert uwsgi.get_logvar("user") is None


def test_locks(uwsgi: Any) -> None:
    assert not uwsgi.is_locked()
    uwsgi.lock()
    assert uwsgi.is_locked() and not uwsgi.is_locked(1)
    uwsgi.unlock()
    uwsgi.unlock()
    assert not uwsgi.is_locked()
    for number in (-1, 256):
        with pytest.raises(ValueError, match=f"lock {number}: expected 0 to 255"):
            uwsgi.lock(number)


def test_signals(node: Node, uwsgi: Any) -> None:
    seen: list[int] = []
    rung = threading.Event()

    def handler(number: int) -> None:
        seen.append(number)
        rung.set()

    uwsgi.register_signal(17, "", handler)
    uwsgi.register_signal(18, "workers", handler)
    uwsgi.register_signal(19, "worker2", handler)
    assert uwsgi.signal_registered(17) and not uwsgi.signal_registered(3)
    node.running.worker = 1
    uwsgi.begin()
    uwsgi.signal(17)
    assert rung.wait(10) and seen == [17]
    for number, words in ((3, "not registered"), (18, "other workers"), (19, "other workers")):
        with pytest.raises(ValueError, match=words):
            uwsgi.signal(number)
    for target in ("mule", "spooler", "workerx", "worker0"):
        with pytest.raises(ValueError, match="there are only workers"):
            uwsgi.register_signal(20, target, handler)
    with pytest.raises(ValueError, match="expected 0 to 255"):
        uwsgi.register_signal(256, "", handler)
    with pytest.raises(ValueError, match="expected more than 0"):
        uwsgi.add_timer(17, 0)


def test_hooks_after_the_fork(node: Node, uwsgi: Any, caplog: pytest.LogCaptureFixture) -> None:
    import uwsgidecorators

    called: list[str] = []

    @uwsgidecorators.postfork
    def first() -> None:
        called.append("first")

    @uwsgidecorators.postfork
    def failing() -> None:
        raise RuntimeError("of the application's")

    @uwsgidecorators.postfork(2)
    def second() -> None:
        called.append("in worker 2")

    @uwsgidecorators.postfork(1)
    def other() -> None:
        called.append("in worker 1")

    uwsgi.post_fork_hook = lambda: called.append("own")
    assert called == []
    node.running.worker = 2
    begin()
    assert called == ["own", "first", "in worker 2"]
    assert "postfork failed" in caplog.text


def test_decorators(node: Node, uwsgi: Any) -> None:
    import uwsgidecorators as decorators

    done = threading.Event()

    @decorators.thread
    def background(value: int) -> None:
        assert value == 5
        done.set()

    @decorators.lock
    def alone(value: int) -> tuple[int, bool]:
        return value, uwsgi.is_locked()

    background(5).join(10)
    assert done.is_set()
    assert alone(3) == (3, True) and not uwsgi.is_locked()
    ticked = threading.Event()

    @decorators.timer(0.01)
    def tick(number: int) -> None:
        assert uwsgi.signal_registered(number)
        ticked.set()

    @decorators.cron(0, 3, -1, -1, -1, target="workers")
    def nightly(number: int) -> None: ...

    @decorators.rbtimer(1000, 2, signum=40)
    def later(number: int) -> None: ...

    @decorators.signal(41)
    def on_signal(number: int) -> None: ...

    assert all(uwsgi.signal_registered(number) for number in (0, 1, 40, 41))
    uwsgi.begin()
    assert ticked.wait(10)
    for name in ("spool", "muled", "filemon"):
        with pytest.raises(NotImplementedError, match=f"@{name}: "):
            getattr(decorators, name)(tick)


def test_an_applications_own_module_of_that_name(node: Node, tmp_path: Path) -> None:
    (tmp_path / "uwsgi.py").write_text("application = 1\n")
    sys.path.insert(0, str(tmp_path))
    import uwsgi

    assert uwsgi.application == 1  # type: ignore[attr-defined]
    begin()
    with pytest.raises(ImportError, match="a module uwsgi of its own"):
        import uwsgidecorators  # noqa: F401


def test_a_directory_of_that_name_is_no_module(node: Node, tmp_path: Path) -> None:
    (tmp_path / "uwsgi").mkdir()
    sys.path.insert(0, str(tmp_path))
    import uwsgi

    assert uwsgi.masterpid() == 4711


def test_deadlines(node: Node, uwsgi: Any) -> None:
    import uwsgidecorators

    asked: list[float] = []
    node.running.end_by = asked.append
    uwsgi.set_user_harakiri(5)

    @uwsgidecorators.harakiri(7)
    def bounded(value: int) -> int:
        return value

    assert bounded(1) == 1
    assert asked == [5, 7, 0]
    for seconds in (-1, float("nan"), float("inf")):
        with pytest.raises(ValueError, match="expected 0 or more"):
            uwsgi.set_user_harakiri(seconds)


def test_its_own_exit_function(uwsgi: Any) -> None:
    called: list[int] = []
    uwsgi.atexit = lambda: called.append(1)
    uwsgi.begin()
    uwsgi._end()
    assert called == [1]
