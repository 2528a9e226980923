"""Who connects while everybody sleeps."""

from __future__ import annotations

import pytest
from boards import NOW, READY, Maker

from m2serve.door import Door
from m2serve.ids import Seconds
from m2serve.master.board import StopOrder
from m2serve.master.generation import GenerationState
from m2serve.master.knocks import Knocks
from m2serve.transports.node import NodeFds


@pytest.fixture
def knocks():
    make = Maker()
    make.generation(1, READY, state=GenerationState.SERVING)
    node = NodeFds.create([], 65536)
    node.doors = (Door("http", "127.0.0.1:80", 70), Door("uwsgi", "/a", 71))
    yield Knocks(make.board, node)
    node.close()


def test_the_doors_are_watched_only_while_nobody_is_wanted(knocks):
    assert knocks.polled() == {}
    knocks.board.sleep()
    assert set(knocks.polled()) == {70, 71}
    knocks.board.stop = StopOrder("TERM", Seconds(NOW + 60))
    assert knocks.polled() == {}


def test_who_knocks_wakes_all(knocks):
    knocks.board.sleep()
    knocks.ready(71, NOW)
    assert not knocks.board.asleep
    assert knocks.board.wanted == knocks.board.crowd.initial
    knocks.board.wanted = 3
    knocks.ready(70, NOW)
    assert knocks.board.wanted == 3, "the second knock at the same moment changes nothing"
