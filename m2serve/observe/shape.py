"""What the settings want of the log's lines: loggers, encoders, routes, filters."""

from __future__ import annotations

from typing import TYPE_CHECKING

from m2serve.observe.alarms import AlarmLines
from m2serve.observe.lines import Lines, Outlet
from m2serve.observe.sinks import EachProcess, StandardError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from m2serve.config.log_values import LogTarget
    from m2serve.config.settings import Settings
    from m2serve.observe.sinks import Sink


def log_file(settings: Settings) -> LogTarget | None:
    """The logger that is the log's file, where no other option names one."""
    return next((one for one in settings.logger if one.driver == "file" and not one.name), None)


def log_lines(settings: Settings, path: str | None) -> Lines | None:
    """What every line of the log goes through; None: it goes to standard error and nowhere else, as it is.

    Args: path: of the log's file.

    Raises: ConfigError: a logger cannot be opened.
    """
    driven = (*settings.log_syslog, *settings.log_rsyslog, *settings.log_socket, *settings.log_zeromq)
    targets = [*settings.logger, *(one.target() for one in driven)]
    besides = [one for one in targets if one.name or one.driver != "stdio"]
    besides = [one for one in besides if one.name or one.driver != "file" or one.argument != path]
    routes, only, drop = settings.log_route, settings.log_filter, settings.log_drain
    alarms = AlarmLines.of(settings)
    if not (besides or settings.log_encoder or routes or only or drop or alarms):
        return None
    outlets = [Outlet(None, StandardError(), settings.log_encoder)]
    outlets += [Outlet(one, EachProcess(one), settings.log_encoder) for one in besides]
    return Lines(outlets, routes, only, drop, alarms=alarms)


def shapes_requests(settings: Settings) -> bool:
    """Whether lines for requests are more than written to all of their loggers."""
    named = any(one.name for one in settings.req_logger)
    return bool(named or settings.log_req_encoder or settings.log_req_route)


def request_lines(settings: Settings, sinks: Sequence[Sink]) -> Lines:
    """What the lines for requests go through.

    Args: sinks: of ``req-logger``, in its order; or the log.
    """
    targets: Sequence[LogTarget | None] = settings.req_logger or (None,)
    pairs = zip(targets, sinks, strict=True)
    outlets = [Outlet(target, sink, settings.log_req_encoder) for target, sink in pairs]
    return Lines(outlets, settings.log_req_route)
