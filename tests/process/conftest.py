"""Fixtures of the process tests."""

from __future__ import annotations

import pytest
from support.obedient import Running, gone


@pytest.fixture
def start(tmp_path):
    servers = []

    def starter(*options, **keywords):
        servers.append(Running(tmp_path, *options, **keywords))
        return servers[-1]

    yield starter
    for server in servers:
        if server.process.poll() is None:
            server.process.kill()
        server.leave()
        assert server.process.stderr is not None
        server.process.stderr.close()
        assert all(gone(pid) for pid in server.pids())
        assert "IllegalMove" not in server.log
