"""What one option alone cannot know: settings that need or exclude each other, files that must exist."""

from __future__ import annotations

import os.path
import signal
from collections import Counter
from dataclasses import dataclass
from typing import TYPE_CHECKING

from m2serve.config import doors
from m2serve.config.caches import caches
from m2serve.config.daemonlines import mule_scripts
from m2serve.config.paste import paste_uri
from m2serve.config.routes import lost
from m2serve.config.values import is_attribute
from m2serve.config.virtualenv import inspect
from m2serve.errors import ConfigError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from m2serve.config.routes import Rule
    from m2serve.config.settings import Settings


ALGORITHMS = ("spare", "spare2", "backlog", "busyness", "manual")
"""Values of cheaper-algo."""


_ROUTES = ("route", "response_route", "error_route", "final_route")
_ROOTS = ("module", "wsgi_file", "paste", "ini_paste", "ini_paste_logged")
"""Options that name the application at the root; one of them does."""


@dataclass(frozen=True)
class Problem:
    """A mistake and the settings it is about; the first one is named in the message."""

    fields: tuple[str, ...]
    expected: str


def check(settings: Settings, directory: str) -> list[Problem]:
    """Every mistake found.

    Args:
        directory: where the server was started; relative paths start there, or at ``chdir``.
    """
    if settings.emperor:
        return [problem for examine in (_emperor, _files, _privileges) for problem in examine(settings, directory)]
    checks: tuple[Callable[[Settings, str], Iterator[Problem]], ...] = (
        _application,
        _loading,
        _lifetimes,
        _harakiri,
        _cheaper,
        _mounts,
        _directories,
        _virtualenv,
        _loggers,
        _routes,
        _alarms,
        _caches,
        _farms,
        _files,
        _mongrel2,
        _doors,
        _database,
        _chroots,
        _privileges,
    )
    return [problem for examine in checks for problem in examine(settings, directory)]


def doubts(settings: Settings, directory: str) -> list[Problem]:
    """What may be a mistake: it keeps nobody from starting."""
    some = (*_static_places(settings, directory), *_adaptive(settings), *_background(settings, directory))
    doubtful = [Problem(fields, text) for fields, text in doors.doubts(settings)]
    return [
        *doubtful,
        *_vassals(settings, directory),
        *some,
        *_deeds(settings),
        *_actions(settings),
        *_mules(settings, directory),
        *_lost_in_caches(settings),
    ]


def _adaptive(settings: Settings) -> Iterator[Problem]:
    if settings.cheaper_algo not in ALGORITHMS:
        expected = f"{settings.cheaper_algo!r}: expected one of {', '.join(ALGORITHMS)}; spare is taken"
        yield Problem(("cheaper_algo",), expected)
    if settings.cheaper_initial and not settings.cheaper:
        yield Problem(("cheaper_initial",), "changes nothing without cheaper")
    elif settings.cheaper_initial and not settings.cheaper <= settings.cheaper_initial <= settings.processes:
        bounds = f"from cheaper, {settings.cheaper}, to processes, {settings.processes}; cheaper is taken"
        yield Problem(("cheaper_initial",), f"{settings.cheaper_initial}: expected a number {bounds}")


def _cheaper(settings: Settings, directory: str) -> Iterator[Problem]:
    if settings.cheaper and settings.cheaper >= settings.processes:
        expected = f"{settings.cheaper}: expected less than processes, {settings.processes}"
        yield Problem(("cheaper", "processes"), expected)
    for name in ("cheaper", "cheap", "idle"):
        if settings.zeromq_direct and getattr(settings, name):
            expected = "expected no zeromq-direct: only the dispatcher can keep requests for workers to come"
            yield Problem((name, "zeromq_direct"), expected)
    soft, hard = settings.cheaper_rss_limit_soft, settings.cheaper_rss_limit_hard
    if 0 < hard <= soft:
        expected = f"{hard} bytes: expected more than the soft limit, {soft}"
        yield Problem(("cheaper_rss_limit_hard", "cheaper_rss_limit_soft"), expected)
    if settings.cheaper_algo == "busyness" and settings.cheaper_busyness_min >= settings.cheaper_busyness_max:
        expected = f"{settings.cheaper_busyness_min}: expected less than the max, {settings.cheaper_busyness_max}"
        yield Problem(("cheaper_busyness_min", "cheaper_busyness_max"), expected)


def _deeds(settings: Settings) -> Iterator[Problem]:
    for name, deeds in vars(settings).items():
        if name.startswith(("hook_", "call_")) and isinstance(deeds, tuple):
            for deed in deeds:
                if not deed.done_here:
                    yield Problem((name,), f"{deed}: not in this version: it is not done")


