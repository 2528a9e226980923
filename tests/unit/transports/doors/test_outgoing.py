"""What waits for a client, at a pipe that takes what the test lets it take."""

from __future__ import annotations

import errno
import os
import random
from typing import TYPE_CHECKING, Any

import pytest

from m2serve.errors import ClientGone
from m2serve.transports.doors.outgoing import Outgoing

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path


class Narrow:
    """Takes so many bytes in all, until it gets more room."""

    def __init__(self, room: int = 0) -> None:
        self.room = room
        self.got = b""
        self.most = 0
        self.broken: OSError | None = None

    def send(self, parts: Sequence[bytes | memoryview]) -> int:
        if self.broken is not None:
            raise self.broken
        self.most = max(self.most, len(parts))
        taken = b"".join(parts)[: self.room]
        self.got += taken
        self.room -= len(taken)
        return len(taken)


def outgoing(pipe: Any) -> Outgoing:
    return Outgoing(pipe)


def test_what_there_is_no_room_for_waits_and_keeps_its_order() -> None:
    pipe = Narrow(4)
    out = outgoing(pipe)
    assert not out.send([b"abc", b"defg", b""])
    assert (pipe.got, out.backlog) == (b"abcd", 3)
    assert out.send([b"hi"]), "somebody looks for room already"
    pipe.room = 2
    assert out.flush()
    assert not out.flush()
    assert (pipe.got, out.backlog) == (b"abcdef", 3)
    pipe.room = 100
    assert out.flush()
    assert (pipe.got, out.backlog, list(out.waiting)) == (b"abcdefghi", 0, [])
    assert out.send([b"j"])
    assert pipe.got == b"abcdefghij"


def test_any_room_at_any_time_gives_the_same_bytes() -> None:
    chance = random.Random(1)
    for _ in range(200):
        pipe, said = Narrow(), b""
        out = outgoing(pipe)
        for _ in range(chance.randrange(1, 8)):
            parts = [os.urandom(chance.choice((0, 1, 5, 50))) for _ in range(chance.randrange(1, 40))]
            said += b"".join(parts)
            pipe.room = chance.choice((0, 1, 30, 200))
            out.send(parts)
            out.flush()
            assert pipe.got + b"".join(out.waiting) == said
        pipe.room = len(said)
        out.flush()
        assert (pipe.got, pipe.most <= 16, len(out.waiting)) == (said, True, 0)


def test_a_client_that_has_left() -> None:
    pipe = Narrow()
    out = outgoing(pipe)
    pipe.broken = OSError(errno.EPIPE, "broken")
    with pytest.raises(ClientGone, match="broken"):
        out.send([b"a"])
    pipe.broken = None
    out.send([b"a"])
    pipe.broken = OSError(errno.EPIPE, "broken")
    with pytest.raises(OSError, match="broken"):
        out.flush()


def test_a_file_leaves_behind_what_waits(tmp_path: Path) -> None:
    pipe = Narrow()
    out = outgoing(pipe)
    out.send([b"head"])
    file = tmp_path / "file"
    file.write_bytes(b"content")
    with file.open("rb") as source:
        assert out.send_file(source.fileno(), 0, 7) is None
    assert out.file_waits
    pipe.room = 10
    assert out.flush()
    assert not out.file_waits
