"""What one master leaves to the next: the bytes, and what is refused."""

from __future__ import annotations

import dataclasses
import json
import os

import pytest

from m2serve.endpoint import Endpoint, StatsAddress, ZmqPair
from m2serve.errors import ConfigError, RemoteProtocolError
from m2serve.front import Front
from m2serve.ids import Pid, Seconds, WorkerId
from m2serve.master import heritage
from m2serve.master.child import ChildKind, ChildState
from m2serve.master.generation import Generation, GenerationState, ReloadKind
from m2serve.master.heritage import (
    ChildRow,
    Heritage,
    JobRow,
    Listener,
    Looked,
    Node,
    OpenFifo,
    Post,
    Scoring,
    SlotRow,
)
from m2serve.master.late import Accusation, Late
from m2serve.mongrel2.daemon import DaemonSpec
from m2serve.observe.snapshot import Totals

NOW = Seconds(1234.5)
CHILD = ChildRow(
    kind=ChildKind.WORKER,
    key=7,
    name="worker 1",
    generation=2,
    worker=WorkerId(1),
    pid=Pid(4711),
    state=ChildState.DRAINING,
    started=NOW,
    deadline=Seconds(1300.0),
    failed=True,
    failure="cannot",
    was_ready=True,
    threads=("u-0", "u-1"),
    apps=("", "/api"),
    loading=Seconds(0.5),
    natives=((1, 2), (3, 4)),
    accusations=(Accusation(Late(0, 5, NOW, Seconds(1.0), "GET", "/", "id"), NOW),),
    link_fd=31,
    output_fd=32,
    rest="half a l\xefne",
)
SLOT = SlotRow(ChildKind.WORKER, "worker 1", 2, WorkerId(1), "", 7, NOW, 1, True, -1, Seconds(0.0))
PAIR = ZmqPair.parse("tcp://127.0.0.1:1,ipc:///run/recv")


def state(**changes):
    whole = Heritage(
        program="0.1.0",
        master=os.getpid(),
        layout=1,
        dispatched=True,
        node=Node(
            (("tcp://127.0.0.1:1", "ipc:///run/recv"),),
            65536,
            21,
            22,
            {"0": 23},
            {"9": 33},
            (5,),
            (6,),
            {"c": 34},
            ((35, 36), (37, 38)),
        ),
        posts=(Post(7, WorkerId(1), 2, 24, 25, 26, 27),),
        children=(CHILD,),
        slots=(SLOT,),
        generations=(Generation(2, 2, NOW, ReloadKind.CHAIN, GenerationState.SERVING, 1, True),),
        next_key=8,
        next_generation=3,
        served=True,
        reload_wanted=ReloadKind.BRUTAL,
        last_reload="reload given up: it was bad",
        wanted=3,
        initial=2,
        asleep=True,
        paused=True,
        daemons=(DaemonSpec("mongrel2", ("m2", "db"), "/d\udcff", ("h", 80), "http://h/", 28, {"A": "b"}, "/own"),),
        attached=Front(PAIR, "/", "/d", "up.XXXXXX", 100, True, True, Endpoint.parse("ipc:///run/control"), False),
        jobs=(JobRow("date", 3, 12.5, 1, Seconds(0.5)),),
        looked=Looked(29000000, "2026-11-21T15:00:00"),
        scoring=Scoring({"1": 3}, {"1": Totals(10, 1, 20, 30)}, {"mongrel2": 1}),
        listeners=(Listener(StatsAddress("127.0.0.1", 9191), 29),),
        fifo=OpenFifo("/run/fifo", 30),
        pidfiles=("/run/pid",),
    )
    return dataclasses.replace(whole, **changes)


def plain(whole):
    """Generations compare by identity, as rows of a table do."""
    return dataclasses.asdict(whole)


def test_there_and_back():
    assert plain(heritage.decode(heritage.encode(state()))) == plain(state())


def test_every_descriptor_is_named_once():
    assert sorted(state().fds()) == list(range(21, 39))
    bare = state(listeners=(), fifo=None, daemons=(), children=(dataclasses.replace(CHILD, link_fd=-1, output_fd=-1),))
    assert sorted(bare.fds()) == [*range(21, 28), *range(33, 39)]


@pytest.mark.parametrize(
    ("data", "expected"),
    [
        (b"", "begins with b''"),
        (b"\x7fELF and so on", "expected m2serve-upgrade"),
        (b"m2serve-upgrade one\n{}", "expected m2serve-upgrade"),
        (b"m2serve-upgrade 2\n{}", "format 2: expected 1"),
        (b"m2serve-upgrade 1\n{", "is not JSON"),
        (b"m2serve-upgrade 1\n" + b"[" * 100000, "is not JSON"),
        (b"m2serve-upgrade 1\n[]", r"state: \[\]: expected dict"),
        (b"m2serve-upgrade 1\n{}", "missing"),
        (heritage.encode(state())[:-100], "is not JSON"),
        (heritage.encode(state(next_key="8")), r"state\.next_key: '8': expected int"),
    ],
)
def test_what_is_foreign_or_garbled_is_refused(data, expected):
    with pytest.raises(RemoteProtocolError, match=expected):
        heritage.decode(data)


def test_a_later_program_may_leave_more():
    first, _, text = heritage.encode(state()).partition(b"\n")
    more = json.loads(text) | {"invented later": {"fd": 3}}
    del more["last_reload"]
    found = heritage.decode(first + b"\n" + json.dumps(more).encode())
    assert plain(found) == plain(state(last_reload=""))


def test_through_a_descriptor():
    left = without_fds()
    fd = heritage.store(left)
    assert not os.get_inheritable(fd)
    environment = {heritage.VARIABLE: str(fd), "OTHER": "x"}
    found = heritage.take(environment, os.getpid())
    assert found is not None
    assert plain(found) == plain(left)
    assert environment == {"OTHER": "x"}
    with pytest.raises(OSError, match="Bad file descriptor"):
        os.fstat(fd)


def without_fds():
    """Only numbers that nobody here has: what is taken over is touched."""
    far = 1 << 20
    child = dataclasses.replace(CHILD, link_fd=-1, output_fd=-1)
    node = Node((), 65536, far, far, {})
    return state(node=node, posts=(), children=(child,), daemons=(), listeners=(), fifo=None)


def test_a_start_like_any_other():
    assert heritage.take({"OTHER": "x"}, 1) is None


def test_what_is_not_for_us_is_refused():
    environment = {heritage.VARIABLE: str(heritage.store(without_fds()))}
    with pytest.raises(ConfigError, match=rf"is from pid {os.getpid()}: expected 1"):
        heritage.take(environment, 1)
    for text in ("", "x", "1048575"):
        with pytest.raises(ConfigError, match=heritage.VARIABLE):
            heritage.take({heritage.VARIABLE: text}, os.getpid())
