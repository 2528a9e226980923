"""Who gets which request, what waits where, and whom an answer may reach."""

from __future__ import annotations

import select
import threading
import time
from collections import Counter
from typing import TYPE_CHECKING

import psutil
import pytest
from support.http import Connection, get, request_bytes
from support.load import Load
from support.server import wait_until

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from support.mongrel2 import Mongrel2
    from support.server import Server

QUIET = ("--disable-logging",)
SCHEMES = pytest.mark.parametrize("scheme", ["tcp", "ipc"])


@pytest.fixture
def hold(mongrel2: Mongrel2) -> Iterator[Callable[[str, int], list[Connection]]]:
    """Send requests whose answers are read later, if at all."""
    clients: list[Connection] = []

    def start(target: str, count: int) -> list[Connection]:
        new = [Connection(mongrel2.address) for _ in range(count)]
        clients.extend(new)
        for client in new:
            client.send(request_bytes(target))
        return new

    yield start
    for client in clients:
        client.close()


def answered(clients: list[Connection]) -> int:
    """How many of them have something to read."""
    return len(select.select([client.socket for client in clients], [], [], 0)[0])


def test_one_slow_request_holds_up_nobody(
    mongrel2: Mongrel2, serve: Callable[..., Server], hold: Callable[[str, int], list[Connection]], tmp_path: Path
) -> None:
    """Mongrel2 deals requests out in turn; a thread that got one behind the slow one would keep it waiting."""
    server = serve(mongrel2, processes=2, threads=1, options=QUIET)
    (slow,) = hold(f"/until{tmp_path}/gate", 1)
    server.wait_log("^begun")
    for _ in range(100):
        assert get(mongrel2.address).status == 200
    assert not answered([slow])
    (tmp_path / "gate").touch()
    assert slow.read().status == 200


def test_a_busy_worker_gets_no_more_than_its_threads(
    mongrel2: Mongrel2, serve: Callable[..., Server], hold: Callable[[str, int], list[Connection]], tmp_path: Path
) -> None:
    server = serve(mongrel2, processes=2, threads=3, options=QUIET)
    everybody = {(str(pid), f"core-{core}") for pid in server.pids("worker").values() for core in range(3)}

    def begun(gate: str) -> int:
        return server.log.count(f"{gate}\n")

    first = hold(f"/until{tmp_path}/first", 6)
    wait_until(lambda: begun("first") == 6, 20, "six that have begun")
    second = hold(f"/until{tmp_path}/second", 6)
    assert begun("second") == 0
    for clients, gate in ((first, "first"), (second, "second")):
        wait_until(lambda gate=gate: begun(gate) == 6, 20, f"six that have begun: {gate}")
        (tmp_path / gate).touch()
        assert {tuple(client.read().text.split()) for client in clients} == everybody


def test_the_work_is_spread(mongrel2: Mongrel2, serve: Callable[..., Server]) -> None:
    server = serve(mongrel2, processes=4, threads=2, options=QUIET)
    with Load(mongrel2.address, "/pid/0.01", clients=8) as load:
        load.more(400)
    share = Counter(result.body.split()[0].decode() for result in load.results)
    assert set(share) == {str(pid) for pid in server.pids("worker").values()}
    assert min(share.values()) > len(load.results) / 20, share


def test_what_no_thread_can_take_waits(mongrel2: Mongrel2, serve: Callable[..., Server]) -> None:
    serve(mongrel2, processes=1, threads=2, options=QUIET)
    with Load(mongrel2.address, "/sleep/0.02", clients=16) as load:
        load.more(200)
    assert set(load.summary()) == {"200"}
    # each waits for those before it: one that waited for all would be overtaken by nearly all of the 200
    assert load.overtaken() < 100


def test_beyond_the_queue_limit_is_503(
    mongrel2: Mongrel2, serve: Callable[..., Server], hold: Callable[[str, int], list[Connection]], tmp_path: Path
) -> None:
    server = serve(mongrel2, processes=1, threads=1, options=("--queue-limit", "3"))
    assert get(mongrel2.address).status == 200
    clients = hold(f"/until{tmp_path}/gate", 1)
    server.wait_log("begun ")  # while it waits for the thread to be free it takes a place
    clients += hold(f"/until{tmp_path}/gate", 7)
    wait_until(lambda: answered(clients) == 4, 20, "those that are refused")
    (tmp_path / "gate").touch()
    assert sorted(client.read().status for client in clients) == [200] * 4 + [503] * 4


def test_waiting_too_long_is_503(
    mongrel2: Mongrel2, serve: Callable[..., Server], hold: Callable[[str, int], list[Connection]], tmp_path: Path
) -> None:
    server = serve(mongrel2, processes=1, threads=1, options=("--queue-timeout", "0.3"))
    assert get(mongrel2.address).status == 200
    clients = hold(f"/until{tmp_path}/gate", 1)
    server.wait_log("begun ")
    clients += hold(f"/until{tmp_path}/gate", 2)
    wait_until(lambda: answered(clients) == 2, 20, "those that waited too long")
    (tmp_path / "gate").touch()
    responses = [client.read() for client in clients]
    assert sorted(response.status for response in responses) == [200, 503, 503]
    assert get(mongrel2.address).status == 200


