"""Parsers derived from annotations, and the table made of them."""

from __future__ import annotations

from typing import Any, Literal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from m2serve.config.option import clear_truth, kind_of, truth
from m2serve.config.table import BY_NAME, OPTIONS, lookup, nearest
from m2serve.config.values import AppRef, EnvironmentVariable, Mount
from m2serve.errors import ConfigError
from m2serve.ids import Bytes, Seconds


@pytest.mark.parametrize("text", ["false", "FALSE", "off", "No", "0", " 0 "])
def test_four_words_are_false(text: str) -> None:
    assert not truth(text)


@pytest.mark.parametrize(("text", "clear"), [("true", True), ("", True), ("2", True), ("maybe", False)])
def test_everything_else_is_true_as_in_uwsgi(text: str, clear: bool) -> None:
    assert truth(text)
    assert clear_truth(text) == clear


@pytest.mark.parametrize(
    ("annotation", "text", "value"),
    [
        (int, "4", 4),
        (int, " 007 ", 7),
        (int | None, "+4", 4),
        (Seconds, "30", 30.0),
        (Seconds, "0.5", 0.5),
        (Seconds, "250ms", 0.25),
        (Seconds, "2 m", 120.0),
        (Seconds, "1h", 3600.0),
        (Bytes, "4096", 4096),
        (Bytes, "64k", 65536),
        (Bytes, "16M", 16 * 2**20),
        (Bytes, "1 GiB", 2**30),
        (Bytes, "1MB", 2**20),
        (str, "with # and ; and blanks", "with # and ; and blanks"),
        (Literal["json", "tnetstring"], "json", "json"),
        (tuple[int, ...], "3", 3),
        (AppRef | None, "shop", AppRef("shop")),
    ],
)
def test_reads(annotation: Any, text: str, value: object) -> None:
    assert kind_of(annotation).parse(text) == value


@pytest.mark.parametrize(
    ("annotation", "text", "expected"),
    [
        (int, "many", "whole number"),
        (int, "4x", "whole number"),
        (int, "1_000", "whole number"),
        (int, "0x10", "whole number"),
        (int, "", "whole number"),
        (int, "-1", "0 or more"),
        (int, "٣", "whole number"),
        (int, "9" * 5000, "whole number"),
        (Seconds, "soon", "number of seconds"),
        (Seconds, "nan", "number of seconds"),
        (Seconds, "-1", "number of seconds"),
        (Seconds, "5d", "ms, s, m or h"),
        (Bytes, "1.5M", "number of bytes"),
        (Bytes, "1T", "K, M or G"),
        (str, "", "a value"),
        (str, "a\0b", "a value"),
        (Literal["json", "tnetstring"], "xml", "one of json, tnetstring"),
    ],
)
def test_refuses_and_says_what_was_expected(annotation: Any, text: str, expected: str) -> None:
    with pytest.raises(ConfigError) as caught:
        kind_of(annotation).parse(text)
    assert expected in str(caught.value)


def test_minimum() -> None:
    assert kind_of(int, minimum=1).parse("1") == 1
    for annotation, text in ((int, "0"), (Seconds, "500ms"), (Bytes, "0")):
        with pytest.raises(ConfigError, match="1"):
            kind_of(annotation, minimum=1).parse(text)


def test_an_unknown_annotation_is_a_mistake_of_ours() -> None:
    with pytest.raises(TypeError):
        kind_of(complex)


@given(st.sampled_from([int, Seconds, Bytes, str, AppRef, Mount, EnvironmentVariable]), st.text())
def test_any_text_is_a_value_or_a_config_error(annotation: Any, text: str) -> None:
    try:
        kind_of(annotation).parse(text)
    except ConfigError:
        pass


@pytest.mark.parametrize(
    ("text", "ref"),
    [
        ("shop", AppRef("shop")),
        ("shop.wsgi:app", AppRef("shop.wsgi", attribute="app")),
        ("openerp-wsgi", AppRef("openerp-wsgi")),
        ("shop:site.app", AppRef("shop", attribute="site.app")),
        ("shop:create_app()", AppRef("shop", attribute="create_app", factory=True)),
    ],
)
def test_reads_a_reference_to_an_application(text: str, ref: AppRef) -> None:
    assert AppRef.parse(text) == ref
    assert str(ref) == text


@pytest.mark.parametrize(
    "text", ["", "shop:", ":app", "shop:app ; x", "shop:f(1)", "shop:1", "a..b", "a:b:c", "shop/wsgi.py"]
)
def test_refuses_what_is_no_reference(text: str) -> None:
    with pytest.raises(ConfigError, match=r"expected package\.module"):
        AppRef.parse(text)


@pytest.mark.parametrize(
    ("text", "mount"),
    [
        ("/shop=shop:app", Mount("/shop", AppRef("shop", attribute="app"))),
        ("/shop/ = shop:app", Mount("/shop", AppRef("shop", attribute="app"))),
        ("/=shop", Mount("", AppRef("shop"))),
        ("/a/b=sub/app.py", Mount("/a/b", AppRef(file="sub/app.py"))),
        ("/a=app.wsgi", Mount("/a", AppRef(file="app.wsgi"))),
        ("/a=f:make()", Mount("/a", AppRef("f", attribute="make", factory=True))),
    ],
)
def test_reads_a_mount(text: str, mount: Mount) -> None:
    assert Mount.parse(text) == mount


@pytest.mark.parametrize("text", ["", "shop", "shop=app", "/shop", "/shop=", "//a=app", "/a?b=app", "/a=b c"])
def test_refuses_what_is_no_mount(text: str) -> None:
    with pytest.raises(ConfigError, match="expected"):
        Mount.parse(text)


def test_an_environment_variable_keeps_its_value_as_it_is() -> None:
    assert EnvironmentVariable.parse('A="b=c" ') == ("A", '"b=c" ')
    assert EnvironmentVariable.parse("A=") == ("A", "")
    for text in ("A", "=b", "A=\0"):
        with pytest.raises(ConfigError, match="NAME=VALUE"):
            EnvironmentVariable.parse(text)


def test_every_option_has_one_sentence_at_least_and_a_default_of_its_type() -> None:
    for option in OPTIONS:
        assert option.doc
        assert option.compat or option.doc.endswith("."), option.name
        if option.kind.many:
            assert option.default == ()
        if option.kind.flag:
            assert isinstance(option.default, bool)


@pytest.mark.parametrize("name", ["zeromq", "zmq", "zeromq-socket", "zmq-socket", "mongrel2"])
def test_the_five_names_of_zeromq(name: str) -> None:
    option = lookup(name)
    assert option is not None
    assert option.field == "zeromq"


def test_short_flags_are_no_keys() -> None:
    assert BY_NAME["p"].field == "processes"
    assert lookup("p") is None


@pytest.mark.parametrize(
    ("key", "name"), [("proceses", "processes"), ("wsgi_file", "wsgi-file"), ("Threads", "threads"), ("zzz", None)]
)
def test_nearest_name(key: str, name: str | None) -> None:
    assert nearest(key) == name
