"""Workers that are killed for their size, and how size is measured."""

from __future__ import annotations

import mmap
import os

import pytest
from boards import NOW, READY, STARTING, Maker

from m2serve.master.actions import Kill
from m2serve.master.board import StopOrder
from m2serve.master.child import ChildState
from m2serve.master.limits import MIB, Limits
from m2serve.master.meter import shares
from m2serve.master.policies import evil


@pytest.fixture
def make():
    made = Maker()
    made.generation(1, READY, READY)
    return made


@pytest.mark.parametrize(
    ("limits", "found", "reason"),
    [
        (Limits(evil_rss=64 * MIB), {"rss": 64 * MIB - 1}, None),
        (Limits(evil_rss=64 * MIB), {"rss": 64 * MIB}, "evil-reload-on-rss, 64 MiB"),
        (Limits(evil_address_space=64 * MIB), {"address_space": 65 * MIB}, "evil-reload-on-as, 65 MiB"),
        (Limits(rss=1), {"rss": 64 * MIB}, None),
    ],
)
@pytest.mark.parametrize("stopping", [False, True])
def test_the_limits(make, limits, found, reason, stopping):
    make.board.limits = limits
    worker = make.board.workers[0]
    for name, value in found.items():
        setattr(worker, name, value)
    if stopping:
        make.board.stop = StopOrder("SIGTERM", NOW)
    assert evil.decide(make.board, NOW) == ([Kill(worker, reason, accident=True)] if reason else [])


@pytest.mark.parametrize(
    ("state", "killed"), [(STARTING, 0), (ChildState.DRAINING, 1), (ChildState.STOPPING, 0), (ChildState.KILLED, 0)]
)
def test_once_and_those_that_leave_too(make, state, killed):
    make.board.limits = Limits(evil_rss=MIB)
    make.board.workers[0].state, make.board.workers[0].rss = state, MIB
    assert len(evil.decide(make.board, NOW)) == killed


def test_what_others_have_mapped_too_is_shared_with_them():
    before, before_share = shares(os.getpid())
    own = mmap.mmap(-1, 8 * MIB, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)
    own.write(b"x" * 8 * MIB)
    after, share = shares(os.getpid())
    own.close()
    # Python may have got or given back a little meanwhile.
    assert after - before > 6 * MIB
    assert share - before_share > 6 * MIB
    with pytest.raises(OSError, match=r"smaps_rollup|process"):
        shares(2**22 + 1)
