"""Tells the master which files the application was imported from, for py-autoreload."""

from __future__ import annotations

import threading
import time
from typing import TYPE_CHECKING, Final

from m2serve.wire.link import Verb

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from m2serve.apps.sources import Sources
    from m2serve.system.link import Link

_A_MESSAGE: Final = 20_000
"""Characters of names in one message; a link takes 128 KiB."""


def tell(link: Link, files: Iterable[str]) -> None:
    """Name them, in as many messages as it takes."""
    for batch in batches(files):
        link.send(Verb.FILES, {"files": batch})


def follow(link: Link, sources: Sources, period: float) -> None:
    """From now on tell what is imported later, while requests are served; in a thread of its own."""

    def watch() -> None:
        while True:
            time.sleep(period)
            tell(link, sources.fresh())

    threading.Thread(target=watch, name="imports", daemon=True).start()


def batches(files: Iterable[str]) -> Iterator[Sequence[str]]:
    """Lists that fit into a message."""
    batch: list[str] = []
    size = 0
    for file in files:
        if batch and size + len(file) > _A_MESSAGE:
            yield batch
            batch, size = [], 0
        batch.append(file)
        size += len(file)
    if batch:
        yield batch
