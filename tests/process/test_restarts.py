"""Mongrel2 is restarted under load: it gives its old connection ids to new clients, who must not get old answers."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

import pytest
from support.load import Load

if TYPE_CHECKING:
    from collections.abc import Callable

    from support.mongrel2 import Mongrel2
    from support.server import Server

BACK_SECONDS = 15.0
TOPOLOGIES = pytest.mark.parametrize("options", [(), ("--zeromq-direct",)], ids=["dispatched", "direct"])
SCHEMES = pytest.mark.parametrize("scheme", ["tcp", "ipc"])
ENDS = pytest.mark.parametrize("end", ["stop", "kill"])


def assert_only_cut_off(load: Load) -> None:
    """Good answers and connections that Mongrel2's end closed; nobody else's answer, and nothing of ours."""
    assert set(load.summary()) <= {"200", "closed"}, load.summary()


@TOPOLOGIES
@SCHEMES
@ENDS
def test_a_restart_under_load_gives_nobody_a_stale_answer(
    start_mongrel2: Callable[..., Mongrel2],
    serve: Callable[..., Server],
    scheme: str,
    options: tuple[str, ...],
    end: str,
) -> None:
    mongrel2 = start_mongrel2(scheme=scheme)
    server = serve(mongrel2, processes=2, threads=4, options=("--disable-logging", *options))
    before = server.pids()
    with (
        Load(mongrel2.address, "/sleep/0.01", clients=12, tagged=True) as load,
        Load(mongrel2.address, "/sleep/0.3", clients=4, tagged=True) as slow,
    ):
        for _ in range(3):
            load.more(100)
            getattr(mongrel2, end)()
            mongrel2.restart()
            load.more(50, timeout=BACK_SECONDS, since=time.monotonic())
    assert_only_cut_off(load)
    assert_only_cut_off(slow)
    assert server.pids() == before


@TOPOLOGIES
@SCHEMES
def test_the_restart_of_one_disturbs_no_other(
    start_mongrel2: Callable[..., Mongrel2], serve: Callable[..., Server], scheme: str, options: tuple[str, ...]
) -> None:
    """Both number their connections from 1, and the same threads serve both."""
    first, second = start_mongrel2(scheme=scheme), start_mongrel2(scheme=scheme, protocol="json")
    serve(first, second, processes=2, threads=4, options=("--disable-logging", *options))
    with (
        Load(first.address, "/sleep/0.01/first", clients=8, tagged=True) as one,
        Load(second.address, "/sleep/0.01/second", clients=8, tagged=True) as two,
    ):
        one.more(50)
        for _ in range(3):
            first.kill()
            two.more(100, timeout=BACK_SECONDS, since=time.monotonic())
            first.restart()
            one.more(50, timeout=BACK_SECONDS, since=time.monotonic())
            two.more(50, timeout=BACK_SECONDS, since=time.monotonic())
    assert_only_cut_off(one)
    assert set(two.summary()) == {"200"}, two.summary()
    assert two.worst() < 5.0
