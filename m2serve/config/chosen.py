"""Which plugins the settings ask for. They are found by a function that is passed in."""

from __future__ import annotations

import os.path
import re
from dataclasses import dataclass, field, fields
from typing import TYPE_CHECKING, Any, Protocol

from m2serve.config.table import Option, Table, rows_of
from m2serve.errors import ConfigError

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

_PART_OF_US = re.compile(r"python[23]?[0-9]*|http|corerouter|logfile|logsocket|syslog|zeromq|mongrel2")
_OF_UWSGI = re.compile(
    r"(airbrake|alarm|asyncio|cache|carbon|cares|cgi|cheaper|clock|coroae|cplusplus|curl_cron|dumbloop|dummy|echo"
    r"|emperor|example|exception_log|fastrouter|fiber|forkptyrouter|gccgo|geoip|gevent|glusterfs|graylog2|greenlet"
    r"|gridfs|jvm|jwsgi|ldap|legion|libffi|libtcc|logcrypto|logger|logpipe|logzmq|lua|matheval|mongodb|mono|msgpack"
    r"|namespace|nagios|notfound|objc_gc|offload|pam|php[0-9]*|ping|probe|psgi|pty|pypy|pyuwsgi|rack|rados|rawrouter"
    r"|rbthreads|redislog|ring|router|rpc|rrdtool|rsyslog|ruby|servlet|signal|spooler|sqlite3|ssi|sslrouter|stackless"
    r"|stats_pusher|symcall|systemd_logger|tornado|transformation|tuntap|ugreen|v8|webdav|xattr|xslt|zabbix|zergpool)"
    r"([_0-9].*)?|.*/.*|.*\.so"
)
"""Plugins of uWSGI's for which m2serve has none: as before, a line of the log is all that their absence costs."""
_PUSHER = "statsd:"
_IMPLIED: Mapping[str, str] = {"cpu_affinity": "cpu_affinity", "stats_push": "statsd"}


class Found(Protocol):
    """A plugin that is loaded but not set up. ``options`` is its dataclass of options, if it has any."""

    @property
    def name(self) -> str: ...
    @property
    def options(self) -> type | None: ...


class Finder(Protocol):
    """Finds a plugin, or gives None.

    Args:
        directories: to look in first.
        importable: whether it may be any module of that name.

    Raises: ConfigError: it is there, but cannot be loaded.
    """

    def __call__(self, name: str, directories: Sequence[str], *, importable: bool) -> Found | None: ...


@dataclass(frozen=True)
class Chosen:
    """A plugin with the values of its options. ``origin`` is where it is asked for."""

    plugin: Found
    options: Any
    origin: str

    @property
    def name(self) -> str:
        return self.plugin.name

    def rows(self) -> list[Option]:
        """Its options."""
        return [] if self.plugin.options is None else rows_of(self.plugin.options)


@dataclass
class Choice:
    """What ``choose`` found, in the order in which it was asked for, and what is to be said about it."""

    plugins: dict[str, tuple[Found, str]] = field(default_factory=dict)
    """By name, with the place."""
    table: Table | None = None
    """With the options of these, if they have any."""
    problems: list[str] = field(default_factory=list)
    warnings: list[str] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)

    def chosen(self, values: Mapping[str, Any]) -> tuple[Chosen, ...]:
        """The plugins with their options. Args: values: by field, of all options."""
        return tuple(
            Chosen(plugin, _options(plugin.options, values), origin) for plugin, origin in self.plugins.values()
        )


def choose(
    values: Mapping[str, Any], origins: Mapping[str, tuple[str, ...]], directory: str, find: Finder | None
) -> Choice:
    """Find every plugin that the settings name, or that an option of ours needs.

    Args:
        values: by field; a field that nobody has set is missing.
        directory: what relative paths are relative to.
        find: without it none is found, and none missed that an option would need.
    """
    choice, groups = Choice(), list[type]()
    directories = [os.path.join(directory, one) for one in values.get("plugin_dir", ())]
    for name, origin in _named(values, origins, implied=find is not None):
        where = f"{origin}: plugin = {name}"
        if name in choice.plugins:
            continue
        if _PART_OF_US.fullmatch(name):
            choice.notes.append(f"{where}: changes nothing: it is part of m2serve")
            continue
        foreign = _OF_UWSGI.fullmatch(name) is not None
        try:
            found = None if find is None else find(name, directories, importable=not foreign)
        except ConfigError as error:
            choice.problems.append(f"{where}: {error}")
            continue
        if found is not None:
            choice.plugins[name] = (found, origin)
            if found.options is not None:
                _widen(choice, groups, found.options, where)
        elif foreign:
            choice.warnings.append(f"{where}: has no meaning here: m2serve loads no plugins of uWSGI's")
        else:
            places = ", ".join([*directories, "those of m2serve", "the installed ones", "modules"])
            choice.problems.append(f"{where}: there is no such plugin; looked for it in: {places}")
    for text, origin in zip(values.get("stats_push", ()), origins.get("stats_push", ()), strict=False):
        if not text.startswith(_PUSHER):
            choice.warnings.append(f"{origin}: stats-push = {text}: not in this version: expected {_PUSHER}HOST:PORT")
    return choice


def _named(
    values: Mapping[str, Any], origins: Mapping[str, tuple[str, ...]], *, implied: bool
) -> Iterator[tuple[str, str]]:
    """Names with their places, some of them several times."""
    for text, origin in zip(values.get("plugin", ()), origins.get("plugin", ()), strict=False):
        for name in filter(None, (part.strip() for part in text.split(","))):
            yield name, origin
    for option, name in _IMPLIED.items() if implied else ():
        value = values.get(option)
        if option == "stats_push":
            value = [text for text in value or () if text.startswith(_PUSHER)]
        if value:
            yield name, origins[option][0]


def _widen(choice: Choice, groups: list[type], group: type, where: str) -> None:
    try:
        choice.table = Table([*groups, group])
    except (TypeError, ValueError, KeyError) as error:
        choice.problems.append(f"{where}: its options cannot be used: {error}")
    else:
        groups.append(group)


def _options(group: type | None, values: Mapping[str, Any]) -> Any:
    if group is None:
        return None
    return group(**{one.name: values[one.name] for one in fields(group) if one.name in values})
