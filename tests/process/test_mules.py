"""Messages to mules, whoever dies meanwhile."""

from __future__ import annotations

import signal
from typing import TYPE_CHECKING

import pytest
from support.http import get
from support.server import APPS, wait_until

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from support.mongrel2 import Mongrel2
    from support.server import Server

PATIENCE = 25.0
"""Seconds for one step on a machine that is busy."""

pytestmark = pytest.mark.timeout(90)


def test_messages_reach_mules(mongrel2: Mongrel2, start_server: Callable[..., Server], tmp_path: Path) -> None:
    file = tmp_path / "heard"
    options = ("--zeromq", mongrel2.pair, "--pythonpath", str(APPS), "--module", "muling", "-p", "2")
    options += ("--mule", "muling:script", "--mules", "1")
    server = start_server(*options, environment={"HEARD": str(file)}).wait_ready(2)
    server.allow("as it was told")

    def say(text: str, to: int = 0) -> bytes:
        return get(mongrel2.address, f"/?say={text}&to={to}", timeout=PATIENCE).body

    def heard() -> list[str]:
        return file.read_text().split("\n")[:-1] if file.exists() else []

    def hears(*lines: str) -> None:
        wait_until(lambda: set(lines) <= set(heard()), PATIENCE, f"{lines}")

    # one that asks, one that is called, one of both, none; a hook that fails costs its message alone
    assert say("first", 1) == say("fail", 2) == say("second", 2) == b"true"
    assert say("third", 3) == b"false"
    hears("1 first", "2 fail", "2 second")
    assert say("any") == b"true"
    wait_until(lambda: {"1 any", "2 any"} & set(heard()), PATIENCE, "whoever comes first")

    # what a mule that dies has not read waits for its successor; the message that it was at work on is gone
    for mule in (1, 2):
        say("stick", mule)
        hears(f"{mule} stick")
        for word in ("a", "b", "c"):
            assert say(word, mule) == b"true"
        server.kill_child(f"mule {mule}")
        hears(f"{mule} c")
    assert [line for line in heard() if line.endswith((" stick", " a", " b", " c"))] == [
        f"{mule} {word}" for mule in (1, 2) for word in ("stick", "a", "b", "c")
    ]

    # nor are messages lost by a reload, or by another program that goes on: both begin the mules anew
    for number in (signal.SIGHUP, signal.SIGUSR2):
        old, mark = server.pids("worker").values(), server.mark()
        for mule in (1, 2):
            say("stick", mule)
            wait_until(lambda mule=mule: heard()[-1:] == [f"{mule} stick"], PATIENCE, "it is at work")
            say(f"after-{number.name}", mule)
        server.signal(number)
        server.wait_ready(2, PATIENCE, after=mark)
        server.wait_gone(old, PATIENCE)
        for mule in (1, 2):
            hears(f"{mule} after-{number.name}")
    assert server.stop() == 0


def test_farms_share_their_work(mongrel2: Mongrel2, start_server: Callable[..., Server], tmp_path: Path) -> None:
    file = tmp_path / "heard"
    options = ("--zeromq", mongrel2.pair, "--pythonpath", str(APPS), "--module", "farming", "-p", "2")
    options += ("--mules", "4", "--farm", "jobs:2,3", "--farm", "reports:4", "--mule-harakiri", "3")
    server = start_server(*options, environment={"HEARD": str(file)}).wait_ready(2)

    def do(what: str, word: str) -> bytes:
        return get(mongrel2.address, f"/?do={what}&say={word}", timeout=PATIENCE).body

    def done() -> list[str]:
        return file.read_text().split("\n")[:-1] if file.exists() else []

    wait_until(lambda: "2 once True True None" in done(), PATIENCE, "what mule 2 does before it gets messages")
    words = [f"w{number}" for number in range(20)]
    for word in words:
        assert do("job", word) == b"true"
    wait_until(lambda: len([line for line in done() if " job " in line]) >= len(words), PATIENCE, "all of them")
    jobs = [line.split() for line in done() if " job " in line]
    assert sorted(word for _, _, word in jobs) == sorted(words)
    assert {mule for mule, _, _ in jobs} <= {"2", "3"}

    assert do("report", "r") == do("jobs", "j") == do("anybody", "a") == b"true"
    wait_until(lambda: "4 report r" in done(), PATIENCE, "the loop of the farm of one")
    wait_until(lambda: {"2 heard j", "3 heard j"} & set(done()), PATIENCE, "the hook")
    everybody = {f"{number} anybody aa" for number in (1, 2, 3)}
    wait_until(lambda: everybody & set(done()), PATIENCE, "a call that anybody may do")
    assert do("nobody", "n") == b"false"
    assert do("worker", "w") == b"null"

    # at work for too long: killed, with what it was at in the log; its successor goes on
    assert do("first", "stick") == do("first", "again") == b"true"
    server.wait_log(r"farming\.py\", line \d+ in first", timeout=PATIENCE)
    wait_until(lambda: "1 first again" in done(), PATIENCE, "its successor")
    assert done().count("1 first stick") == 1
    assert server.stop() == 0
