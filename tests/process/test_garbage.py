"""Random bytes among good requests: none may cost an answer, a thread or a process."""

from __future__ import annotations

import random
from typing import TYPE_CHECKING

import pytest
from support.fake import FakeMongrel2
from support.server import APPS

if TYPE_CHECKING:
    from collections.abc import Callable

    from support.server import Server

GOOD = 5000
GARBAGE = 5000
NAMEABLE_FROM = 1_000_000
"""Connection ids of garbage that names its connection; good requests stay below."""


def garbage(fake: FakeMongrel2, dice: random.Random, number: int) -> tuple[bytes, bytes | None]:
    """Any message that is no request, and the connection id it names, if it does."""
    noise = dice.randbytes(dice.randrange(200))
    conn = str(NAMEABLE_FROM + number).encode()
    head = b"%b %b /x " % (fake.ident.encode(), conn)
    good = fake.request(NAMEABLE_FROM + number, "/gen/3")
    match dice.randrange(8):
        case 0:
            return noise, None
        case 1:
            return b"", None
        case 2:
            return head + noise, conn
        case 3:  # cut off in the headers
            cut = len(head) + dice.randrange(1, 60)
            return good[:cut], conn
        case 4:  # a length that lies
            return head + b"99999999:x}0:,", conn
        case 5:  # deep nesting
            return head + b"9:" * 3000, conn
        case 6:
            return head + b"2:{}}0:," + noise, conn
        case _:
            return noise.replace(b" ", b""), None


@pytest.mark.parametrize("options", [(), ("--zeromq-direct",)], ids=["dispatched", "direct"])
def test_garbage_among_good_requests(start_server: Callable[..., Server], options: tuple[str, ...]) -> None:
    dice = random.Random(20)
    with FakeMongrel2() as fake:
        args = ["--zeromq", fake.pair, "-p", "2", "--threads", "4", "--pythonpath", str(APPS), "--module", "probe"]
        server = start_server(*args, "--disable-logging", "--queue-limit", "100000", *options).wait_ready(2)
        before = server.pids()
        nameable: dict[bytes, bytes] = {}
        kinds = [True] * GOOD + [False] * GARBAGE
        dice.shuffle(kinds)
        for number, good in enumerate(kinds):
            if good:
                fake.send(fake.request(number, f"/echo?{number}", body=b"%d" % number))
            else:
                message, conn = garbage(fake, dice, number)
                if conn is not None:
                    nameable[conn] = message
                fake.send(message)
        wanted = {str(number).encode() for number, good in enumerate(kinds) if good}
        fake.wait(lambda: wanted <= set(fake.answers), 40, "every good request is answered")
        fake.wait(lambda: set(nameable) <= set(fake.answers), 20, "garbage that names a connection is answered")
        for conn in wanted:
            answer = b"".join(fake.answers[conn])
            assert answer.startswith(b"HTTP/1.1 200 "), answer
            assert answer.endswith(b"\r\n\r\n" + conn), answer
        for conn, message in nameable.items():
            answer = fake.answers[conn]
            assert answer[0].startswith((b"HTTP/1.1 400 ", b"HTTP/1.1 413 ")), (message, answer)
            assert answer[-1] == b"", "and its connection is closed"
        assert set(fake.answers) == wanted | set(nameable)
        assert fake.malformed == []
        assert server.pids() == before
        assert "died" not in server.log