def _actions(settings: Settings) -> Iterator[Problem]:
    for alarm in settings.alarm:
        if not alarm.done_here:
            yield Problem(("alarm",), f"{alarm}: nobody is told by {alarm.driver}: expected cmd or log")
    for name in _ROUTES:
        if not settings.strict:
            yield from _undone(name, getattr(settings, name))


def _vassals(settings: Settings, directory: str) -> Iterator[Problem]:
    for place in settings.emperor:
        if not any(sign in place for sign in "*?[") and not os.path.isdir(os.path.join(directory, place)):
            yield Problem(("emperor",), f"{place!r}: no such directory yet")
    for name in ("vassals_include", "vassals_inherit"):
        for file in getattr(settings, name):
            if not os.path.isfile(os.path.join(directory, file)):
                yield Problem((name,), f"{file!r}: no such file yet; vassals cannot start without it")


def _static_places(settings: Settings, directory: str) -> Iterator[Problem]:
    """A directory may be filled later, but one that is not there is mostly a slip."""
    base = os.path.join(directory, settings.chdir or "")
    given = [("static_map", f"{one}: ", one.path) for one in settings.static_map]
    given += [("static_map2", f"{one}: ", one.path) for one in settings.static_map2]
    given += [("check_static", "", one) for one in settings.check_static]
    for name, shown, path in given:
        if not os.path.exists(os.path.join(base, os.path.expanduser(path))):
            yield Problem((name, "chdir"), f"{shown}{path!r} is not there: such requests go to the application")
    for path in settings.mimefile:
        if not os.path.isfile(os.path.join(base, os.path.expanduser(path))):
            yield Problem(("mimefile",), f"{path!r} is not there: its media types are not known")


def _loading(settings: Settings, directory: str) -> Iterator[Problem]:
    if settings.preload and settings.lazy_apps:
        other = settings.origin("lazy_apps")
        yield Problem(("preload", "lazy_apps"), f"expected one of preload and lazy-apps; the other is at {other}")


def _lifetimes(settings: Settings, directory: str) -> Iterator[Problem]:
    most, least = settings.max_worker_lifetime, settings.min_worker_lifetime
    if 0 < most <= least:
        expected = f"{most:g} s; expected more than min-worker-lifetime, {least:g} s"
        yield Problem(("max_worker_lifetime", "min_worker_lifetime"), expected)


def _harakiri(settings: Settings, directory: str) -> Iterator[Problem]:
    number = settings.harakiri_graceful_signal
    if number not in set(signal.valid_signals()) - {signal.SIGKILL, signal.SIGSTOP}:
        expected = f"{number}: expected the number of a signal that a process can catch"
        yield Problem(("harakiri_graceful_signal",), expected)


def _emperor(settings: Settings, directory: str) -> Iterator[Problem]:
    for name in ("module", "wsgi_file", "mount", "zeromq", "with_mongrel2", "mongrel2_config"):
        if getattr(settings, name):
            yield Problem((name, "emperor"), "an emperor serves nothing itself: expected it in a vassal's file")
    for place in settings.emperor:
        if place.startswith(("zmq://", "amqp://", "mongodb://", "pg://", "ldap://")):
            yield Problem(("emperor",), f"{place!r}: expected a directory or a pattern of files")
    for value in settings.vassal_set:
        if "=" not in value:
            yield Problem(("vassal_set",), f"{value!r}: expected name=value")


def _application(settings: Settings, directory: str) -> Iterator[Problem]:
    given = [name for name in _ROOTS if getattr(settings, name) is not None]
    if not given and not settings.mount:
        yield Problem((*_ROOTS, "mount"), "no application: expected module, wsgi-file, paste or mount")
    if len(given) > 1:
        one, other = given[0], given[1]
        expected = f"expected one of {one.replace('_', '-')} and {other.replace('_', '-')}"
        yield Problem((one, other), f"{expected}; the other is at {settings.origin(other)}")
    if not is_attribute(settings.callable):
        yield Problem(("callable",), f"{settings.callable!r}: expected the name of an attribute")


def _mounts(settings: Settings, directory: str) -> Iterator[Problem]:
    prefixes = Counter(mount.prefix for mount in settings.mount)
    for prefix, times in prefixes.items():
        if times > 1:
            yield Problem(("mount",), f"{prefix or '/'!r} is mounted {times} times; expected each prefix once")
    root = next((name for name in _ROOTS if getattr(settings, name) is not None), None)
    if root is not None and "" in prefixes:
        yield Problem(("mount", root), f"'/' is mounted, but {root.replace('_', '-')} names the application there")