@SCHEMES
@pytest.mark.parametrize("options", [(), ("--zeromq-direct",)], ids=["dispatched", "direct"])
def test_two_servers_never_mix(
    start_mongrel2: Callable[..., Mongrel2], serve: Callable[..., Server], scheme: str, options: tuple[str, ...]
) -> None:
    """Both number their connections from 1."""
    first, second = start_mongrel2(scheme=scheme), start_mongrel2(scheme=scheme, protocol="json")
    serve(first, second, options=(*options, *QUIET))
    with (
        Load(first.address, "/sleep/0.003/first", clients=6) as one,
        Load(second.address, "/sleep/0.003/second", clients=6) as two,
    ):
        one.more(300)
        two.more(300)
    for load, name in ((one, b"first"), (two, b"second")):
        assert set(load.summary()) == {"200"}, load.summary()
        assert {result.body for result in load.results} == {b"/sleep/0.003/" + name}


def test_one_server_gone_leaves_the_other_in_peace(
    start_mongrel2: Callable[..., Mongrel2], serve: Callable[..., Server]
) -> None:
    first, second = start_mongrel2(), start_mongrel2()
    serve(first, second, options=QUIET)
    with Load(second.address, clients=4) as load:
        load.more(50)
        first.kill()
        load.more(50, since=time.monotonic())
        first.restart()
        wait_until(lambda: get(first.address).status == 200, 20, "the first one is back")
    assert set(load.summary()) == {"200"}
    assert load.worst() < 5.0


@SCHEMES
@pytest.mark.parametrize("options", [(), ("--zeromq-direct",)], ids=["dispatched", "direct"])
def test_a_late_answer_never_reaches_a_newcomer(
    start_mongrel2: Callable[..., Mongrel2],
    serve: Callable[..., Server],
    scheme: str,
    options: tuple[str, ...],
    tmp_path: Path,
) -> None:
    """A restarted Mongrel2 gives the old connection ids to new clients."""
    mongrel2 = start_mongrel2(scheme=scheme)
    server = serve(mongrel2, threads=8, options=(*options, *QUIET))
    old = [Connection(mongrel2.address) for _ in range(4)]
    for client in old:
        client.send(request_bytes(f"/until{tmp_path}/gate"))
    server.wait_log("^begun")
    mongrel2.kill()
    for client in old:
        assert client.read_to_end() == b""
        client.close()
    mongrel2.restart()
    new = [Connection(mongrel2.address) for _ in range(8)]
    for number, client in enumerate(new):
        client.send(request_bytes(f"/sleep/0/{number}"))
    # their ids are given; direct, some may wait behind one of the old
    wait_until(lambda: answered(new) >= 2, 20, "Mongrel2 knows the new")
    (tmp_path / "gate").touch()
    for number, client in enumerate(new):
        assert client.read().text == f"/sleep/0/{number}"
    deadline = time.monotonic() + 1.0
    # they stay through the moment at which the old answers come
    while time.monotonic() < deadline:
        for number, client in enumerate(new):
            assert client.request(f"/sleep/0/{number}").text == f"/sleep/0/{number}"
    for client in new:
        client.close()


@SCHEMES
def test_a_restart_of_mongrel2_is_survived(
    start_mongrel2: Callable[..., Mongrel2], serve: Callable[..., Server], scheme: str
) -> None:
    mongrel2 = start_mongrel2(scheme=scheme)
    server = serve(mongrel2, options=QUIET)
    before = server.pids()
    for _ in range(3):
        assert get(mongrel2.address).status == 200
        mongrel2.kill()
        mongrel2.restart()
        assert get(mongrel2.address).status == 200
    assert server.pids() == before


def test_mongrel2_may_come_later(start_mongrel2: Callable[..., Mongrel2], serve: Callable[..., Server]) -> None:
    mongrel2 = start_mongrel2()
    mongrel2.kill()
    serve(mongrel2)
    mongrel2.restart()
    assert get(mongrel2.address).status == 200


def test_a_paused_mongrel2_loses_no_answer(mongrel2: Mongrel2, serve: Callable[..., Server]) -> None:
    """Answers pile up while nobody reads them; none may be dropped, and no thread may die of it."""
    serve(mongrel2, processes=2, threads=8, options=QUIET)
    answers: list[bytes] = []

    def client() -> None:
        answers.append(get(mongrel2.address, "/big/300000").body)

    threads = [threading.Thread(target=client) for _ in range(32)]
    for thread in threads:
        thread.start()
    mongrel2.freeze()
    time.sleep(0.5)  # the time of the freeze is the test
    mongrel2.thaw()
    for thread in threads:
        thread.join()
    assert [len(answer) for answer in answers] == [300_000] * 32


def test_the_dispatcher_sleeps_where_requests_come_seldom(mongrel2: Mongrel2, serve: Callable[..., Server]) -> None:
    """Under load it looks for the next request without sleeping, which must end with the load."""
    server = serve(mongrel2, processes=1, threads=4, options=QUIET)
    with Load(mongrel2.address, "/", clients=4) as load:
        wait_until(lambda: len(load.results) > 200, 30, "requests under load")
    dispatcher = psutil.Process(server.pids("dispatcher")["dispatcher"])
    before = sum(dispatcher.cpu_times()[:2])
    for _ in range(50):
        assert get(mongrel2.address).status == 200
        time.sleep(0.02)
    assert sum(dispatcher.cpu_times()[:2]) - before < 0.5
