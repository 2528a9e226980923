from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from m2serve.gateways.files.conditions import (
    NOTHING,
    Part,
    Validators,
    Verdict,
    accepts_gzip,
    parse_date,
    part,
    verdict,
)

WHEN = 784111777
IMF = "Sun, 06 Nov 1994 08:49:37 GMT"
LATER = "Sun, 06 Nov 1994 08:49:38 GMT"
BEFORE = "Sun, 06 Nov 1994 08:49:36 GMT"
OLD = Validators.of(WHEN * 10**9, 10, WHEN + 100)
YOUNG = Validators.of(WHEN * 10**9, 10, WHEN + 1)


@pytest.mark.parametrize("text", [IMF, "Sunday, 06-Nov-94 08:49:37 GMT", "Sun Nov  6 08:49:37 1994", f" {IMF} "])
def test_the_three_dates(text: str) -> None:
    assert parse_date(text) == WHEN


@pytest.mark.parametrize(
    "text",
    [
        *("", "yesterday", "784111777", "Sun, 06 Nov 0000 "),
        *("Sun, 06 Nop 1994 08:49:37 GMT", "Sun, 06 Nov 1994 08:49:37 CET", "Sun, \u0660\u0666 Nov 1994 08:49:37 GMT"),
    ],
)
def test_what_is_no_date(text: str) -> None:
    assert parse_date(text) is None


@given(st.text())
def test_any_text_is_a_date_or_none(text: str) -> None:
    parse_date(text)


@given(
    st.dictionaries(st.sampled_from(["HTTP_RANGE", "HTTP_IF_RANGE", "HTTP_IF_NONE_MATCH", "HTTP_IF_MATCH"]), st.text())
)
def test_any_header_can_be_judged(environ: dict[str, str]) -> None:
    verdict(environ, OLD)
    found = part({"REQUEST_METHOD": "GET", **environ}, OLD, 10)
    assert found is None or found is NOTHING or (found.size > 0 and found.first + found.size <= 10)


def test_a_young_file_has_a_weak_tag() -> None:
    assert YOUNG.tag == f"W/{OLD.tag}"
    assert Validators.of(WHEN * 10**9, 10, WHEN + 100, "-gz").tag != OLD.tag


@pytest.mark.parametrize(
    ("name", "value", "expected"),
    [
        ("IF_NONE_MATCH", OLD.tag, Verdict.NOT_MODIFIED),
        ("IF_NONE_MATCH", f"W/{OLD.tag}", Verdict.NOT_MODIFIED),
        ("IF_NONE_MATCH", f'"a, b", {OLD.tag}', Verdict.NOT_MODIFIED),
        ("IF_NONE_MATCH", "*", Verdict.NOT_MODIFIED),
        ("IF_NONE_MATCH", '"another"', Verdict.SEND),
        ("IF_NONE_MATCH", "nonsense", Verdict.SEND),
        ("IF_MODIFIED_SINCE", IMF, Verdict.NOT_MODIFIED),
        ("IF_MODIFIED_SINCE", LATER, Verdict.NOT_MODIFIED),
        ("IF_MODIFIED_SINCE", BEFORE, Verdict.SEND),
        ("IF_MODIFIED_SINCE", "nonsense", Verdict.SEND),
        ("IF_UNMODIFIED_SINCE", IMF, Verdict.SEND),
        ("IF_UNMODIFIED_SINCE", BEFORE, Verdict.FAILED),
        ("IF_MATCH", OLD.tag, Verdict.SEND),
        ("IF_MATCH", f"W/{OLD.tag}", Verdict.FAILED),
        ("IF_MATCH", "*", Verdict.SEND),
    ],
)
def test_verdicts(name: str, value: str, expected: Verdict) -> None:
    assert verdict({f"HTTP_{name}": value}, OLD) is expected


def test_a_tag_counts_and_the_date_beside_it_does_not() -> None:
    assert verdict({"HTTP_IF_NONE_MATCH": '"x"', "HTTP_IF_MODIFIED_SINCE": IMF}, OLD) is Verdict.SEND


def test_a_weak_tag_is_good_enough_for_a_304_and_for_nothing_else() -> None:
    assert verdict({"HTTP_IF_NONE_MATCH": YOUNG.tag}, YOUNG) is Verdict.NOT_MODIFIED
    assert verdict({"HTTP_IF_MATCH": YOUNG.tag}, YOUNG) is Verdict.FAILED
    environ = {"REQUEST_METHOD": "GET", "HTTP_RANGE": "bytes=1-2"}
    assert part({**environ, "HTTP_IF_RANGE": YOUNG.tag}, YOUNG, 10) is None
    assert part({**environ, "HTTP_IF_RANGE": IMF}, YOUNG, 10) is None


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ("bytes=0-0", Part(0, 1)),
        ("bytes=2-5", Part(2, 4)),
        ("Bytes=8-99", Part(8, 2)),
        ("bytes=4-", Part(4, 6)),
        ("bytes=-3", Part(7, 3)),
        ("bytes=-99", Part(0, 10)),
        ("bytes=10-", NOTHING),
        ("bytes=-0", NOTHING),
        ("bytes=5-2", None),
        ("bytes=0-1,3-4", None),
        ("bytes=-", None),
        ("bytes=a-b", None),
        ("lines=0-1", None),
        ("bytes=" + "9" * 40 + "-", None),
    ],
)
def test_parts(value: str, expected: Part | None) -> None:
    assert part({"REQUEST_METHOD": "GET", "HTTP_RANGE": value}, OLD, 10) == expected
    assert part({"REQUEST_METHOD": "HEAD", "HTTP_RANGE": value}, OLD, 10) is None


@pytest.mark.parametrize(("value", "same"), [(OLD.tag, True), (IMF, True), (LATER, False), ('"x"', False)])
def test_a_part_only_of_the_same_file(value: str, same: bool) -> None:
    environ = {"REQUEST_METHOD": "GET", "HTTP_RANGE": "bytes=1-2", "HTTP_IF_RANGE": value}
    assert (part(environ, OLD, 10) is not None) == same


def test_an_empty_file_has_no_parts() -> None:
    for value in ("bytes=0-", "bytes=-1"):
        assert part({"REQUEST_METHOD": "GET", "HTTP_RANGE": value}, OLD, 0) is NOTHING


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ("gzip", True),
        ("br, gzip;q=0.5", True),
        ("gzip;q=0", False),
        ("gzip; q=0.00", False),
        ("br", False),
        ("", False),
    ],
)
def test_gzip(value: str, expected: bool) -> None:
    assert accepts_gzip({"HTTP_ACCEPT_ENCODING": value}) == expected
    assert not accepts_gzip({})
