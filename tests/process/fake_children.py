"""A server whose children obey the links and do nothing else; files in a directory tell workers to misbehave.

Usage: fake_children.py DIRECTORY OPTION... with the options of m2serve.
"""

from __future__ import annotations

import logging
import os
import select
import sys

from m2serve.config.settings import load
from m2serve.errors import ExitCode
from m2serve.master.server import Server
from m2serve.master.spawn import Entries
from m2serve.system.fds import open_fds
from m2serve.system.link import EOF
from m2serve.wire.link import Verb

log = logging.getLogger("fake")
directory = sys.argv[1]


def told(name):
    return os.path.exists(os.path.join(directory, name))


def tell(name):
    open(os.path.join(directory, name), "w").close()


def is_open(fd):
    """Not the descriptor by which the list was read."""
    try:
        os.fstat(fd)
    except OSError:
        return False
    return True


def hear(link):
    """Wait for one message."""
    poller = select.poll()
    poller.register(link, select.POLLIN)
    while True:
        poller.poll()
        received = link.receive()
        if received is not None:
            return received


def worker(settings, link, node, post):
    known = {0, 1, 2, link.fileno(), node.ledger_fd, node.wake_fd, *post.worker_fds()}
    strangers = [os.readlink(f"/proc/self/fd/{fd}") for fd in open_fds() if fd not in known and is_open(fd)]
    log.info("worker %d holds strangers: %s", post.worker, strangers)
    if told("crash"):
        raise RuntimeError("told to crash")
    if told("hang"):
        while hear(link) is not EOF:
            pass
    if told("fail") or (told("fail-later") and told("began")):
        link.send(Verb.FAILED, {"traceback": "Traceback of the test", "summary": "no module named nothing"})
        if settings.need_app:
            return ExitCode.APP_LOAD
    tell("began")
    link.send(Verb.READY, {"threads": [f"uuid-{post.key}"], "apps": [], "seconds": 0.01})
    if told("leave"):
        os.unlink(os.path.join(directory, "leave"))
        link.send(Verb.LEAVING, {"reason": "told to leave"})
        return ExitCode.OK
    while True:
        received = hear(link)
        if received is EOF:
            return ExitCode.MASTER_LOST
        if received.verb in (Verb.DRAIN, Verb.STOP) and not told("stubborn"):
            return ExitCode.OK


def dispatcher(settings, link, node):
    log.info("dispatcher holds pulls %s posts %s", sorted(node.pulls), sorted(node.posts))
    for fd in (*node.fds(), *node.pulls.values()):
        os.fstat(fd)
    for key, post in node.posts.items():
        poller = select.poll()
        poller.register(post.crew_dispatcher_fd, select.POLLIN)
        if poller.poll(0):
            log.info("settles the dead worker with key %d", key)
            link.send(Verb.SETTLED, {"key": key})
    reader, writer = os.pipe()
    link.send(Verb.PULL, {"endpoint": 0}, [reader])
    link.send(Verb.READY, {})
    while True:
        received = hear(link)
        if received is EOF:
            return ExitCode.MASTER_LOST
        if received.verb is Verb.WORKER:
            log.info("dispatcher knows key %d by %d descriptors", received.payload["key"], len(received.fds))
        if received.verb is Verb.STOP:
            link.send(Verb.QUIET, {})
        if received.verb is Verb.PING and not told("deaf"):
            link.send(Verb.ALIVE, {})
        if received.verb is Verb.DRAIN:
            os.close(writer)
            return ExitCode.OK


def nursery(settings, link, node, master, sheet_fd):
    raise AssertionError("lazy-apps")


def main():
    logging.basicConfig(level=logging.INFO, format="%(levelname)s %(name)s: %(message)s")
    return Server(load(["--lazy-apps", *sys.argv[2:]], {}), Entries(dispatcher, worker, nursery)).run()


if __name__ == "__main__":
    sys.exit(main())
