"""Actions of hooks, as they are written."""

from __future__ import annotations

import pytest

from m2serve.config.deeds import FUNCTIONS, Deed, Function
from m2serve.config.outside import Outside
from m2serve.config.settings import examine
from m2serve.errors import ConfigError
from m2serve.master.commands import OF_FUNCTION, Command, bound


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("exec:echo a:b  c", ("echo a:b  c",)),
        ("print:goodbye cruel world", ("goodbye cruel world",)),
        ("mkdir:/tmp/a b", ("/tmp/a b",)),
        ("write:/tmp/x one  two", ("/tmp/x", "one  two")),
        ("appendn:/tmp/x", ("/tmp/x", "")),
        ("chmod:/tmp/x 0660", ("/tmp/x", "0660")),
        ("chown:/tmp/x www-data 33", ("/tmp/x", "www-data", "33")),
        ("putenv:A=b c=d", ("A=b c=d",)),
        ("unix_signal:15 gracefully_kill_them_all", ("SIGTERM", "gracefully_kill_them_all")),
        ("unix_signal:term kill_them_all", ("SIGTERM", "kill_them_all")),
        ("unix_signal: SIGUSR2 grace_them_all", ("SIGUSR2", "grace_them_all")),
    ],
)
def test_an_action_with_its_words(text: str, words: tuple[str, ...]) -> None:
    deed = Deed.parse(text)
    assert (deed.kind, deed.words, deed.done_here) == (text.partition(":")[0], words, True)
    assert Deed.parse(str(deed)) == deed


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("echo hello", "expected ACTION:ARGUMENT, with an action of exec, safeexec, print"),
        ("frobnicate:x", "expected ACTION:ARGUMENT"),
        ("", "expected ACTION:ARGUMENT"),
        ("exec:", "expected exec:COMMAND"),
        ("chmod:/tmp/x", "expected chmod:FILE MODE"),
        ("chmod:/tmp/x u+x", "octal digits"),
        ("chown:/tmp/x root", "expected chown:FILE USER GROUP"),
        ("putenv:A", "expected putenv:NAME=VALUE"),
        ("unix_signal:15 sleep", "'sleep': expected one of grace_them_all, gracefully_kill_them_all, "),
        ("unix_signal:99 kill_them_all", "'99': expected the name or number of a signal"),
        ("unix_signal:9 kill_them_all", "SIGKILL cannot be given a meaning"),
        ("unlink:/tmp/\0", "expected unlink:FILE"),
    ],
)
def test_what_makes_no_sense(text: str, expected: str) -> None:
    with pytest.raises(ConfigError, match=expected):
        Deed.parse(text)


def test_functions() -> None:
    assert Function.parse(" shop.hooks:warm ") == "shop.hooks:warm"
    assert Function.parse("a:b").done_here and not Function.parse("uwsgi_symbol").done_here
    for text in ("", ":", "a:", ":b", "a:b:c", "a b:c", "a:b()", "a..b:c"):
        with pytest.raises(ConfigError, match="expected MODULE:FUNCTION"):
            Function.parse(text)


def test_files_with_actions_that_are_not_done_still_start() -> None:
    text = "[uwsgi]\nmodule = a\nzmq = ipc:///a,ipc:///b\nhook-as-root = mount:proc none /proc\nhook-asap = print:x\n"
    found = examine(["a.ini"], {}, Outside(read_file=lambda path: text), "/")
    assert found.problems == ()
    expected = "a.ini:4: hook-as-root: mount:proc none /proc: not in this version: it is not done"
    assert found.settings.warnings == (expected,)
    assert not found.settings.hook_as_root[0].done_here


def test_signals_get_another_meaning() -> None:
    text = (
        "[uwsgi]\nmodule = a\nzmq = ipc:///a,ipc:///b\nhook-master-start = unix_signal:15 gracefully_kill_them_all\n"
        "hook-post-app = unix_signal:USR2 reap_them_all\nhook-accepting = unix_signal:1 kill_them_all\n"
    )
    settings = examine(["a.ini"], {}, Outside(read_file=lambda path: text), "/").settings
    assert bound(settings) == {"SIGTERM": Command.STOP, "SIGUSR2": Command.BRUTAL_RELOAD}
    assert set(OF_FUNCTION) == FUNCTIONS
