"""Closed-loop load: clients that each send their next request when the last one is over."""

from __future__ import annotations

import itertools
import threading
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING

from support.http import BadResponse, Closed, Connection

if TYPE_CHECKING:
    from support.http import Address


@dataclass(frozen=True)
class Result:
    """What became of one request: ``status``, ``closed``, ``timeout``, ``garbled`` or ``foreign``, which is another
    request's answer; times are monotonic."""

    outcome: str
    status: int
    started: float
    seconds: float
    body: bytes


class Load:
    """Runs while its ``with`` block does.

    Threads: each client appends to ``results``, which is atomic; everything else belongs to the test's thread.

    Args:
        targets: taken in turn.
        keep_alive: one connection a client, as long as the server keeps it.
        timeout: seconds until a request counts as ``timeout``.
        tagged: each request has a path of its own, which the good answer must repeat (``/sleep/SECONDS``).
        connect: makes the connections.
        again: ask once more where a connection that had served is closed in place of an answer, as any client of HTTP's
            has to; ``asked_again`` counts them.
    """

    def __init__(
        self,
        address: Address,
        *targets: str,
        clients: int = 16,
        keep_alive: bool = True,
        timeout: float = 10.0,
        tagged: bool = False,
        connect: type[Connection] = Connection,
        again: bool = False,
    ) -> None:
        self._address = address
        self._connect = connect
        self._again = again
        self._tags = itertools.count() if tagged else None
        self._targets = itertools.cycle(targets or ("/",))
        self._keep_alive = keep_alive and connect.serves_more
        self._timeout = timeout
        self._over = threading.Event()
        self._threads = [threading.Thread(target=self._client, name=f"client-{n}") for n in range(clients)]
        self.results: list[Result] = []
        self.asked_again: list[str] = []
        self.resets: list[str] = []
        """Targets of requests whose connection the server broke off."""

    def __enter__(self) -> Load:
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    def stop(self) -> None:
        """Let every client finish its request."""
        self._over.set()
        for thread in self._threads:
            thread.join(self._timeout + 5)
            assert not thread.is_alive(), f"{thread.name} hangs"

    def more(self, count: int, timeout: float = 30.0, *, since: float = 0.0) -> list[Result]:
        """Wait for *count* further good answers, of requests sent after *since* if that is given."""
        begin, deadline = len(self.results), time.monotonic() + timeout
        while True:
            new = self.results[begin:]
            good = [result for result in new if result.outcome == "status" and result.started >= since]
            if len(good) >= count:
                return good
            assert time.monotonic() < deadline, f"{len(good)} of {count} answers in {timeout} s: {self.summary()}"
            time.sleep(0.005)

    def worst(self) -> float:
        """Seconds of the slowest request."""
        return max(result.seconds for result in self.results)

    def overtaken(self) -> int:
        """How many others began after some request and were answered before it; the most."""
        ends = [(result.started, result.started + result.seconds) for result in self.results]
        return max(sum(began > start and ended < end for began, ended in ends) for start, end in ends)

    def summary(self) -> dict[str, int]:
        """How often each outcome, or status, came."""
        counts: dict[str, int] = {}
        for result in list(self.results):
            key = str(result.status) if result.outcome == "status" else result.outcome
            counts[key] = counts.get(key, 0) + 1
        return counts

    def _client(self) -> None:
        connection: Connection | None = None
        served = False
        while not self._over.is_set():
            target, started = next(self._targets), time.monotonic()
            status, body = 0, b""
            if self._tags is not None:
                target = f"{target}/{next(self._tags)}"
            try:
                if connection is None:
                    connection, served = self._connect(self._address, self._timeout), False
                try:
                    response = connection.request(target)
                except Closed as closed:
                    if not (self._again and served) or closed.partial or connection.was_reset:
                        raise
                    self.asked_again.append(target)
                    connection.close()
                    connection = self._connect(self._address, self._timeout)
                    response = connection.request(target)
                served = True
                outcome, status, body = "status", response.status, response.body
                if self._tags is not None and status == 200 and body != target.encode():
                    outcome = "foreign"
                keep = self._keep_alive and response.get("connection") != "close"
            except (Closed, ConnectionError) as error:
                if isinstance(error, ConnectionResetError) or (connection is not None and connection.was_reset):
                    self.resets.append(target)
                outcome, keep = "closed", False
            except TimeoutError:
                outcome, keep = "timeout", False
            except BadResponse:
                outcome, keep = "garbled", False
            self.results.append(Result(outcome, status, started, time.monotonic() - started, body))
            if not keep and connection is not None:
                connection.close()
                connection = None
        if connection is not None:
            connection.close()
