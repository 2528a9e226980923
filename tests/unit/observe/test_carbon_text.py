"""The lines for Graphite: names, numbers, what is left out."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from m2serve.ids import Seconds
from m2serve.observe.carbon import Report
from m2serve.observe.snapshot import Core, Life, Listening, RunningRequest, Snapshot, Socket, Totals, Worker

if TYPE_CHECKING:
    from collections.abc import Callable

DOOR = Listening("127.0.0.1:8000", "http", 0, 100, 0, shared=False)
MONGREL2 = Socket("tcp://127.0.0.1:9001", 1, 0, 0)
WHEN = 1795296366


def life(*cores: Core, harakiris: int = 0, sent: int = 0) -> Life:
    return Life(1, 7, 1, "ready", True, 0.0, 1.0, 0, 0, cores, (), Core(sent=sent), harakiris)


def state(*workers: Worker, doors: tuple[Listening, ...] = (DOOR,)) -> Snapshot:
    return Snapshot("x", 1, 0, 0, "/", WHEN + 0.9, 1, False, 10, workers, (MONGREL2,), (), None, doors=doors)


def told(report: Report, snapshot: Snapshot, now: float) -> dict[str, int]:
    """Numbers by the end of their names."""
    lines = report.text(snapshot, Seconds(now)).decode().splitlines()
    assert {line.rpartition(" ")[2] for line in lines} == {str(WHEN)}
    pairs = [line.split(" ")[:2] for line in lines]
    assert len(dict(pairs)) == len(pairs)  # type: ignore[arg-type]
    return {name.removeprefix("uwsgi.web1.id."): int(value) for name, value in pairs}


@pytest.fixture
def report() -> Callable[..., Report]:
    def make(**how: Any) -> Report:
        made = Report("uwsgi", "web1", "id", **how)
        made.begin(Seconds(100.0))
        return made

    return make


def test_the_lines_of_uwsgi() -> None:
    """Measured with 2.0.21: two workers, one of which had never been started; numbers and order are its own."""
    report = Report("uwsgi", "web1", cheaper=True)
    report.begin(Seconds(0.0))
    first = Worker(1, 1, Totals(), (life(Core(requests=5, average=158, sent=1000), sent=170),))
    text = report.text(state(first, Worker(0, 0, Totals(), ())), Seconds(10.0))
    assert text.decode() == "".join(
        f"uwsgi.web1.127_0_0_1:8000.{line} {WHEN}\n"
        for line in """\
requests 5
worker1.requests 5
worker1.avg_rt 158
worker1.tx 1170
worker1.busyness 0
worker1.harakiri 0
worker2.requests 0
worker2.avg_rt 0
worker2.tx 0
worker2.busyness 0
worker2.harakiri 0
avg_rt 158
tx 1170
busyness 0
active_workers 1
cheaped_workers 1
harakiri 0""".splitlines()
    )


def test_sums_alone(report: Any) -> None:
    workers = [Worker(number, 1, Totals(), (life(Core(requests=number, average=100 * number)),)) for number in (1, 2)]
    found = told(report(singly=False), state(*workers), 110.0)
    assert found == {"requests": 3, "avg_rt": 150, "tx": 0, "busyness": 0, "active_workers": 2, "harakiri": 0}


def test_all_lives_count(report: Any) -> None:
    worker = Worker(1, 3, Totals(requests=10, sent=50, harakiris=1), (life(Core(requests=2, sent=5), harakiris=1),))
    found = told(report(), state(worker), 110.0)
    assert (found["worker1.requests"], found["worker1.tx"], found["worker1.harakiri"]) == (12, 55, 2)


def test_how_busy_the_threads_were(report: Any) -> None:
    report = report()

    def busy(*seconds: float, running: float = 0.0) -> Worker:
        request = RunningRequest("GET", "/", "id", 0.0, int(running * 1e6)) if running else None
        cores = [Core(busy=int(one * 1e6)) for one in seconds]
        return Worker(1, 1, Totals(), (life(*cores[:-1], cores[-1]._replace(request=request)),))

    assert told(report, state(busy(5, 5)), 110.0)["worker1.busyness"] == 50
    assert told(report, state(busy(5, 5)), 120.0)["worker1.busyness"] == 0
    # what still runs has been running
    assert told(report, state(busy(5, 5, running=2)), 130.0)["worker1.busyness"] == 10
    # never more, whatever two clocks say
    assert told(report, state(busy(50, 50)), 140.0)["busyness"] == 100
    # a life is over, and its sum nowhere for a moment
    assert told(report, state(Worker(1, 1, Totals(), ())), 150.0)["worker1.busyness"] == 0


@pytest.mark.parametrize(("idle", "expected"), [("last", [70, 70]), ("zero", [70, 0]), ("none", [70, None])])
def test_the_mean_time_of_no_requests(report: Any, idle: str, expected: list[int | None]) -> None:
    report = report(idle=idle)
    worker = Worker(1, 1, Totals(), (life(Core(requests=3, average=70)),))
    found = [told(report, state(worker), now) for now in (110.0, 120.0)]
    assert [one.get("avg_rt") for one in found] == expected
    assert [one.get("worker1.avg_rt") for one in found] == expected


def test_who_has_never_lived_gets_a_number_that_is_free(report: Any) -> None:
    workers = [Worker(number, 1, Totals(), ()) for number in (1, 3)] + [Worker(0, 0, Totals(), ())] * 2
    found = told(report(), state(*workers), 110.0)
    assert [name for name in found if name.endswith(".tx")] == [f"worker{number}.tx" for number in (1, 2, 3, 4)]


def test_names_have_no_blanks_and_those_of_mongrel2_no_scheme() -> None:
    text = Report("shop", "web 1.example", cheaper=False).text(state(doors=()), Seconds(1.0)).decode()
    assert text.startswith("shop.web_1.example.127_0_0_1:9001.requests 0 ")
