"""The stats document as a pure function of a snapshot."""

from __future__ import annotations

import json
from typing import Any

import pytest

from m2serve.observe.snapshot import (
    App,
    Core,
    Cron,
    Daemon,
    Dispatcher,
    Life,
    Listening,
    RunningRequest,
    Snapshot,
    Socket,
    Totals,
    Worker,
)
from m2serve.observe.stats import document, encode, shown

ANSWERED = {"400": 1, "413": 0, "502": 2, "503": 7, "other": 0}
DISPATCHER = Dispatcher(99, "READY", 1, 50, 3, 0, 2, 1, 1234, ANSWERED, 4, 5)
RUNNING = RunningRequest("GET", "/a%20b?c=d", "0000abcd-1f", 1700000000.75, 1_500_000)


def life(key: int, *, ready: bool = True, cores: tuple[Core, ...] = (), **more: Any) -> Life:
    facts = {
        "key": key, "pid": 100 + key, "generation": 1, "state": "READY" if ready else "STARTING", "ready": ready,
        "started": 1700000000.5, "loading": 1.9, "rss": 10, "vsz": 20, "cores": cores, "apps": (App("", 4, 1),),
    }  # fmt: skip
    return Life(**{**facts, **more})


def snapshot(*workers: Worker, dispatcher: Dispatcher | None = DISPATCHER, **more: Any) -> Snapshot:
    facts = {
        "version": "1.0", "pid": 1, "uid": 2, "gid": 3, "cwd": "/srv", "now": 1700000100.5, "generation": 1,
        "reloading": False, "queue_limit": 1000, "workers": workers,
        "sockets": (Socket("tcp://127.0.0.1:9997", 1, 3, 2500),), "daemons": (), "dispatcher": dispatcher,
    }  # fmt: skip
    return Snapshot(**{**facts, **more})


def no_surprises(value: object) -> bool:
    """What the strictest consumers decode: no fractions, nothing null, no booleans."""
    if isinstance(value, dict):
        return all(map(no_surprises, value.values()))
    if isinstance(value, list):
        return all(map(no_surprises, value))
    return type(value) in (int, str)


FULL = snapshot(
    Worker(
        1, 2, Totals(10, 1, 500, 90), (life(3, cores=(Core("u-1", 4, 700, 80, 40, 1, 2, 3, request=RUNNING), Core())),)
    ),
    Worker(2, 1, Totals(6, 0, 5, 4), ()),
    daemons=(Daemon("mongrel2 config.sqlite", 77, 0),),
)


def test_every_number_is_whole_and_nothing_is_null():
    assert no_surprises(document(FULL))
    assert no_surprises(document(snapshot(dispatcher=None)))


def test_a_worker():
    one, other = document(FULL)["workers"]
    cores = one.pop("cores")
    assert one == {
        "id": 1, "pid": 103, "accepting": 1, "requests": 14, "delta_requests": 4, "exceptions": 2,
        "harakiri_count": 0, "signals": 0, "signal_queue": 0, "status": "busy", "rss": 10, "vsz": 20,
        "running_time": 1200, "last_spawn": 1700000000, "respawn_count": 2, "tx": 170, "avg_rt": 40,
        "apps": [{
            "id": 0, "modifier1": 0, "mountpoint": "", "startup_time": 1, "requests": 4, "exceptions": 1, "chdir": "",
        }],
    }  # fmt: skip
    assert cores[0] == {
        "id": 0, "requests": 4, "static_requests": 0, "routed_requests": 0, "offloaded_requests": 0,
        "write_errors": 3, "read_errors": 2, "in_request": 1, "req_info": {"request_start": 1700000000},
        "vars": ["REQUEST_METHOD=GET", "PATH_INFO=/a b", "REQUEST_URI=/a%20b?c=d", "QUERY_STRING=c=d", ""],
    }  # fmt: skip
    assert (cores[1]["in_request"], cores[1]["vars"], cores[1]["req_info"]) == (0, [], {})
    assert (other["id"], other["pid"], other["status"], other["requests"]) == (2, 0, "cheap", 6)
    assert other.keys() == {*one.keys(), "cores"}


def test_one_life_stands_for_a_worker_and_all_count():
    old = life(1, cores=(Core(requests=5),), aside=Core(sent=7))
    new = life(2, ready=False, cores=(Core(requests=1),))
    worker = Worker(1, 2, Totals(100), (old, new))
    assert shown(worker) is old, "while the new one starts"
    (found,) = document(snapshot(worker))["workers"]
    assert (found["pid"], found["requests"], found["delta_requests"], found["tx"]) == (101, 106, 5, 7)
    worker = Worker(1, 2, Totals(), (old._replace(ready=False, state="DRAINING"), new._replace(ready=True)))
    assert shown(worker) == new._replace(ready=True), "when the old one drains"
    assert [one["pid"] for one in document(snapshot(worker))["m2serve"]["workers"]] == [101, 102]
    assert shown(Worker(1, 0, Totals(), ())) is None


