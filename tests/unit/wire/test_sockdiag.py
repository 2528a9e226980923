"""The kernel's answer about a Unix socket, from bytes that a real one gave."""

from __future__ import annotations

import os
import socket
import struct

import pytest
from hypothesis import given
from hypothesis import strategies as some

from m2serve.wire import sockdiag
from m2serve.wire.sockdiag import Lengths

CAPTURED = bytes.fromhex(
    "3400000014000000010000009033000001010a00d08b510101000000000000000c00040004000000070000000500060000000000"
)


def test_the_question():
    found = sockdiag.question(0x11223344)
    assert len(found) == 40
    assert struct.unpack("=IHHII", found[:16]) == (40, 20, 1, 1, 0)
    assert struct.unpack("=BBHIIIII", found[16:])[4] == 0x11223344


def test_a_captured_answer():
    assert sockdiag.answer(CAPTURED) == Lengths(4, 7)


@pytest.mark.parametrize(
    "data",
    [b"", CAPTURED[:20], CAPTURED[:4] + b"\x02\0" + CAPTURED[6:], CAPTURED[:32] + bytes(20), CAPTURED[:36] + bytes(16)],
)
def test_what_is_no_answer(data):
    assert sockdiag.answer(data) in (None, Lengths(0, 0))


@given(some.binary(max_size=80), some.integers(0, len(CAPTURED)))
def test_any_bytes(data, cut):
    for text in (data, CAPTURED[:cut] + data):
        assert sockdiag.answer(text) is None or isinstance(sockdiag.answer(text), Lengths)


def test_this_kernel_understands_it(tmp_path):
    with socket.socket(socket.AF_UNIX) as sock:
        sock.bind(str(tmp_path / "a"))
        sock.listen(3)
        with socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, sockdiag.NETLINK_SOCK_DIAG) as kernel:
            kernel.settimeout(5)
            kernel.send(sockdiag.question(os.fstat(sock.fileno()).st_ino))
            assert sockdiag.answer(kernel.recv(4096)) == Lengths(0, 3)
