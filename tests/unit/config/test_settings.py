"""From arguments and files to settings, with every mistake told."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest
from hypothesis import HealthCheck, given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from m2serve.config.outside import Outside
from m2serve.config.report import as_ini, check_report
from m2serve.config.settings import Settings, examine, load
from m2serve.config.table import FOREIGN, OPTIONS
from m2serve.config.values import AppRef
from m2serve.config.words import CONDITIONS, GRAMMAR
from m2serve.endpoint import ZmqPair
from m2serve.errors import ConfigError

if TYPE_CHECKING:
    from pathlib import Path

PAIR = "tcp://127.0.0.1:9997,tcp://127.0.0.1:9996"
ENOUGH = ["--module", "shop", "--zmq", PAIR]


def from_ini(text: str, *argv: str, directory: str = "/", env: dict[str, str] | None = None) -> Settings:
    return load(["app.ini", *argv], env or {}, lambda path: "[uwsgi]\n" + text, directory)


def mistakes(*argv: str, ini: str | None = None, directory: str = "/") -> list[str]:
    with pytest.raises(ConfigError) as caught:
        if ini is None:
            load(argv, {}, directory=directory)
        else:
            load(["app.ini", *argv], {}, lambda path: f"[uwsgi]\n{ini}", directory)
    return str(caught.value).split("\n")


def test_defaults_are_enough_for_the_rest() -> None:
    settings = load(ENOUGH, {})
    assert settings.module == AppRef("shop")
    assert settings.zeromq == (ZmqPair.parse(PAIR),)
    assert (settings.processes, settings.threads, settings.strict) == (1, 1, False)
    assert settings.warnings == settings.notes == ()


def test_every_value_keeps_its_origin() -> None:
    settings = from_ini(f"module = shop\nprocesses = 2\nzmq = {PAIR}\n", "-p", "4", "--zmq", "ipc:///a,ipc:///b")
    assert settings.processes == 4
    assert settings.origin("processes") == "command line"
    assert settings.origin("module") == "app.ini:2"
    assert settings.origin("threads") == "default"
    assert settings.origin("zeromq") == "app.ini:4, command line"


def test_what_stands_further_right_counts() -> None:
    files = {"/srv/app.ini": "[uwsgi]\nprocesses = 2\n", "/srv/other.ini": "[prod]\nprocesses = 3\nthreads = 5\n"}
    world = files.__getitem__
    layered = load(["app.ini", "other.ini:prod", "-p", "8", *ENOUGH], {}, world, "/srv")
    assert (layered.processes, layered.threads) == (8, 5)
    assert layered.warnings == ()
    left = load(["-p", "8", "--ini", "app.ini", *ENOUGH], {}, world, "/srv")
    assert left.processes == 2
    assert left.warnings == (
        "app.ini:2: processes = 2: replaces the command line's value: the file stands further right",
    )


def test_the_environment_comes_first() -> None:
    env = {
        "UWSGI_PROCESSES": "3",
        "UWSGI_NEED_APP": "1",
        "UWSGI_HERE": "/x",
        "UWSGI_RELOADS": "9",
        "UWSGI_CHECK": "1",
        "UWSGI_INI": "a.ini",
    }

    def world(path: str) -> str:
        return "[uwsgi]\nthreads = 2\nlogto = %(here)/log\n"

    settings = load(["-p", "4", "--strict", *ENOUGH], env, world, "/")
    assert (settings.processes, settings.threads, settings.need_app) == (4, 2, True)
    assert settings.logto == "/x/log"
    assert settings.origin("need_app") == "environment"
    assert settings.warnings == ()


def test_lists_take_from_both_and_scalars_the_last() -> None:
    settings = from_ini("env = A=1\nenv = B=2\nthreads = 2\nthreads = 3\n", "--env", "C=3", *ENOUGH)
    assert [variable.name for variable in settings.env] == ["A", "B", "C"]
    assert settings.threads == 3


def test_placeholders_and_environment() -> None:
    text = "base = /srv\nmodule = $(APP)\npythonpath = %(base)/lib\npythonpath = %d\nenv = F=100%%\n"
    settings = from_ini(text, "--zmq", PAIR, env={"APP": "shop.wsgi"}, directory="/etc")
    assert settings.pythonpath == ("/srv/lib", "/etc/")
    assert settings.module == AppRef("shop.wsgi")
    assert settings.env[0].value == "100%"
    assert settings.warnings == ()


def test_a_placeholder_can_be_set_on_the_command_line() -> None:
    settings = from_ini("n = 2\nprocesses = %(n)\n", "--set", "n=5", *ENOUGH)
    assert settings.processes == 5


def test_a_comment_behind_a_number_is_stripped_and_told() -> None:
    settings = from_ini("processes = 4 ; four\nvacuum = false # later\nenv = A=b ; c\n", *ENOUGH)
    assert settings.processes == 4
    assert settings.vacuum is False
    assert settings.env[0].value == "b ; c"
    assert settings.warnings == (
        "app.ini:2: processes = 4 ; four: read as '4'; write comments on their own line",
        "app.ini:3: vacuum = false # later: read as 'false'; write comments on their own line",
    )


def test_an_odd_flag_is_true_and_told() -> None:
    settings = from_ini("need-app = maybe\n", *ENOUGH)
    assert settings.need_app is True
    assert settings.warnings == ("app.ini:2: need-app = maybe: counts as true; expected true or false",)


def test_a_bare_key_is_true() -> None:
    assert from_ini("need-app\n", *ENOUGH).need_app is True


def test_an_unknown_key_is_told_with_the_nearest_name() -> None:
    settings = from_ini("process = 4\nfoo = bar\n", *ENOUGH)
    assert settings.warnings == (
        "app.ini:2: process = 4: unknown option; did you mean processes?",
        "app.ini:3: foo = bar: unknown option",
    )


@pytest.mark.parametrize("strict", ["strict = true\nprocess = 4\n", "process = 4\nstrict\n"])
def test_strict_refuses_unknown_keys_but_no_placeholders(strict: str) -> None:
    found = mistakes(*ENOUGH, ini=strict + "n = 2\nthreads = %(n)\nset-ph = unused = 1\n")
    assert len(found) == 1
    assert "process = 4: unknown option; did you mean processes?" in found[0]


def test_options_that_change_nothing_say_so_only_when_they_ask_for_the_contrary() -> None:
    settings = from_ini("master = true\nauto-procname = false\nthunder-lock = true\n", "-M", *ENOUGH)
    assert settings.notes == (
        "app.ini:3: auto-procname = false: changes nothing: processes always carry a title",
        "app.ini:4: thunder-lock = true: changes nothing: each request wakes exactly one worker; no lock is needed",
    )


def test_all_mistakes_are_told_at_once() -> None:
    found = mistakes("--nonsense", "-p", "x", ini="threads = many\nmodle = shop\nzmq = tcp://*:1,ipc:///a\n")
    assert found == [
        "command line: --nonsense: unknown option",
        "app.ini:2: threads = many: expected a whole number, 1 or more",
        "app.ini:4: zmq = tcp://*:1,ipc:///a: 'tcp://*:1' names no host: "
        "m2serve connects, so expected a host instead of '*'",
        "command line: -p x: expected a whole number, 1 or more",
        "no application: expected module, wsgi-file, paste or mount",
        "app.ini:3: modle = shop: unknown option; did you mean module? (warning)",
    ]


def test_nothing_given() -> None:
    assert mistakes() == [
        "no application: expected module, wsgi-file, paste or mount",
        "no Mongrel2 and no socket: expected http, socket, zeromq, mongrel2-config or with-mongrel2",
    ]


def test_a_mistake_in_a_value_is_not_also_called_missing() -> None:
    assert len(mistakes("--module", "a b", "--zmq", "x")) == 2


def test_mongrel2_of_our_own_needs_no_sockets() -> None:
    settings = load(["--module", "shop", "--with-mongrel2", ":8080"], {})
    assert settings.with_mongrel2 == ("0.0.0.0", 8080)
    assert settings.zeromq == ()


@pytest.mark.parametrize(
    ("argv", "expected"),
    [
        (["--wsgi-file", "app.py", *ENOUGH], "expected one of module and wsgi-file"),
        (["--mount", "/=x", *ENOUGH], "'/' is mounted, but module names the application there"),
        (["--mount", "/a=x", "--mount", "/a/=y", *ENOUGH], "'/a' is mounted 2 times"),
        (["--chdir", "nowhere", *ENOUGH], "command line: chdir: 'nowhere': expected an existing directory"),
        (["--mount", "/a=no.py", *ENOUGH], "'no.py': expected an existing file below"),
        (["--callable", "a b", *ENOUGH], "command line: callable: 'a b': expected the name of an attribute"),
        (["--zmq", PAIR, *ENOUGH], "is used 2 times; expected each socket once"),
        (["--mongrel2-protocol", "xml", *ENOUGH], "expected one of tnetstring, json"),
        (["--processes", "0", *ENOUGH], "expected a whole number, 1 or more"),
        (["--request-buffer", "1", *ENOUGH], "expected 65536 bytes or more"),
        (["--max-worker-lifetime", "10", *ENOUGH], "10 s; expected more than min-worker-lifetime, 10 s"),
        (["--set", "module=%(module)", "--zmq", PAIR], "%(module) refers to itself"),
    ],
)
def test_says_what_does_not_fit(argv: list[str], expected: str, tmp_path: Path) -> None:
    (tmp_path / "app.py").touch()
    assert expected in mistakes(*argv, directory=str(tmp_path))[0]


def test_files_of_the_application_are_looked_for_below_chdir(tmp_path: Path) -> None:
    (tmp_path / "site").mkdir()
    argv = ["--chdir", "site", "--wsgi-file", "app.py", "--zmq", PAIR]
    found = mistakes(*argv, directory=str(tmp_path))
    assert found == [f"command line: wsgi-file: 'app.py': expected an existing file below {tmp_path}/site"]
    (tmp_path / "site" / "app.py").touch()
    assert load(argv, {}, directory=str(tmp_path)).wsgi_file == "app.py"


def test_a_missing_chdir_is_one_mistake(tmp_path: Path) -> None:
    found = mistakes("--chdir", "no", "--wsgi-file", "app.py", "--zmq", PAIR, directory=str(tmp_path))
    assert len(found) == 1


def test_socket_paths_do_not_depend_on_later_directories(tmp_path: Path) -> None:
    settings = load(["--module", "x", "--zmq", "ipc://a,ipc://b"], {}, directory="/run")
    assert str(settings.zeromq[0]) == "ipc:///run/a,ipc:///run/b"
    long = "/" + "x" * 106
    assert "too long" in mistakes("--module", "x", "--zmq", "ipc://a,ipc://b", directory=long)[0]


def test_a_real_file(tmp_path: Path) -> None:
    (tmp_path / "a.ini").write_bytes(b"[uwsgi]\nmodule = shop\nprocname-prefix = \xff\n[dev]\nmodule = dev\n")
    settings = load(["a.ini", "--zmq", PAIR], {}, directory=str(tmp_path))
    assert settings.module == AppRef("shop")
    assert settings.procname_prefix == "\udcff"
    assert load(["a.ini:dev", "--zmq", PAIR], {}, directory=str(tmp_path)).module == AppRef("dev")
    assert mistakes("none.ini", *ENOUGH, directory=str(tmp_path)) == [
        "command line: none.ini: cannot read 'none.ini': No such file or directory"
    ]


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (("--daemonize", "true"), "daemonize: the log is a file called true; expected its path"),
        (("--daemonize2", "/a", "--logto", "/b"), "logto: changes nothing: daemonize2 names the log, /a"),
    ],
)
def test_what_is_hardly_meant_so(options: tuple[str, ...], words: str) -> None:
    assert load([*ENOUGH, *options], {}).warnings == (f"command line: {words}",)


def test_directories_of_the_application_are_below_its_root(tmp_path: Path) -> None:
    (tmp_path / "jail" / "app").mkdir(parents=True)
    (tmp_path / "jail" / "app" / "site.py").touch()
    args = ["--zmq", PAIR, "--chroot", "jail", "--chdir", "/app", "--wsgi-file", "site.py"]
    assert load(args, {}, directory=str(tmp_path)).chroot == "jail"
    assert mistakes(*args, "--chdir2", "/ap", directory=str(tmp_path)) == [
        "command line: chdir2: '/ap': expected an existing directory"
    ]
    assert mistakes(*ENOUGH, "--chroot", "jal", directory=str(tmp_path)) == [
        "command line: chroot: 'jal': expected an existing directory"
    ]


def test_settings_cannot_be_changed() -> None:
    with pytest.raises(AttributeError):
        Settings().processes = 2  # type: ignore[misc]


WORDS = [option.name for option in OPTIONS] + [row.name for row in FOREIGN] + [*GRAMMAR, *CONDITIONS]
WORDS += ["end", *["x", "y", "declare-option", "declare-option2"] * 9]
NAMES = st.sampled_from(WORDS)
PIECES = [
    "%(x)",
    "%(y + 1)",
    "%(_)",
    "%(",
    ")",
    "%%",
    "%d",
    "$(A)",
    "@(app.ini)",
    ":uwsgi",
    "a=b",
    "app.ini",
    "1 ; c",
    "x=y=$1;x=%(x) $2;;vacuum",
    "y=x=$1$1",
    PAIR,
]
VALUES = st.one_of(st.text(), st.sampled_from(PIECES), st.lists(st.sampled_from(PIECES)).map(" ".join))
PAIRS = st.tuples(NAMES, VALUES)
LINES = st.one_of(st.text(), PAIRS.map(" = ".join), NAMES)
INI = st.tuples(st.sampled_from(["[uwsgi]", "", "[", "\ufeff[m2serve]"]), st.lists(LINES, max_size=12)).map(
    lambda parts: "\n".join([parts[0], *parts[1]])
)
YAML = st.lists(PAIRS, max_size=8).map(
    lambda pairs: "uwsgi:\n" + "\n".join(f"  {key}: {value}" for key, value in pairs)
)
JSON = st.lists(PAIRS, max_size=8).map(lambda pairs: json.dumps({"uwsgi": dict(pairs)}))
TOML = st.lists(PAIRS, max_size=8).map(
    lambda pairs: "[uwsgi]\n" + "\n".join(f"{key} = {json.dumps(value)}" for key, value in dict(pairs).items())
)


@hypothesis_settings(max_examples=400, suppress_health_check=[HealthCheck.too_slow])
@given(
    st.one_of(
        st.tuples(st.just("app.ini"), INI),
        st.tuples(st.just("app.yaml"), YAML),
        st.tuples(st.just("app.json"), JSON),
        st.tuples(st.just("app.toml"), TOML),
        st.tuples(st.sampled_from(["a.ini", "a.yaml", "a.json", "a.toml"]), st.text()),
    )
)
def test_any_file_gives_settings_or_a_config_error(file: tuple[str, str]) -> None:
    name, text = file
    try:
        as_ini(load([name, *ENOUGH], {"A": "%(x)"}, lambda path: text))
    except ConfigError as error:
        assert str(error)
    examined = examine([name, *ENOUGH], {}, Outside(read_file=lambda path: text, glob=lambda pattern: []))
    assert check_report(examined)


@given(st.lists(st.one_of(st.text(), st.text().map("--{}".format), NAMES.map("--{}".format)), max_size=6))
def test_any_arguments_give_settings_or_a_config_error(argv: list[str]) -> None:
    try:
        load(argv, {}, lambda path: "")
    except ConfigError as error:
        assert str(error)


@pytest.mark.parametrize(
    "name",
    ["plugins", "env", "virtualenv", "home", "pythonpath", "import", "pyargv", "touch-reload", "attach-daemon"],
)
def test_what_uwsgi_takes_without_a_value(name: str) -> None:
    text = f"[uwsgi]\n{name} = $(NOTHING)\n"
    settings = load(["a.ini", *ENOUGH], {"NOTHING": ""}, lambda path: text)
    assert f"a.ini:2: {name} = $(NOTHING): empty, so nothing is set" in settings.warnings


def test_an_empty_value_takes_an_earlier_one_away() -> None:
    text = "[uwsgi]\nlog-format = %%(uri)\nlog-format =\nenv = A=b\nenv =\n"
    settings = load(["a.ini", *ENOUGH], {}, lambda path: text)
    assert settings.log_format is None
    assert [str(one) for one in settings.env] == ["A=b"]
    assert settings.origin("log_format") == "default"
