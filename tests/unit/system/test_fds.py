"""Which descriptors a process holds."""

from __future__ import annotations

import os
import resource
import socket
from typing import TYPE_CHECKING

from m2serve.system import fds

if TYPE_CHECKING:
    import pytest


def test_standard_input_gives_way_unless_it_is_a_socket() -> None:
    saved = os.dup(0)
    reader, writer = os.pipe()
    one, other = socket.socketpair()
    try:
        os.dup2(reader, 0)
        fds.leave_standard_input()
        assert os.readlink("/proc/self/fd/0") == os.devnull
        assert os.get_inheritable(0)
        os.close(0)
        fds.leave_standard_input()
        assert os.readlink("/proc/self/fd/0") == os.devnull
        assert os.get_inheritable(0)
        os.dup2(one.fileno(), 0)
        fds.leave_standard_input()
        assert os.readlink("/proc/self/fd/0").startswith("socket:")
    finally:
        os.dup2(saved, 0)
        for fd in (saved, reader, writer):
            os.close(fd)
        one.close()
        other.close()


def test_without_proc_the_same_are_found(monkeypatch: pytest.MonkeyPatch) -> None:
    expected = [fd for fd in fds.open_fds() if fds._is_open(fd)]

    def nothing(path: str) -> list[str]:
        raise FileNotFoundError(path)

    monkeypatch.setattr(os, "listdir", nothing)
    monkeypatch.setattr(resource, "getrlimit", lambda which: (max(expected) + 10, -1))
    assert fds.open_fds() == expected
