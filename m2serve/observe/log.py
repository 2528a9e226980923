"""Where the log goes and how a line looks."""

from __future__ import annotations

import contextlib
import io
import logging
import os
import stat
import sys
import time
from typing import TYPE_CHECKING

from m2serve.errors import ConfigError
from m2serve.observe import printed
from m2serve.observe.encoders import Said

if TYPE_CHECKING:
    from collections.abc import Callable

    from m2serve.config.log_values import LogDate
    from m2serve.observe.lines import Lines

_ROOT = "m2serve"
_STDOUT, _STDERR = 1, 2

_file: str | None = None
"""The path of logto."""
_mode: int | None = None
_own: Callable[[str], None] | None = None
"""What every log file gets that is opened: logfile-chmod, logfile-chown."""
_reopened: list[Callable[[], None]] = []
_lines: Lines | None = None
"""Through which every line of the log goes, if it does not simply go to standard error."""


class _Formatter(logging.Formatter):
    """``[2026-11-20 20:30:01.123] [4242] WARNING master: message``

    Args: date: of ``log-date``; its text and `` - `` stand in place of the time, as in uWSGI's lines.
    """

    def __init__(self, date: LogDate | None) -> None:
        super().__init__()
        self._date = date

    def format(self, record: logging.LogRecord) -> str:
        return self.head(record) + self.text(record)

    def head(self, record: logging.LogRecord) -> str:
        """What stands before the message."""
        return f"{self._moment(record.created)} [{record.process}] {record.levelname} {_short(record)}: "

    def _moment(self, created: float) -> str:
        if self._date:
            return f"{self._date.of(created)} -"
        moment = time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(created))
        # Not the record's msecs: it is rounded, and its 1000 would make a four-digit fraction.
        return f"[{moment}.{int(created % 1 * 1000):03d}]"

    def text(self, record: logging.LogRecord) -> str:
        """The message, and a traceback if there is one."""
        text = record.getMessage()
        if record.exc_info:
            text += "\n" + self.formatException(record.exc_info)
        return text


def _short(record: logging.LogRecord) -> str:
    return record.name.removeprefix(_ROOT + ".")


class _DescriptorHandler(logging.Handler):
    """Writes each record with one write(2).

    So lines of several processes do not mix, and no buffer is doubled by a fork. A log that cannot be written
    (disk full, reader gone) must never hurt a request.
    """

    def emit(self, record: logging.LogRecord) -> None:
        try:
            data = (self.format(record) + "\n").encode("utf-8", "backslashreplace")
            while data:
                data = data[os.write(_STDERR, data) :]
        except OSError:
            return
        except Exception:
            # A record that cannot be formatted, for instance by a broken __str__ of the application's.
            self.handleError(record)


class _LinesHandler(logging.Handler):
    """Hands records on as lines that know what they consist of."""

    def __init__(self, lines: Lines, form: _Formatter) -> None:
        super().__init__()
        self._lines = lines
        self._form = form

    def emit(self, record: logging.LogRecord) -> None:
        try:
            text = self._form.text(record)
            whole = (self._form.head(record) + text + "\n").encode("utf-8", "backslashreplace")
            said = text.encode("utf-8", "backslashreplace")
            pid = record.process or os.getpid()
            self._lines.put(Said(whole, said, record.levelname, _short(record), pid, record.created))
        except Exception:
            self.handleError(record)


