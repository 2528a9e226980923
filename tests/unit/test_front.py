"""Where the files of a Mongrel2 lie for us."""

from __future__ import annotations

import pytest

from m2serve.endpoint import ZmqPair
from m2serve.front import Front

PAIR = ZmqPair.parse("tcp://127.0.0.1:9997,tcp://127.0.0.1:9996")


@pytest.mark.parametrize(
    ("front", "name", "paths"),
    [
        (Front(PAIR), "/uploads/up.a", ("/uploads/up.a",)),
        (Front(PAIR, chroot="/srv/m2"), "/uploads/up.a", ("/srv/m2/uploads/up.a", "/uploads/up.a")),
        (Front(PAIR, chroot="/srv/m2", directory="/srv/m2"), "tmp/up.a", ("/srv/m2/tmp/up.a",)),
        (Front(PAIR, directory="/home/m2"), "tmp/up.a", ("/home/m2/tmp/up.a",)),
    ],
)
def test_a_name_becomes_paths_of_ours(front: Front, name: str, paths: tuple[str, ...]) -> None:
    assert front.paths(name) == paths
