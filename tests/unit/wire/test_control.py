"""Extended messages, byte for byte as Mongrel2 was seen to take them."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from m2serve.errors import LocalProtocolError
from m2serve.wire import control, tnet


def test_keep_alive() -> None:
    assert control.keep_alive(b"app-1", [b"7"]) == b"app-1 3:X 7, 27:3:ctl,17:10:keep-alive,0:,}]"
    assert control.keep_alive(b"app-1", [b"7", b"12"]) == b"app-1 6:X 7 12, 27:3:ctl,17:10:keep-alive,0:,}]"


def test_upload_credits() -> None:
    assert control.upload_credits(b"app-1", b"7", 20480) == b"app-1 3:X 7, 28:3:ctl,18:7:credits,5:20480#}]"


@given(st.integers(min_value=1, max_value=10**12))
def test_any_grant_parses(count: int) -> None:
    body = control.upload_credits(b"a", b"1", count).partition(b", ")[2]
    assert tnet.loads(body) == [b"ctl", {b"credits": count}]


@pytest.mark.parametrize("ids", [[], [b"1"] * (control.TARGETS_MOST + 1)])
def test_a_wrong_number_of_connections(ids: list[bytes]) -> None:
    with pytest.raises(LocalProtocolError, match="connections in one message"):
        control.keep_alive(b"a", ids)


@pytest.mark.parametrize("count", [0, -1])
def test_credits_are_positive(count: int) -> None:
    with pytest.raises(LocalProtocolError, match="expected a positive number"):
        control.upload_credits(b"a", b"1", count)