def setup(
    level: str = "info",
    logto: str | None = None,
    mode: int | None = None,
    own: Callable[[str], None] | None = None,
    lines: Lines | None = None,
    date: LogDate | None = None,
) -> None:
    """Send every logger below ``m2serve`` to standard error, or to a file; before the first fork.

    Args:
        mode: for the file's permissions.
        own: gives the file to whom it is to belong.
        lines: that every line goes through, also what the application prints.
        date: how the time of a line is written.

    Raises: ConfigError: the file cannot be opened.
    """
    global _mode, _own, _lines
    _mode, _own, _lines = mode, own, lines
    if logto is not None:
        move(logto)
    logging.raiseExceptions = False
    if isinstance(sys.stdout, io.TextIOWrapper):
        # Prints of the application would wait in a buffer, and a killed worker would take them along. Where nothing is
        # buffered (PYTHONUNBUFFERED), the words of one print would be torn apart by lines of other processes.
        sys.stdout.reconfigure(line_buffering=True, write_through=False)
    form = _Formatter(date)
    handler: logging.Handler = _DescriptorHandler()
    handler.setFormatter(form)
    if lines is not None:
        handler = _LinesHandler(lines, form)
        also_reopen(lines.reopen)
        sys.stdout, sys.stderr = (printed.stream(number, lines.write) for number in (_STDOUT, _STDERR))
    logger = logging.getLogger(_ROOT)
    logger.handlers[:] = [handler]
    logger.setLevel(level.upper())
    # The application may install handlers of its own at the root: our lines are not its business.
    logger.propagate = False


def move(path: str) -> None:
    """From now on the log is that file.

    Raises: ConfigError: it cannot be opened.
    """
    global _file
    redirect(path)
    # For reopen: by then the process may be in another directory.
    _file = os.path.abspath(path)


def lines() -> Lines | None:
    """What every line of the log goes through; None: it simply goes to standard error."""
    return _lines


def rest() -> None:
    """Let go of connections until the next line: who is forked from here must not share them."""
    if _lines is not None:
        _lines.rest()


def also_reopen(call: Callable[[], None]) -> None:
    """Call it, too, whenever the log is opened again."""
    _reopened.append(call)


def rotate(largest: int = 0, backup: str | None = None, now: float = 0.0) -> str | None:
    """Give the log's file another name and open a new one, in this process.

    Args:
        largest: bytes up to which the file stays as it is.
        backup: its new name; by default the old one and the time.

    Returns: the new name; None: there is no such file, or it is not so large.
    """
    if _file is None:
        return None
    try:
        if os.stat(_file).st_size <= largest:
            return None
        name = backup or f"{_file}.{int(now)}"
        os.rename(_file, name)
    except OSError as error:
        logging.getLogger(f"{_ROOT}.log").error("the log cannot be rotated: %s", error)
        return None
    reopen()
    return name


def reopens() -> bool:
    """Whether this process could open its log again, or has no file to open."""
    return _file is None or os.access(_file, os.W_OK)


def redirect(path: str) -> None:
    """Point standard output and error at the end of a file, so that prints of the application land there too.

    Raises: ConfigError: the file cannot be opened.
    """
    try:
        file = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC, 0o640)
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or str(error)
        raise ConfigError(f"{path!r} cannot be opened for writing: {reason}") from error
    # Of a file that is somebody else's neither can be changed; it is a log all the same.
    with contextlib.suppress(OSError):
        if _mode is not None and stat.S_ISREG(os.fstat(file).st_mode):
            os.fchmod(file, _mode)
    if _own is not None and os.path.isfile(path):
        _own(path)
    os.dup2(file, _STDOUT)
    os.dup2(file, _STDERR)
    if file not in (_STDOUT, _STDERR):
        os.close(file)


def reopen() -> bool:
    """Open the file of logto by its name again, after something has renamed it; each process for itself.

    Returns: whether there is one, and it can be opened; else the log goes on where it was.
    """
    for call in _reopened:
        call()
    if _file is None:
        return False
    try:
        redirect(_file)
    except ConfigError as error:
        logging.getLogger(f"{_ROOT}.log").error("%s", error)
        return False
    return True


def reclaim() -> None:
    """Switch our loggers on again; after application code has run.

    ``logging.config`` disables every logger it is not told about unless asked otherwise, ours included.
    """
    for name, logger in logging.root.manager.loggerDict.items():
        if isinstance(logger, logging.Logger) and (name == _ROOT or name.startswith(_ROOT + ".")):
            logger.disabled = False
