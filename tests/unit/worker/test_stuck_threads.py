"""The worker's part: which thread is given up, what is said, and what is not."""

from __future__ import annotations

import signal
import threading
from types import SimpleNamespace

import pytest
from support.heard import hear

from m2serve.transports import sheet as sheets
from m2serve.transports.channel import Verdict
from m2serve.transports.sheet import Sheet, create_sheet
from m2serve.wire.link import Verb
from m2serve.worker.harakiri import Harakiri

THREADS = 2


class Channel:
    def __init__(self, verdict=Verdict.UNANSWERED):
        self.verdict = verdict
        self.replies = []
        self.replied = threading.Event()

    def seize(self):
        return self.verdict

    def reply(self, verdict, message):
        self.replies.append((verdict, message))
        self.replied.set()


class Worker:
    """Threads that are stuck in their first request."""

    def __init__(self, patience=0.0, number=signal.SIGTERM, every=False):
        self.said, self.lines, self.freed = [], [], threading.Event()
        self.sheet = Sheet(create_sheet(THREADS), THREADS)
        self.subscriptions = [SimpleNamespace(channel=Channel()) for _ in range(THREADS)]
        self.threads = [threading.Thread(target=self.stuck_here, daemon=True) for _ in range(THREADS)]
        for thread in self.threads:
            thread.start()
        link = SimpleNamespace(send=lambda verb, payload: self.said.append((verb, payload)))
        cycle = SimpleNamespace(answered=lambda *words: self.lines.append(words))
        self.harakiri = Harakiri(
            link, cycle, self.sheet, self.subscriptions, self.threads, patience=patience, number=number, every=every
        )

    def stuck_here(self):
        self.freed.wait(60)

    def begin(self, core, number):
        self.sheet.cells[core][sheets.NUMBER] = number
        self.sheet.cells[core][sheets.STARTED] = 1

    def accuse(self, core=0, number=7, method="GET"):
        return self.harakiri.accuse({"core": core, "number": number, "id": "id-7", "method": method})


@pytest.fixture
def furnish():
    workers = []

    def make(**how):
        workers.append(Worker(**how))
        return workers[-1]

    yield make
    for worker in workers:
        worker.freed.set()


def test_a_stuck_thread(furnish):
    worker = furnish()
    worker.begin(0, 7)
    assert worker.accuse() == 0
    ((verb, said),) = worker.said
    assert verb is Verb.STUCK
    assert (said["core"], said["number"], said["verdict"], said["others"]) == (0, 7, "answered 504", "")
    assert "stuck_here" in said["stack"]
    channel = worker.subscriptions[0].channel
    assert channel.replied.wait(10)
    ((verdict, message),) = channel.replies
    assert verdict is Verdict.UNANSWERED
    assert message.startswith(b"HTTP/1.1 504 ") and b"id-7" in message
    assert [line[:3] for line in worker.lines] == [(0, 7, 504)]
    assert worker.harakiri.holds(0) and not worker.harakiri.holds(1)


def test_head_has_no_body(furnish):
    worker = furnish()
    worker.begin(0, 7)
    worker.accuse(method="HEAD")
    channel = worker.subscriptions[0].channel
    assert channel.replied.wait(10)
    assert channel.replies[0][1].endswith(b"\r\n\r\n")


@pytest.mark.parametrize("number", [6, 8])
def test_another_request_is_not_meant(furnish, number):
    worker = furnish()
    worker.begin(0, number)
    assert worker.accuse() is None
    assert worker.said == [(Verb.ALIVE, {})], "the master waits for a word"
    assert worker.subscriptions[0].channel.replies == []


def test_one_that_has_finished(furnish):
    worker = furnish()
    worker.begin(0, 7)
    worker.subscriptions[0].channel = Channel(None)
    assert worker.accuse() is None
    worker.subscriptions[0].channel = None
    assert worker.accuse() is None
    assert [verb for verb, _ in worker.said] == [Verb.ALIVE] * 2
    assert not worker.harakiri.holds(0)


def test_a_thread_is_given_up_once(furnish):
    worker = furnish()
    worker.begin(0, 7)
    worker.accuse()
    assert worker.accuse() is None
    assert worker.said[-1] == (Verb.ALIVE, {})


def test_no_line_for_what_had_begun(furnish):
    worker = furnish(every=True)
    worker.begin(0, 7)
    worker.subscriptions[0].channel = Channel(Verdict.BEGUN)
    worker.accuse()
    assert worker.lines == []
    assert "stuck_here" in worker.said[0][1]["others"], "the other thread's"


def test_patience(furnish):
    worker = furnish(patience=60.0)
    worker.begin(0, 7)
    worker.accuse()
    assert not worker.harakiri.holds(0)


@pytest.mark.parametrize("patience", [0.0, 60.0])
def test_the_handler_of_the_application(furnish, patience, caplog, monkeypatch):
    hear(monkeypatch, "m2serve.worker")
    called = []

    def handler(number, frame):
        called.append(number)
        raise ValueError("raised by the handler")

    before = signal.signal(signal.SIGUSR2, handler)
    try:
        furnish(patience=patience, number=signal.SIGUSR2).harakiri.warn()
    finally:
        signal.signal(signal.SIGUSR2, before)
    assert called == ([signal.SIGUSR2] if patience else [])
    assert ("raised by the handler" in caplog.text) is bool(patience)


def test_without_a_handler_nothing_is_sent(furnish):
    assert signal.getsignal(signal.SIGUSR2) is signal.SIG_DFL
    furnish(patience=60.0, number=signal.SIGUSR2).harakiri.warn()