def _directories(settings: Settings, directory: str) -> Iterator[Problem]:
    for name in ("chdir", "chdir2"):
        path = getattr(settings, name)
        if path is not None and not os.path.isdir(_place(settings, directory, path)):
            yield Problem((name,), f"{path!r}: expected an existing directory")


def _place(settings: Settings, directory: str, path: str) -> str:
    """Where a directory of the application is for us, who are not yet in its root directory."""
    if settings.chroot is None:
        return os.path.join(directory, path)
    return os.path.join(directory, settings.chroot, os.path.join("/", path)[1:])


def _virtualenv(settings: Settings, directory: str) -> Iterator[Problem]:
    for path in settings.envdir:
        if not os.path.isdir(os.path.join(directory, path)):
            yield Problem(("envdir",), f"{path!r}: expected an existing directory")
    base = os.path.join(directory, settings.chdir or "")
    if settings.virtualenv is not None and os.path.isdir(base):
        try:
            inspect(os.path.join(base, os.path.expanduser(settings.virtualenv)))
        except ConfigError as error:
            yield Problem(("virtualenv", "chdir"), f"{settings.virtualenv!r}: {error}")


def _files(settings: Settings, directory: str) -> Iterator[Problem]:
    base = _place(settings, directory, settings.chdir or "")
    if not os.path.isdir(base):
        return
    files = [("wsgi_file", settings.wsgi_file)] if settings.wsgi_file else []
    uri = paste_uri(settings)
    if uri is not None and uri.file is not None:
        files.append((next(name for name in _ROOTS if getattr(settings, name) is not None), uri.file))
    files += [("mount", mount.app.file) for mount in settings.mount if mount.app.file]
    for name, path in files:
        if not os.path.isfile(_place(settings, directory, path) if os.path.isabs(path) else os.path.join(base, path)):
            yield Problem((name, "chdir"), f"{path!r}: expected an existing file below {base}")


def _loggers(settings: Settings, directory: str) -> Iterator[Problem]:
    """Routes and encoders are for loggers that have a name."""
    for where, uses in (("logger", ("log_route", "log_encoder")), ("req_logger", ("log_req_route", "log_req_encoder"))):
        names = {one.name for one in getattr(settings, where)}
        for use in uses:
            for value in getattr(settings, use):
                if value.target and value.target not in names:
                    option = where.replace("_", "-")
                    expected = (
                        f"{value.target!r}: expected the name of a logger, as in {option} = {value.target} file:PATH"
                    )
                    yield Problem((use, where), expected)


def _alarms(settings: Settings, directory: str) -> Iterator[Problem]:
    known = {one.name for one in settings.alarm}
    used = [("alarm_log", name) for rule in settings.alarm_log for name in rule.names]
    used += [("alarm_not_log", name) for rule in settings.alarm_not_log for name in rule.names]
    used += [(option, name) for option in ("alarm_backlog", "alarm_segfault") for name in getattr(settings, option)]
    used += [("alarm_fd", one.name) for one in settings.alarm_fd]
    for option, name in used:
        if name not in known:
            expected = f"{name!r}: expected the name of an alarm, as in alarm = {name} cmd:COMMAND"
            yield Problem((option, "alarm"), expected)


def _caches(settings: Settings, directory: str) -> Iterator[Problem]:
    for name, times in Counter(one.name for one in caches(settings)).items():
        if times > 1:
            yield Problem(("cache2", "cache"), f"{name!r}: expected one cache of that name")


def _farms(settings: Settings, directory: str) -> Iterator[Problem]:
    for name, times in Counter(farm.name for farm in settings.farm).items():
        if times > 1:
            yield Problem(("farm",), f"{name!r} is there {times} times; expected each farm once")
    most = len(mule_scripts(settings))
    for farm in settings.farm:
        if max(farm.mules) > most:
            yield Problem(("farm", "mules"), f"{farm}: expected numbers of mules, of which there are {most}")


def _lost_in_caches(settings: Settings) -> Iterator[Problem]:
    for line in settings.cache2:
        if line.lost:
            text = f"{line.name}: {', '.join(line.lost)}: a cache is in the memory of one server, until that ends"
            yield Problem(("cache2",), text)


def _routes(settings: Settings, directory: str) -> Iterator[Problem]:
    for name in _ROUTES:
        rules = getattr(settings, name)
        for label in lost(rules):
            yield Problem((name,), f"goto:{label}: expected a label of that name further down")
        if settings.strict:
            yield from _undone(name, rules)


