"""Options of uWSGI's that are no settings of ours: each is known, and something true is said about it."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from m2serve.config.foreign import Fate
from m2serve.config.outside import Outside
from m2serve.config.settings import Examined, examine
from m2serve.config.table import BY_NAME, FOREIGN, foreign, long_name, lookup, metavar, nearest
from m2serve.config.words import CLOSERS, CONDITIONS

if TYPE_CHECKING:
    from collections.abc import Iterator

    from m2serve.config.foreign import Foreign

PAIR = "tcp://127.0.0.1:9997,tcp://127.0.0.1:9996"

# The options of the reference's table, which were counted in real files, most frequent first.
REAL = """
processes workers master module wsgi socket uwsgi-socket chdir vacuum uid threads gid enable-threads chmod-socket chmod
buffer-size die-on-term harakiri max-requests wsgi-file file virtualenv home venv pyhome plugins plugin need-plugins
callable pidfile pidfile2 safe-pidfile safe-pidfile2 http env logto logto2 http-socket static-map static-map2 stats
stats-server single-interpreter pythonpath python-path pp daemonize daemonize2 chown-socket lazy-apps thunder-lock
need-app reload-on-rss reload-on-as reload-on-uss reload-on-pss cheaper disable-logging memory-report post-buffering
logger log-syslog log-socket strict touch-reload touch-chain-reload touch-workers-reload touch-mules-reload
worker-reload-mercy ini include inherit http-timeout disable-write-exception if-env if-not-env if-file for for-readline
endif endfor log-format logformat emperor emperor-stats-server emperor-nofollow ignore-sigpipe ignore-write-errors
listen log-master manage-script-name protocol socket-protocol harakiri-verbose max-worker-lifetime
max-worker-lifetime-delta mount worker-mount req-logger logger-req socket-timeout auto-procname procname procname-prefix
procname-prefix-spaced procname-append procname-master cheaper-initial hook-master-start hook-pre-app hook-as-root
exec-pre-app http-keepalive offload-threads route route-if route-host response-route-if cheaper-step log-4xx log-5xx
py-autoreload py-auto-reload python-autoreload cheaper-algo cheaper-overload cheaper-busyness-max add-header pull-header
collect-header attach-daemon smart-attach-daemon attach-daemon2 cron unique-cron cron2 gevent gevent-monkey-patch
gevent-early-monkey-patch harakiri-graceful-timeout harakiri-graceful-signal https https2 https-socket log-date logdate
reload-mercy show-config stats-http stats-minified stats-min vhost alarm alarm-log alarm-backlog alarm-segfault
exit-on-reload http-auto-chunked http-chunked-input http-raw-body http-websockets idle die-on-idle cheap lazy
log-maxsize log-backupname log-x-forwarded-for logfile-chown logfile-chmod max-fd optimize plugins-dir plugin-dir
binary-path py-call-osafterfork py-call-uwsgi-fork-hooks subscribe-to subscribe2 fastrouter
wsgi-disable-file-wrapper check-static static-index static-expires static-expires-uri static-gzip-all static-gzip-dir
static-skip-ext no-orphans honour-stdin limit-as no-default-app stats-push carbon cgroup namespace unshare cap
pivot_root print iprint evil-reload-on-rss evil-reload-on-as master-fifo touch-logrotate touch-logreopen log-reopen
log-truncate log-encoder log-req-encoder log-route log-drain log-filter log-slow log-big log-zero log-ioerror
log-sendfile log-micros logformat-strftime log-format-strftime mule mules farm mule-reload-mercy spooler
spooler-processes spooler-frequency spooler-max-tasks spooler-harakiri paste ini-paste pecan pyargv pymodule-alias eval
no-site import pyimport shared-import py-tracebacker umask chroot drop-after-apps master-as-root add-gid cpu-affinity
limit-post chunked-input-limit cache2 cache enable-metrics queue sharedarea locks no-defer-accept tcp-nodelay
so-keepalive reuse-port freebind shared-socket map-socket reload-on-exception
reload-on-exception-type catch-exceptions reload-os-env max-requests-delta min-worker-lifetime thread-stacksize
forkbomb-delay check-interval close-on-exec close-on-exec2 chdir2 envdir unenv set set-placeholder declare-option flock
stop reload need-plugin legion legion-node zeromq cluster
""".split()


def known(name: str) -> bool:
    return metavar(name) is not None or name in CLOSERS or name in CONDITIONS


@pytest.mark.parametrize("name", REAL)
def test_every_option_of_real_files_is_known(name: str) -> None:
    assert known(name)


@pytest.mark.parametrize("row", FOREIGN, ids=lambda row: row.name)
def test_each_row_says_something(row: Foreign) -> None:
    assert row.names
    assert row.text
    assert not row.text.endswith(".")
    assert row.says().startswith(row.fate.value)
    assert row.family or all(lookup(name) is None for name in row.names)


def test_no_name_has_two_rows_that_say_the_same_thing_differently() -> None:
    plain = [name for row in FOREIGN if row.value is None and not row.family for name in (*row.names, *row.short)]
    assert sorted(plain) == sorted(set(plain))
    assert not set(plain) & set(BY_NAME)


def test_letters() -> None:
    assert [long_name(letter) for letter in "stRCbdHlzpwMySZ"] == [
        *("socket", "harakiri", "max-requests", "chmod-socket", "buffer-size", "daemonize", "virtualenv", "listen"),
        *("socket-timeout", "processes", "module", "master", "yaml", "set", None),
    ]


@pytest.mark.parametrize(
    ("key", "value", "fate"),
    [
        ("hook-emperor-start", "exec:touch x", Fate.MISSING),
        ("php-docroot", "/srv", Fate.ELSEWHERE),
    ],
)
def test_the_row_for_a_value(key: str, value: str, fate: Fate) -> None:
    row = foreign(key, value)
    assert row is not None
    assert row.fate is fate


@pytest.mark.parametrize("key", ["phpx", "hooks", "s", "chmod-sock", "frobnicate"])
def test_others_are_unknown(key: str) -> None:
    assert foreign(key) is None


@pytest.mark.parametrize(
    ("key", "name"),
    [
        ("process", "processes"),
        ("thread", "threads"),
        ("chmod-sock", "chmod-socket"),
        ("chown", "chown-socket"),
        ("user", "uid"),
        ("group", "gid"),
        ("pid", "pidfile"),
        ("harikiri", "harakiri"),
        ("strict-mode", "strict"),
        ("max_requests", "max-requests"),
        ("if-enviroment", None),
    ],
)
def test_what_was_meant(key: str, name: str | None) -> None:
    assert nearest(key) == name


def examined(text: str, *argv: str) -> Examined:
    world = Outside(read_file=lambda path: f"[uwsgi]\nmodule = shop\nzmq = {PAIR}\n{text}")
    return examine(["a.ini", *argv], {}, world, "/")


def lines(text: str) -> Iterator[str]:
    found = examined(text)
    assert found.problems == ()
    yield from found.settings.notes
    yield from found.settings.warnings


def test_one_line_for_each_and_none_for_what_is_not_asked() -> None:
    text = "queue = 100\nhttp-processes = 4\ngevent = 100\nmax-requests = 0\nhttp-auto-chunked = false\nlog-master\n"
    assert list(lines(text)) == [
        "a.ini:5: http-processes = 4: changes nothing: workers speak HTTP themselves, without a router",
        "a.ini:9: log-master =: changes nothing: all processes share one log",
        "a.ini:4: queue = 100: not in this version: the module uwsgi has no shared memory here",
        "a.ini:6: gevent = 100: has no meaning here: requests run in threads; set threads",
    ]


def test_functions_of_c_are_no_actions() -> None:
    assert list(lines("call-as-root = symbol\nhook-as-gateway = print:x\ncall-post-app = symbol\n")) == [
        "a.ini:5: hook-as-gateway = print:x: changes nothing: there are no gateways",
        "a.ini:4: call-as-root = symbol: has no meaning here: call-pre-app and call-post-app call functions of Python, "
        "where it runs",
        "a.ini:6: call-post-app: symbol: not in this version: it is not done",
    ]


def test_under_strict_only_what_is_missing_is_a_mistake() -> None:
    found = examined("queue = 100\nlisten = 1024\ngevent = 100\n", "--strict")
    assert found.problems == ("a.ini:4: queue = 100: not in this version: the module uwsgi has no shared memory here",)
    assert len(found.settings.warnings) == 1


def test_an_unknown_block_is_a_mistake_because_its_lines_would_count() -> None:
    (problem,) = examined("if-day = monday\nthreads = 2\nendif\n").problems
    assert problem.startswith("a.ini:4: if-day = monday: unknown block; expected one of for, for-glob,")


def test_switches_of_the_command_line_mean_nothing_in_a_file() -> None:
    assert examined("allow-exec = true\n").problems == (
        "a.ini:4: allow-exec = true: expected it on the command line only",
    )


def test_a_rare_option_may_be_a_placeholder() -> None:
    assert list(lines("mode = prod\nenv = MODE=%(mode)\n")) == []
    assert list(lines("mode = prod\n")) == ["a.ini:4: mode = prod: has no meaning here: m2serve does not do this"]
    (line,) = lines("queue = 100\nenv = QUEUE=%(queue)\n")
    assert "no shared memory" in line
