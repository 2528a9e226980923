"""What the master makes before it forks."""

from __future__ import annotations

import contextlib
import os

import pytest

from m2serve.endpoint import ZmqPair
from m2serve.errors import ConfigError
from m2serve.front import Front
from m2serve.transports.ledger import MAX_ENDPOINTS, MAX_WORKERS
from m2serve.transports.node import NodeFds, WorkerPost

FRONT = Front(ZmqPair.parse("tcp://127.0.0.1:1,tcp://127.0.0.1:2"))


def open_fds():
    return len(os.listdir("/proc/self/fd"))


def living():
    found = set()
    for fd in range(256):
        with contextlib.suppress(OSError):
            os.fstat(fd)
            found.add(fd)
    return found


def test_close_lets_go_of_everything():
    before = open_fds()
    node = NodeFds.create([FRONT], 65536)
    node.posts[1] = WorkerPost.create(1, 0, 2)
    node.posts[2] = WorkerPost.create(2, 1, 2)
    node.posts[2].close_worker_side()
    node.pulls[0] = os.dup(node.wake_fd)
    assert len(node.fds()) == len(set(node.fds())) == 3 + 2 * 4
    assert not any(os.get_inheritable(fd) for fd in node.fds())
    node.close()
    assert open_fds() == before


def test_a_forked_dispatcher_closes_what_it_has_and_nothing_else():
    node = NodeFds.create([FRONT], 65536)
    post = WorkerPost.create(1, 0, 2)
    node.posts[1] = post
    post.close_worker_side()
    kept, before = set(node.fds()), living()
    # The number of a descriptor that was not kept may have become another's.
    post.close()
    assert before - living() < kept
    node.posts.clear()
    node.close()


def test_a_node_knows_its_fronts():
    node = NodeFds.create([FRONT._replace(flow_control=True)], 65536)
    assert node.endpoints == (FRONT.pair,)
    assert [front.flow_control for front in node.fronts] == [True]
    node.close()


def test_without_fronts_their_defaults_hold():
    assert NodeFds((FRONT.pair,), 65536, -1, -1).fronts == (FRONT,)


def test_a_post_travels_as_descriptors():
    post = WorkerPost.create(7, 3, 2)
    there = WorkerPost.from_fds(7, 3, 2, [os.dup(fd) for fd in post.dispatcher_fds()])
    assert (there.key, there.worker, there.threads) == (7, 3, 2)
    os.write(there.bell_write_fd, b"!")
    assert os.read(post.bell_read_fd, 10) == b"!"
    os.write(there.crew_dispatcher_fd, b"word")
    assert os.read(post.crew_worker_fd, 10) == b"word"
    there.close()
    post.close_worker_side()
    post.close_worker_side()
    post.close()


def test_limits():
    with pytest.raises(ConfigError, match="at most"):
        NodeFds.create([FRONT] * (MAX_ENDPOINTS + 1), 65536)
    with pytest.raises(ConfigError, match="at most"):
        WorkerPost.create(1, MAX_WORKERS, 1)
