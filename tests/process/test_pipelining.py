"""Many requests of one client in one write: answered in order, whatever each takes and whoever else is served."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from support.http import Closed, Connection, request_bytes
from support.load import Load

if TYPE_CHECKING:
    from collections.abc import Callable

    from support.mongrel2 import Mongrel2
    from support.server import Server

TOGETHER = 50


def mixed(first: int) -> list[tuple[str, int]]:
    """Paths and the sizes of their answers; those that begin late and those too large for a slot are among them."""
    asked = []
    for number in range(first, first + TOGETHER):
        match number % 5:
            case 0:
                path, size = f"/sleep/0.02/{number}", 0
            case 1:
                path, size = f"/big/{70_000 + number}", 70_000 + number
            case 2:
                path, size = f"/pieces/4/20000/{number}", 80_000
            case 3:
                path, size = f"/sleep/0.0{number % 4}/{number}", 0
            case _:
                path, size = f"/pieces/1/100/{number}", 100
        asked.append((path, size or len(path)))
    return asked


def ask(mongrel2: Mongrel2, asked: list[tuple[str, int]]) -> None:
    """All in one write, and every answer in its place."""
    with Connection(mongrel2.address) as client:
        client.send(b"".join(request_bytes(path) for path, _ in asked))
        for path, size in asked:
            response = client.read()
            assert response.status == 200, (path, response)
            assert len(response.body) == size, path
            if not path.startswith("/big"):
                assert response.body.startswith(path.encode())


@pytest.mark.parametrize(
    ("scheme", "flow"),
    [pytest.param("tcp", 0, marks=pytest.mark.alone), pytest.param("ipc", 0, marks=pytest.mark.alone), ("tcp", 1)],
)
def test_fifty_in_one_write_are_answered_in_order(
    start_mongrel2: Callable[..., Mongrel2], serve: Callable[..., Server], scheme: str, flow: int
) -> None:
    mongrel2 = start_mongrel2(scheme=scheme, settings={"download.flow_control": flow})
    serve(mongrel2, processes=2, threads=4, options=("--disable-logging",))
    with (
        Load(mongrel2.address, "/sleep/0.002", clients=15, tagged=True) as small,
        Load(mongrel2.address, "/pieces/2/40000/load", clients=1) as large,
    ):
        small.more(50)
        rounds, cuts = 0, 0
        while rounds < 3:
            try:
                ask(mongrel2, mixed(100 * rounds))
                rounds += 1
            except Closed:
                # without flow control Mongrel2 cuts off whoever is slower than we take him for
                cuts += 1
                assert not flow and cuts < 5
        large.more(5)
    assert set(small.summary()) == set(large.summary()) == {"200"}, (small.summary(), large.summary())
