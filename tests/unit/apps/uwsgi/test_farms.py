"""Farms: mules that share their messages, and the decorators that use them."""

from __future__ import annotations

import os
import pickle
from typing import TYPE_CHECKING

import pytest

from m2serve.apps.uwsgi.decorators import UwsgiDecorators
from m2serve.apps.uwsgi.module import Uwsgi
from m2serve.apps.uwsgi.mules import CALL, MESSAGE, Boxes
from m2serve.apps.uwsgi.mulework import work
from m2serve.apps.uwsgi.running import Running
from m2serve.config.daemonlines import Farm
from m2serve.config.settings import Settings
from m2serve.errors import ConfigError
from m2serve.master.boxes import make_boxes, make_farms

if TYPE_CHECKING:
    from collections.abc import Iterator

FARMS = (Farm("jobs", (1, 2)), Farm("reports", (2,)))
SENT: list[tuple[object, ...]] = []


@pytest.fixture
def boxes() -> Iterator[Boxes]:
    pairs, farms = make_boxes(3, ()), make_farms((farm.name for farm in FARMS), {})
    yield Boxes(pairs, FARMS, farms)
    for fd in (fd for pair in (*pairs, *farms.values()) for fd in pair):
        os.close(fd)


def process(boxes: Boxes, mule: int = 0) -> tuple[Running, Uwsgi, UwsgiDecorators]:
    running = Running(Settings(), -1, master=1, started=0.0, mule=mule)
    running.boxes = boxes
    module = Uwsgi(running)
    return running, module, UwsgiDecorators(running, module)


def test_who_gets_what(boxes: Boxes) -> None:
    assert boxes.send_farm(b"j1", "jobs") and boxes.send_farm(b"j2", "jobs") and boxes.send_farm(b"r", "reports")
    assert not boxes.send_farm(b"x", "nobody")
    assert boxes.take(3, 0) is None
    assert boxes.take(1, 0, farms=False) is None
    assert boxes.take(1, 0) == (MESSAGE, b"j1")
    assert {boxes.take(2, 0), boxes.take(2, 0)} == {(MESSAGE, b"j2"), (MESSAGE, b"r")}
    assert boxes.send(b"own", 2) and boxes.send(b"all", 0) and boxes.send_farm(b"farm", "reports")
    assert boxes.take(2, own=False) == (MESSAGE, b"farm")
    assert boxes.take(2, 0, own=False) is None
    assert boxes.take(2) == (MESSAGE, b"own") and boxes.take(2) == (MESSAGE, b"all")


def test_boxes_of_farms_are_known_by_name() -> None:
    first = make_farms(("a", "b"), {})
    second = make_farms(("b", "c"), first)
    assert second["b"] == first["b"] and set(second) == {"b", "c"}
    for fd in first["a"]:
        with pytest.raises(OSError, match="Bad file descriptor"):
            os.fstat(fd)
    assert make_farms((), second) == {}


def test_the_module(boxes: Boxes) -> None:
    _, worker, _ = process(boxes)
    _, second, _ = process(boxes, 2)
    _, third, _ = process(boxes, 3)
    assert worker.farm_msg("jobs", "text") is True
    assert worker.mule_msg(b"more", "jobs") is True
    assert worker.farm_msg("nobody", b"x") is False
    assert second.farm_get_msg() == b"text"
    assert second.mule_get_msg(timeout=0, farms=False) is None
    assert second.mule_get_msg() == b"more"
    assert second.in_farm() is second.in_farm("jobs") is True
    assert second.in_farm("nobody") is third.in_farm() is worker.in_farm() is None
    with pytest.raises(ValueError, match="only in a mule"):
        worker.farm_get_msg()
    with pytest.raises(ValueError, match="mule 3 belongs to no farm"):
        third.farm_get_msg()
    with pytest.raises(ValueError, match="unknown farm"):
        worker.mule_msg("x", "nobody")


def add(*values: object, **more: object) -> None:
    SENT.append((*values, *sorted(more.items())))


def test_calls_are_done_elsewhere(boxes: Boxes) -> None:
    SENT.clear()
    _, _, here = process(boxes)
    there, _, decorators = process(boxes, 1)
    calls = [one.mulefunc(add) for one in (here, decorators)]
    assert calls[0](1, two=2) is True
    assert here.mulefunc(1)(add)("own") is here.mulefunc("jobs")(add)("farm") is True
    assert SENT == []
    for _ in range(3):
        taken = boxes.take(1, 0)
        assert taken is not None and taken[0] == CALL
        work(there, taken, None)
    assert SENT == [("own",), ("farm",), (1, ("two", 2))]
    with pytest.raises(ValueError, match="no mule configured"):
        process(Boxes(()))[2].mulefunc(add)(1)


def test_a_message_is_never_taken_for_a_call(boxes: Boxes, caplog: pytest.LogCaptureFixture) -> None:
    SENT.clear()
    there, module, decorators = process(boxes, 1)
    decorators.mulefunc(add)
    call = pickle.dumps((f"{add.__module__}.{add.__qualname__}", (1,), {}))
    module.mule_msg(call)
    heard: list[bytes] = []
    work(there, boxes.take(1) or (b"", b""), heard.append)
    assert (heard, SENT) == ([call], [])
    work(there, (MESSAGE, b"abc"), None)
    assert "a message of 3 bytes, and no uwsgi.mule_msg_hook" in caplog.text
    work(there, (CALL, pickle.dumps(("elsewhere", (), {}))), None)
    assert "a call of elsewhere, which is no @mulefunc here" in caplog.text
    work(there, (CALL, b"nonsense"), None)
    assert "a call of @mulefunc failed" in caplog.text


def test_decorators_of_one_mule(boxes: Boxes) -> None:
    done: list[object] = []
    running, _, decorators = process(boxes, 2)
    for number in (1, 2):
        decorators.mule(number)(lambda number=number: done.append(number))

    def hear(message: bytes) -> None:
        done.append(message)
        if message == b"end":
            raise SystemExit

    decorators.farm_loop("nobody")(hear)
    decorators.farm_loop("reports")(hear)
    for message in (b"a", b"end"):
        boxes.send_farm(message, "reports")
    boxes.send(b"own", 2)
    with pytest.raises(SystemExit):
        for own in running.in_mule:
            own()
    assert done == [2, b"a", b"end"]
    running.in_mule.clear()
    decorators.mulemsg_loop(2)(hear)
    boxes.send(b"end", 2)
    with pytest.raises(SystemExit):
        running.in_mule[0]()
    assert done[3:] == [b"own", b"end"]


@pytest.mark.parametrize("text", ["jobs", "jobs:", ":1", "jobs:0", "jobs:1,x", "jobs:1,,2", "jobs:-1"])
def test_lines_that_are_none(text: str) -> None:
    with pytest.raises(ConfigError, match="expected NAME:1,2,3"):
        Farm.parse(text)


def test_lines() -> None:
    farm = Farm.parse(" jobs : 1, 2,1")
    assert farm == Farm("jobs", (1, 2))
    assert str(farm) == "jobs:1,2"
