"""The request log of one worker, as the settings want it."""

from __future__ import annotations

import logging
import os
from functools import partial
from typing import TYPE_CHECKING

from m2serve.errors import ConfigError
from m2serve.gateways.routing.call import Quiet
from m2serve.observe import shape
from m2serve.observe.access import (
    AccessLog,
    Choice,
    ChosenLog,
    RequestLog,
    TemplateLog,
    memory_of_this_process,
)
from m2serve.observe.log import also_reopen, lines
from m2serve.observe.sinks import EachProcess, Sink, StandardError, sink
from m2serve.observe.template import Template

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from m2serve.config.log_values import LogTarget
    from m2serve.config.settings import Settings
    from m2serve.observe.facts import Facts

log = logging.getLogger("m2serve.worker")


def open_sinks(settings: Settings) -> Sequence[Sink]:
    """Where the lines go; empty: no request has one. Names of files are from the present directory."""
    if settings.disable_logging and _choice(settings) == Choice():
        return ()
    if not (settings.req_logger or settings.log_req_encoder or settings.log_req_route):
        return [lines() or StandardError()]
    sinks: list[Sink] = [_sink(target) for target in settings.req_logger] or [StandardError()]
    if shape.shapes_requests(settings):
        sinks = [shape.request_lines(settings, sinks)]
    for one in sinks:
        also_reopen(one.reopen)
    return sinks


def request_log(
    settings: Settings,
    worker: int,
    sinks: Sequence[Sink],
    variables: Callable[[str], bytes | None] = lambda name: None,
) -> RequestLog | None:
    """What the settings ask for; None: no request has a line.

    Args: variables: what the application has set by that name for the request whose line is written.
    """
    if not sinks:
        return None
    write = sinks[0].write if len(sinks) == 1 else partial(_write_all, sinks)
    result: RequestLog
    if settings.log_format is None:
        memory = memory_of_this_process if settings.memory_report else None
        result = AccessLog(write, os.getpid(), micros=settings.log_micros, memory=memory)
    else:
        template = Template(
            settings.log_format,
            os.getpid(),
            worker,
            strftime=settings.log_format_strftime,
            forwarded=settings.log_x_forwarded_for,
            variables=variables,
        )
        result = TemplateLog(write, template, memory_of_this_process)
    if settings.disable_logging:
        result = ChosenLog(_choice(settings), result)
    if settings.route or settings.response_route or settings.error_route or settings.final_route:
        result = _Discreet(result)
    return result


class _Discreet:
    """Leaves out the lines that a rule does not want."""

    def __init__(self, log: RequestLog) -> None:
        self._log = log

    def record(self, facts: Facts) -> None:
        if type(facts.outcome) is not Quiet:
            self._log.record(facts)


def _choice(settings: Settings) -> Choice:
    return Choice(
        settings.log_4xx,
        settings.log_5xx,
        settings.log_slow / 1000,
        settings.log_big,
        settings.log_zero,
        settings.log_ioerror,
        settings.log_sendfile,
    )


def _sink(target: LogTarget) -> Sink:
    try:
        # A connection must not be shared with those who are forked from here.
        return EachProcess(target) if target.driver == "zeromq" else sink(target)
    except ConfigError as error:
        log.error("req-logger %s: %s; the lines go to the log", target, error)
        return StandardError()


def _write_all(sinks: Sequence[Sink], line: bytes) -> None:
    for one in sinks:
        one.write(line)
