"""The wait of the master's loop: until something can be read, or the next deadline."""

from __future__ import annotations

import select
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable

    from m2serve.ids import Seconds
    from m2serve.master.attachment import Attachment
    from m2serve.master.child import Child

LONGEST_WAIT = 60.0
"""Seconds; bounds the harm of a deadline that nobody computed."""


def wait(
    wakeup: int, children: Iterable[Child], attachments: Iterable[Attachment], due: Seconds | None, now: Seconds
) -> tuple[list[Child], list[tuple[Attachment, int]]]:
    """Sleep; return the children whose link or output has something, and attachments with their descriptors.

    A fresh poll object each time: unlike epoll it is no descriptor that a child would inherit, and the table
    is short.
    """
    poller = select.poll()
    poller.register(wakeup, select.POLLIN)
    owners: dict[int, Child] = {}
    for child in children:
        if child.link is not None:
            owners[child.link.fileno()] = child
            poller.register(child.link, select.POLLIN | (select.POLLOUT if child.link.pending else 0))
        if child.output is not None:
            owners[child.output] = child
            poller.register(child.output, select.POLLIN)
    others: dict[int, Attachment] = {}
    for attachment in attachments:
        for fd, wanted in attachment.polled().items():
            others[fd] = attachment
            poller.register(fd, wanted)
    timeout = LONGEST_WAIT if due is None else min(max(due - now, 0.0), LONGEST_WAIT)
    # Rounded up: a wait that ends before the deadline would spin until it.
    events = poller.poll(int(timeout * 1000) + (1 if timeout > 0 else 0))
    ready = [fd for fd, _ in events]
    return [owners[fd] for fd in ready if fd in owners], [(others[fd], fd) for fd in ready if fd in others]
