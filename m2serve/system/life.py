"""The frame of a forked process: run, take the application's leave, end by ``_exit``."""

from __future__ import annotations

import atexit
import logging
import os
import sys
from typing import TYPE_CHECKING, NoReturn

from m2serve.errors import ExitCode

if TYPE_CHECKING:
    from collections.abc import Callable

log = logging.getLogger("m2serve.master")

_CANNOT_EXEC = 127
"""The shell's code for a command that cannot be run."""


def live(body: Callable[[], int]) -> NoReturn:
    """Run *body* and end this process with the code it gives, or with the one that its exception means."""
    code: int = ExitCode.INTERNAL
    try:
        code = body()
    except SystemExit as leaving:
        code = _code_of(leaving)
    except OSError as error:
        # No traceback for the commonest case, a program that is not there.
        log.error("child %d cannot go on: %s", os.getpid(), error, exc_info=log.isEnabledFor(logging.DEBUG))
        code = _CANNOT_EXEC if isinstance(error, FileNotFoundError | PermissionError) else ExitCode.INTERNAL
    except BaseException:
        # The last frame of the process: whatever it is, it belongs into the log.
        log.exception("child %d died of an exception", os.getpid())
    _leave(code)


def _leave(code: int) -> NoReturn:
    try:
        atexit._run_exitfuncs()
    except BaseException:
        # An exit function of the application's; the process leaves all the same.
        log.exception("an exit function failed")
    try:
        sys.stdout.flush()
        sys.stderr.flush()
    except OSError:
        pass
    finally:
        # Not sys.exit: the frames above are those of the process we were forked from, with its clean-up.
        os._exit(code)


def _code_of(leaving: SystemExit) -> int:
    if leaving.code is None:
        return ExitCode.OK
    return leaving.code if isinstance(leaving.code, int) else ExitCode.CONFIG