def _undone(name: str, rules: tuple[Rule, ...]) -> Iterator[Problem]:
    for rule in rules:
        if rule.act is not None and not rule.act.done_here:
            yield Problem(
                (name,), f"{rule.key} = {rule}: there is no action {rule.act.name!r} here: the rule does nothing"
            )


def _mongrel2(settings: Settings, directory: str) -> Iterator[Problem]:
    if not settings.has_mongrel2 and not settings.activated and not any(doors.wanted(settings)):
        wanted = ("zeromq", "mongrel2_config", "with_mongrel2")
        expected = "expected http, socket, zeromq, mongrel2-config or with-mongrel2"
        yield Problem(wanted, f"no Mongrel2 and no socket: {expected}")
    sockets = Counter(endpoint for pair in settings.zeromq for endpoint in (pair.send, pair.recv))
    for endpoint, times in sockets.items():
        if times > 1:
            yield Problem(("zeromq",), f"{endpoint} is used {times} times; expected each socket once")


def _doors(settings: Settings, directory: str) -> Iterator[Problem]:
    for fields, expected in doors.mistakes(settings, directory):
        yield Problem(fields, expected)


def _database(settings: Settings, directory: str) -> Iterator[Problem]:
    file = settings.mongrel2_config
    if file is None:
        if settings.handler is not None:
            expected = f"{settings.handler!r}: expected mongrel2-config too, the database where it is found"
            yield Problem(("handler", "mongrel2_config"), expected)
        return
    if settings.with_mongrel2 is not None:
        other = settings.origin("with_mongrel2")
        expected = f"expected one of mongrel2-config and with-mongrel2, which makes its own; the other is at {other}"
        yield Problem(("mongrel2_config", "with_mongrel2"), expected)
    if not os.path.isfile(os.path.join(directory, file)):
        yield Problem(("mongrel2_config",), f"{file!r}: expected an existing file, the database of m2sh load")
    if settings.handler is not None and len(settings.zeromq) > 1:
        expected = f"{settings.handler!r}: expected one zeromq at most beside it, not {len(settings.zeromq)}"
        yield Problem(("handler", "zeromq"), expected)


def _chroots(settings: Settings, directory: str) -> Iterator[Problem]:
    for endpoint, times in Counter(chroot.endpoint for chroot in settings.mongrel2_chroot).items():
        if times > 1:
            which = "" if endpoint is None else f" for {endpoint}"
            yield Problem(("mongrel2_chroot",), f"given {times} times{which}; expected one directory each")
    for chroot in settings.mongrel2_chroot:
        if not os.path.isdir(os.path.join(directory, chroot.directory)):
            yield Problem(("mongrel2_chroot",), f"{chroot.directory!r}: expected an existing directory")
        if chroot.endpoint is None and settings.with_mongrel2 is not None:
            expected = "expected ENDPOINT=DIR of another Mongrel2: the one of with-mongrel2 has no chroot"
            yield Problem(("mongrel2_chroot", "with_mongrel2"), expected)


def _privileges(settings: Settings, directory: str) -> Iterator[Problem]:
    if settings.chroot is not None and not os.path.isdir(os.path.join(directory, settings.chroot)):
        yield Problem(("chroot",), f"{settings.chroot!r}: expected an existing directory")
    for name in ("master_as_root", "drop_after_apps"):
        if settings.chroot is not None and getattr(settings, name):
            option = name.replace("_", "-")
            expected = f"expected one of chroot and {option}: the root directory of root is no limit"
            yield Problem(("chroot", name), expected)
    if settings.daemonize is not None and settings.daemonize2 is not None:
        yield Problem(("daemonize2", "daemonize"), "expected one of daemonize and daemonize2")


def _background(settings: Settings, directory: str) -> Iterator[Problem]:
    """What can be meant so, but hardly is."""
    for name in ("daemonize", "daemonize2"):
        path = getattr(settings, name)
        if path is not None and path.lower() in ("true", "yes", "on", "1"):
            yield Problem((name,), f"the log is a file called {path}; expected its path")
        if path is not None and settings.logto is not None and settings.logto != path:
            yield Problem(("logto",), f"changes nothing: {name} names the log, {path}")


def _mules(settings: Settings, directory: str) -> Iterator[Problem]:
    base = _place(settings, directory, settings.chdir or "")
    for script in settings.mule:
        if script and ":" not in script and not os.path.isfile(os.path.join(base, script)):
            yield Problem(("mule",), f"{script!r} is not there: expected a file, or module:function")
