"""Tagged netstrings."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from m2serve.errors import LocalProtocolError, RemoteProtocolError
from m2serve.wire import tnet


@pytest.mark.parametrize(
    ("value", "encoded"),
    [
        (b"", b"0:,"),
        (b"abc", b"3:abc,"),
        (7, b"1:7#"),
        (-12, b"3:-12#"),
        (True, b"4:true!"),
        (False, b"5:false!"),
        (None, b"0:~"),
        ([], b"0:]"),
        ([b"ctl", {b"keep-alive": b""}], b"27:3:ctl,17:10:keep-alive,0:,}]"),
        ([b"ctl", {b"credits": 20480}], b"28:3:ctl,18:7:credits,5:20480#}]"),
        ([b"ctl", {b"cancel": b""}], b"22:3:ctl,12:6:cancel,0:,}]"),
        ([b"ctl", {b"credits": 1, b"cancel": b""}], b"36:3:ctl,26:7:credits,1:1#6:cancel,0:,}]"),
    ],
)
def test_dump_is_what_mongrel2_reads(value: object, encoded: bytes) -> None:
    assert tnet.dump(value) == encoded
    assert tnet.loads(encoded) == value


@pytest.mark.parametrize("value", ["text", 1.5, {"text": b""}, {1: b""}, [object()], {b"a": "text"}, bytearray(b"x")])
def test_dump_refuses_what_could_crash_the_reader(value: object) -> None:
    with pytest.raises(LocalProtocolError):
        tnet.dump(value)


VALUES: st.SearchStrategy[Any] = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**62), 2**62) | st.binary(max_size=40),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.binary(max_size=8), inner, max_size=4),
    max_leaves=12,
)


@given(VALUES)
def test_dump_and_loads_agree(value: object) -> None:
    assert tnet.loads(tnet.dump(value)) == value


@given(st.binary(max_size=60))
def test_loads_gives_a_value_or_the_error(raw: bytes) -> None:
    try:
        tnet.loads(raw)
    except RemoteProtocolError:
        pass


@pytest.mark.parametrize("raw", [b"1:a,x", b"", b"3:ab,", b"3:abc?", b"1:x#", b"11:0:]1:b,1:a,}", b"9:1:a,1:b,}}"])
def test_loads_refuses(raw: bytes) -> None:
    with pytest.raises(RemoteProtocolError):
        tnet.loads(raw)


def test_loads_survives_depth() -> None:
    raw = b"0:]"
    for _ in range(5000):
        raw = b"%d:%b]" % (len(raw), raw)
    with pytest.raises(RemoteProtocolError):
        tnet.loads(raw)


def test_span_points_at_content_and_tag() -> None:
    assert tnet.span(b"xx3:abc,", 2) == (4, 7)
    assert tnet.span(b"0:,", 0) == (2, 2)


@pytest.mark.parametrize(
    "raw",
    [b"", b":", b"x:a,", b"01:a,", b"00:,", b"+1:a,", b"-1:a,", b" 1:a,", b"1 :a,", b"1_0:aaaaaaaaaa,", b"3:abc",
     b"3:ab", b"\xb2:aa,", b"99999999999:a,", b"12345678901234:a,", b"3"],
)  # fmt: skip
def test_span_refuses(raw: bytes) -> None:
    with pytest.raises(RemoteProtocolError):
        tnet.span(raw, 0)


def test_span_keeps_its_limit() -> None:
    assert tnet.span(b"4:abcd,", 0, 4) == (2, 6)
    with pytest.raises(RemoteProtocolError) as caught:
        tnet.span(b"5:abcde,", 0, 4)
    assert caught.value.status == 413
