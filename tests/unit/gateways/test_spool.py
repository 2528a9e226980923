"""The queue between an application and a client that reads slowly."""

from __future__ import annotations

import os
import random
from typing import TYPE_CHECKING

import pytest

from m2serve.gateways.spool import Spool

if TYPE_CHECKING:
    from collections.abc import Iterator


@pytest.fixture(autouse=True)
def _no_descriptor_is_left() -> Iterator[None]:
    before = set(os.listdir("/proc/self/fd"))
    yield
    assert set(os.listdir("/proc/self/fd")) <= before


def taken(spool: Spool, size: int = 1 << 30) -> bytes:
    parts = []
    while data := spool.take(size):
        parts.append(data)
    assert spool.size == 0
    return b"".join(parts)


@pytest.mark.parametrize(("memory", "disk"), [(0, 50), (10, 50), (10, 0), (0, 7), (1000, 1000)])
def test_a_queue_whatever_its_room(memory: int, disk: int) -> None:
    spool = Spool(memory, disk)
    chance = random.Random(1)
    put, got = b"", b""
    for _ in range(2000):
        data = chance.randbytes(chance.randrange(30))
        count = spool.put(data)
        assert count == len(data) or spool.size >= max(memory, disk)
        put += data[:count]
        got += spool.take(chance.randrange(1, 40))
        assert spool.size == len(put) - len(got) <= memory + disk
    assert got + taken(spool) == put
    assert len(put) > 2000
    spool.close()


def test_memory_first_and_the_file_empty_again() -> None:
    spool = Spool(10, 100)
    assert spool.put(b"x" * 10) == 10
    assert spool._fd < 0
    assert spool.put(b"y" * 90) == 90
    assert not os.get_inheritable(spool._fd)
    assert os.fstat(spool._fd).st_nlink == 0
    assert taken(spool, 64) == b"x" * 10 + b"y" * 90
    assert os.fstat(spool._fd).st_size == 0
    assert spool.put(b"z" * 5) == 5
    assert taken(spool) == b"z" * 5
    spool.close()


def test_a_disk_that_fails(monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture) -> None:
    spool = Spool(10, 100)

    def fails(*_: object) -> int:
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(os, "pwrite", fails)
        assert [spool.put(b"x" * 15), spool.put(b"x" * 5)] == [10, 0]
    assert caplog.text.count("No space left") == 1
    assert "response-spool" in caplog.text
    assert spool.take(4) == b"xxxx"
    assert spool.put(b"y" * 20) == 20  # the disk has room again
    assert taken(spool) == b"x" * 6 + b"y" * 20
    spool.close()
    assert spool.size == 0
