"""Placeholders."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from m2serve.config.entry import COMMAND_LINE, Entry
from m2serve.config.expander import Expander
from m2serve.config.magic import file_magic, first_file_magic
from m2serve.errors import ConfigError


def expand(value: str, /, *, env: dict[str, str] | None = None, origin: str = "a.ini:9", **names: str) -> str:
    entry = Entry("key", value, origin, magic={"d": "/srv/", "k": "8", "[": "\033"})
    entries = [Entry(name, text, "a.ini:1") for name, text in names.items()]
    return expander_of([*entries, entry], env).expand(entry)


def fetch(source: str) -> str:
    if source != "/srv/secret":
        raise ConfigError(f"cannot read {source!r}")
    return "one\ntwo\n\n"


def expander_of(entries: list[Entry], env: dict[str, str] | None = None) -> Expander:
    expander = Expander(env or {}, fetch)
    for entry in entries:
        expander.define(entry)
    return expander


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ("%(base)/app", "/srv/app"),
        ("%(site)", "/srv/shop"),
        ("%(unknown)", "%(unknown)"),
        ("%d", "/srv/"),
        ("%%d 100%% %%(base)", "%d 100% %(base)"),
        ("%H:%M %", "%H:%M %"),
        ("$(HOME)", "/root"),
        ("$(NOPE)", "$(NOPE)"),
        ("$(NOPE:-x)$(NOPE-y)$(EMPTY-z)$(EMPTY:-z)", "xyz"),
        ("${HOME}", "${HOME}"),
        ("@(/srv/secret)", "one\ntwo\n"),
        ("@($(DIR)/secret)", "one\ntwo\n"),
        ("%($(WHICH)) %( base )", "/srv /srv"),
        ("a) (b) %(", "a) (b) %("),
        ("%(base $(HOME", "%(base $(HOME"),
        ("%()%( )$()", "%()%( )$()"),
        ("%[", "\033"),
    ],
)
def test_replaces(value: str, expected: str) -> None:
    env = {"HOME": "/root", "EMPTY": "", "DIR": "/srv", "WHICH": "base"}
    assert expand(value, env=env, base="/srv", site="%(base)/shop") == expected


@pytest.mark.parametrize(
    ("expression", "expected"),
    [
        ("a + 2", "7"),
        ("a - 7", "-2"),
        ("a * 3", "15"),
        ("a / 2", "2"),
        ("neg / 2", "-3"),
        ("a / 0", "0"),
        ("a ++", "6"),
        ("a --", "4"),
        ("a b", "5foo"),
        ("b -", "foo"),
        ("a + b", "5"),
        ("a + 2 * 3", "21"),
        ("a + 2 a", "75"),
        ("a + a a + 1", "106"),
        ("a 007", "5007"),
        ("2 + a", "7"),
        ("nope + 1", "1"),
        ("a lit b", "5foo"),
        ("%k + 1", "9"),
        ("%(a) + 1", "6"),
        ("c * 2", "12"),
    ],
)
def test_calculates_from_left_to_right(expression: str, expected: str) -> None:
    assert expand(f"%({expression})", a="5", b="foo", neg="-7", c="%(a ++)") == expected


def test_each_source_is_fetched_once_whether_it_is_there_or_not() -> None:
    fetched: list[str] = []

    def fetch_and_note(source: str) -> str:
        fetched.append(source)
        return fetch(source)

    expander = Expander({}, fetch_and_note)
    for _ in range(3):
        assert expander.expand(Entry("a", "@(/srv/secret)", "a.ini:1")) == "one\ntwo\n"
        with pytest.raises(ConfigError, match="cannot read"):
            expander.expand(Entry("a", "@(none)", "a.ini:2"))
    assert fetched == ["/srv/secret", "none"]


def test_arithmetic_has_64_bits() -> None:
    for expression in ("n * n", "n + m", "m ++"):
        with pytest.raises(ConfigError, match="64 bits"):
            expand(f"%({expression})", n=str(2**62), m="9" * 5000)


def test_a_missing_file_is_a_mistake() -> None:
    with pytest.raises(ConfigError, match="cannot read '/srv/nope'"):
        expand("x @(/srv/nope)")


@given(st.text(alphabet="%$@()ab_ +-*/0:~d\n"))
def test_any_text_expands_or_is_a_mistake(value: str) -> None:
    try:
        expand(value, a=value, b="%(a)x$(b)")
    except ConfigError:
        pass


def test_the_shell_has_no_magic_letters() -> None:
    assert expand("%d %% %(base)", origin=COMMAND_LINE, base="x") == "%d %% x"


def test_a_name_means_its_first_definition() -> None:
    entries = [Entry("a", "1", "f:1"), Entry("a", "2", "f:2"), Entry("b", "%(a)", "f:3")]
    expander = expander_of(entries)
    assert expander.expand(entries[2]) == "1"
    assert expander.referenced == {"a"}


def test_the_environment_is_not_expanded_again() -> None:
    assert expand("$(X)", env={"X": "%(base)"}, base="x") == "%(base)"


@pytest.mark.parametrize("names", [{"a": "%(a)"}, {"a": "%(b)", "b": "%(a)"}])
def test_a_circle_is_a_mistake(names: dict[str, str]) -> None:
    with pytest.raises(ConfigError, match="refers to itself"):
        expand("%(a)", **names)


def test_growth_has_an_end() -> None:
    names = {f"n{level}": f"%(n{level + 1})" * 10 for level in range(30)} | {"n30": "x" * 10}
    with pytest.raises(ConfigError, match="grow past"):
        expand("%(n0)", **names)


def test_depth_has_an_end() -> None:
    names = {f"n{level}": f"%(n{level + 1})" for level in range(5000)}
    with pytest.raises(ConfigError, match="nested"):
        expand("%(n0)", **names)


def test_variables_of_a_file() -> None:
    magic = file_magic("conf/shop.dev.ini", "dev", "/srv/sites", 12)
    expected = {"o": "conf/shop.dev.ini", "p": "/srv/sites/conf/shop.dev.ini", "s": "shop.dev.ini"}
    expected |= {"n": "shop.dev", "e": "ini", "d": "/srv/sites/conf/", "c": "conf", "x": "dev"}
    expected |= {"0": "srv", "1": "sites", "2": "conf"}
    expected |= {"i": "12", "j": magic["j"]}
    assert magic == expected
    assert file_magic("a.ini", "", "/tmp/initry")["j"] == "730DE55F"  # as uWSGI prints it
    assert first_file_magic(magic)["D"] == "/srv/sites/conf/"


def test_a_file_at_the_root() -> None:
    magic = file_magic("/shop.ini", "", "/srv")
    assert (magic["d"], magic["c"]) == ("/", "")
