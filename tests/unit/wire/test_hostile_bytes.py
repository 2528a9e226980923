"""What comes to doors and should not: it is refused as it should be, however it is cut."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from support.codecs import PEER, Connection, factory

CASES = Path(__file__).parents[2] / "cases" / "hostile"


def load() -> list[Any]:
    return [
        pytest.param(path.stem, case, id=f"{path.stem}-{case['name']}")
        for path in sorted(CASES.glob("*.json"))
        for case in json.loads(path.read_text())
    ]


@pytest.mark.parametrize(("protocol", "case"), load())
@pytest.mark.parametrize("cut", [1, 5, 1 << 20])
def test_case(protocol: Any, case: dict[str, Any], cut: int) -> None:
    connection = Connection(factory(protocol)(PEER))
    data = case["send"].encode("latin-1")
    for at in range(0, len(data), cut):
        connection.feed(data[at : at + cut])
    assert connection.refused == case["status"], connection.why
    for got in connection.requests:
        assert got.request.variables is not None
        assert not [name for name in got.request.variables if name.startswith("UWSGI_")]
