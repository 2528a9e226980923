"""Records as JSON and back; whatever is not what the annotation says is refused by name."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import Enum
from typing import Literal, NamedTuple, NewType

import pytest

from m2serve.errors import RemoteProtocolError
from m2serve.wire import record

Count = NewType("Count", int)


class Colour(Enum):
    RED = "red"
    BLUE = "blue"


class Point(NamedTuple):
    x: int
    y: float = 0.5


@dataclass(frozen=True)
class Inner:
    kind: Literal["tcp", "ipc"]
    colours: tuple[Colour, ...] = ()


@dataclass(frozen=True)
class Outer:
    name: str
    count: Count
    ratio: float
    flag: bool
    inner: Inner | None
    pair: tuple[str, int]
    table: Mapping[str, Point]
    late: str = field(default="unsaid")


NAMES = {"Mapping": Mapping}
WHOLE = Outer(
    "a\udc80ö", Count(3), 1.0, True, Inner("ipc", (Colour.BLUE, Colour.RED)), ("p", 1), {"k": Point(1, 2.5)}, "said"
)


def through(value):
    return json.loads(json.dumps(record.write(value)))


def test_there_and_back():
    assert record.read(Outer, through(WHOLE), NAMES, "state") == WHOLE
    bare = Outer("", Count(0), 0.0, False, None, ("", 0), {})
    assert record.read(Outer, through(bare), NAMES, "state") == bare


def test_what_is_missing_has_its_default_and_what_is_new_is_passed_over():
    raw = through(WHOLE)
    del raw["late"], raw["table"]["k"]["y"]
    raw["from the future"] = [1, 2]
    found = record.read(Outer, raw, NAMES, "state")
    assert (found.late, found.table["k"]) == ("unsaid", Point(1, 0.5))


def test_whole_numbers_may_stand_for_others():
    raw = through(WHOLE) | {"ratio": 2}
    found = record.read(Outer, raw, NAMES, "state")
    assert type(found.ratio) is float


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        ({"name": 3}, r"state\.name: 3: expected str"),
        ({"count": True}, r"state\.count: True: expected int"),
        ({"count": None}, r"state\.count: None: expected int"),
        ({"flag": 1}, r"state\.flag: 1: expected bool"),
        ({"ratio": "1"}, r"state\.ratio: '1': expected float"),
        ({"inner": {"kind": "udp"}}, r"state\.inner\.kind: 'udp': expected tcp or ipc"),
        ({"inner": {"kind": "tcp", "colours": ["GREEN"]}}, r"state\.inner\.colours\[0\]: 'GREEN': expected Colour"),
        ({"inner": []}, r"state\.inner: \[\]: expected dict"),
        ({"pair": ["p"]}, r"state\.pair: \['p'\]: expected 2 values"),
        ({"pair": "pq"}, r"state\.pair: 'pq': expected list"),
        ({"table": {"k": {}}}, r"state\.table\.k: .*missing.*'x'"),
    ],
)
def test_anything_else_is_refused(change, expected):
    with pytest.raises(RemoteProtocolError, match=expected):
        record.read(Outer, through(WHOLE) | change, NAMES, "state")
    with pytest.raises(RemoteProtocolError, match=r"state: \[\]: expected dict"):
        record.read(Outer, [], NAMES, "state")
