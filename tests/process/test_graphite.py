"""Numbers for Graphite from a real server, while other servers of Graphite's are away or do nothing."""

from __future__ import annotations

import re
import signal
import socket
from typing import TYPE_CHECKING

from support.graphite import Graphite
from support.http import get
from support.ports import free_ports
from support.server import wait_until
from support.told import statistics

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from support.mongrel2 import Mongrel2
    from support.server import Server


def test_numbers_arrive_whatever_others_do(mongrel2: Mongrel2, serve: Callable[..., Server], tmp_path: Path) -> None:
    with Graphite() as graphite, socket.create_server(("127.0.0.1", 0), backlog=0) as full, socket.socket() as client:
        client.connect(full.getsockname())  # nobody else has room
        (away,) = free_ports(1)
        ports = [away, full.getsockname()[1], graphite.port]
        options = [word for port in ports for word in ("--carbon", f"127.0.0.1:{port}")]
        options += "--carbon-freq 1 --carbon-root shop --carbon-id front --carbon-hostname-dots _".split()
        server = serve(mongrel2, options=(*options, "--stats", str(tmp_path / "stats")))
        for _ in range(5):
            assert get(mongrel2.address, "/").status == 200
        start = "shop.{}.front.".format(re.sub(r"\s+", "_", socket.gethostname()).replace(".", "_"))
        wait_until(lambda: graphite.latest().get(f"{start}requests") == 5, 20, "five requests")
        numbers = graphite.latest()
        assert numbers[f"{start}worker1.requests"] + numbers[f"{start}worker2.requests"] == 5
        assert numbers[f"{start}active_workers"] == 2
        sent = sum(one["tx"] for one in statistics(tmp_path / "stats")["workers"])
        wait_until(lambda: graphite.latest()[f"{start}tx"] == sent, 20, f"{sent} bytes")
        server.wait_log(rf"WARNING carbon: 127.0.0.1:{away}: Connection refused")
        server.wait_log(rf"WARNING carbon: 127.0.0.1:{ports[1]}: the last push was not over")
        mark = server.mark()
        server.signal(signal.SIGHUP)
        server.wait_log("reload complete|workers ready", after=mark)
        assert get(mongrel2.address, "/").status == 200
        seen = len(graphite.pushes)
        wait_until(lambda: len(graphite.pushes) > seen and graphite.latest()[f"{start}requests"] == 6, 20, "six")
        assert server.stop() == 0
        assert server.log.count(f"carbon: 127.0.0.1:{away}") == 1