def test_a_pause_and_workers_that_were_never_there():
    idle = life(1, cores=(Core(),))
    busy = life(2, cores=(Core(request=RUNNING),))
    workers = (Worker(1, 1, Totals(), (idle,)), Worker(2, 1, Totals(), (busy,)), Worker(0, 0, Totals(), ()))
    found = document(snapshot(*workers, wanted=2, paused=True))
    assert [(one["id"], one["status"]) for one in found["workers"]] == [(1, "pause"), (2, "busy"), (0, "cheap")]
    assert [found["m2serve"][key] for key in ("wanted", "asleep", "paused")] == [2, 0, 1]
    assert no_surprises(found)


def test_the_queue_stands_where_uwsgi_has_its_own():
    found = document(FULL)
    assert (found["listen_queue"], found["listen_queue_errors"], found["load"]) == (3, 7, 3)
    assert found["sockets"] == [
        {
            "name": "tcp://127.0.0.1:9997",
            "proto": "zeromq",
            "queue": 3,
            "max_queue": 1000,
            "shared": 0,
            "can_offload": 0,
        }
    ]
    assert found["daemons"] == [{"cmd": "mongrel2 config.sqlite", "pid": 77, "respawns": 0}]
    ours = found["m2serve"]["dispatcher"]
    assert (ours["queue"], ours["queue_time_us"], ours["oldest_us"], ours["answered"]) == (3, 1234, 2500, ANSWERED)
    assert "daemons" not in document(snapshot())


def test_sockets_of_our_own_and_their_queues():
    doors = (Listening("127.0.0.1:80", "http", 5, 100, 2, shared=False), Listening("/a", "uwsgi", 1, 9, 0, shared=True))
    found = document(snapshot(doors=doors))
    assert found["sockets"][:2] == [
        {"name": "127.0.0.1:80", "proto": "http", "queue": 5, "max_queue": 100, "shared": 0, "can_offload": 0},
        {"name": "/a", "proto": "uwsgi", "queue": 1, "max_queue": 9, "shared": 1, "can_offload": 0},
    ]
    assert [one["proto"] for one in found["sockets"]] == ["http", "uwsgi", "zeromq"]
    assert (found["listen_queue"], found["load"], found["listen_queue_errors"]) == (5, 5, 9)
    assert no_surprises(found)
    alone = document(snapshot(dispatcher=None, sockets=(), doors=doors))
    assert (alone["listen_queue"], alone["listen_queue_errors"], alone["m2serve"]["topology"]) == (5, 2, "doors")


def test_without_a_dispatcher_there_is_no_queue():
    found = document(snapshot(dispatcher=None))
    assert (found["listen_queue"], found["m2serve"]["topology"]) == (0, "direct")
    assert found["m2serve"]["last_reload"] == ""
    assert found["m2serve"].keys().isdisjoint({"dispatcher", "endpoints"})


def test_threads_are_told_apart_by_their_uuid():
    (one,) = document(FULL)["m2serve"]["workers"]
    running, idle = one["threads"]
    assert running["uuid"] == "u-1" and "request" not in idle
    assert running["request"] == {"id": "0000abcd-1f", "method": "GET", "uri": "/a%20b?c=d", "elapsed_us": 1_500_000}


def test_without_cores():
    found = document(FULL, cores=False)
    assert all("cores" not in worker for worker in found["workers"])
    assert "threads" not in found["m2serve"]["workers"][0]


@pytest.mark.parametrize("minified", [False, True])
def test_encoded(minified: bool):
    text = encode(document(FULL), minified=minified)
    assert json.loads(text) == document(FULL)
    assert (b"\n" in text) != minified


def test_a_hostile_uri_stays_one_string():
    request = RUNNING._replace(uri='/"\\\n\xff?\x00')
    found = document(snapshot(Worker(1, 1, Totals(), (life(1, cores=(Core(request=request),)),))))
    assert json.loads(encode(found, minified=True)) == found
    assert found["workers"][0]["cores"][0]["vars"][2] == 'REQUEST_URI=/"\\\n\xff?\x00'


def test_commands_of_cron_as_uwsgi_has_them() -> None:
    runs = Cron(-5, -1, 1, 2, 0, "x y", True, 77, 1700000000.5, 1, 3, -9, 1500)
    rests = Cron(-1, -1, -1, -1, -1, "z", False, -1, 1700000000.5, 0, 1, 0, 20)
    found = document(snapshot(crons=(runs, rests)))
    assert found["crons"] == [
        {
            "minute": -5, "hour": -1, "day": 1, "month": 2, "week": 0, "command": "x y", "unique": 1, "legion": "",
            "pid": 77, "started_at": 1700000000,
        },
        {
            "minute": -1, "hour": -1, "day": -1, "month": -1, "week": -1, "command": "z", "unique": 0, "legion": "",
            "pid": -1, "started_at": 0,
        },
    ]  # fmt: skip
    assert found["m2serve"]["crons"][0] == {
        "command": "x y", "running": 1, "runs": 3, "last_start": 1700000000, "last_exit": -9, "last_us": 1500,
    }  # fmt: skip
    assert no_surprises(found)
    assert "crons" not in document(snapshot())
