"""Does what hooks ask for. Commands are waited for, but not without end."""

from __future__ import annotations

import logging
import os
import shutil
import signal
import subprocess
from typing import TYPE_CHECKING

from m2serve.config.deeds import Deed
from m2serve.errors import ConfigError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from m2serve.config.settings import Settings
    from m2serve.ids import Seconds

log = logging.getLogger("m2serve.hooks")


def perform_all(settings: Settings, point: str) -> None:
    """All that the settings ask for at one point: first the hooks, then the commands, each in its order.

    Args: point: ``as_root``; ``hook_as_root`` and ``exec_as_root`` are the settings.

    Raises: ConfigError: something failed; what comes behind it is not done.
    """
    for where, deed in _asked_for(settings, point):
        # Tests wait for this line.
        log.info("%s", where)
        try:
            perform(deed, settings.hook_timeout)
        except (OSError, ConfigError, LookupError) as error:
            raise ConfigError(f"{where}: {error}") from error


def try_all(settings: Settings, point: str) -> None:
    """The same where a failure is no reason to give up: it is logged."""
    try:
        perform_all(settings, point)
    except ConfigError as error:
        # Tests wait for this line.
        log.error("failed: %s", error)


def perform(deed: Deed, seconds: Seconds) -> None:
    """Do one thing.

    Raises:
        ConfigError: a command failed, or did not end within *seconds*.
        OSError, LookupError: something else failed; there is no such user.
    """
    match deed.kind, deed.words:
        case "exec", (command,):
            run(command, seconds)
        case "safeexec", (command,):
            try:
                run(command, seconds)
            except (OSError, ConfigError) as error:
                log.warning("%s: %s", deed, error)
        case "print" | "log", (text,):
            log.info("%s", text)
        case "cd" | "chdir", (path,):
            os.chdir(path)
        case "mkdir", (path,):
            os.mkdir(path)
        case "unlink", (path,):
            os.unlink(path)
        case "create" | "creat", (path,):
            _write(path, "", os.O_CREAT | os.O_TRUNC)
        case "write", (path, text):
            _write(path, text, os.O_CREAT | os.O_TRUNC)
        case "writen", (path, text):
            _write(path, text + "\n", os.O_CREAT | os.O_TRUNC)
        case "append", (path, text):
            _write(path, text, os.O_CREAT | os.O_APPEND)
        case "appendn", (path, text):
            _write(path, text + "\n", os.O_CREAT | os.O_APPEND)
        case "writefifo", (path, text):
            # Without a reader this fails, where it would wait for one.
            _write(path, text, os.O_NONBLOCK)
        case "chmod", (path, mode):
            os.chmod(path, int(mode, 8))
        case "chown", (path, user, group):
            shutil.chown(path, _identity(user), _identity(group))
        case "putenv", (text,):
            name, _, value = text.partition("=")
            os.environ[name] = value
        case _:
            pass  # of a signal the master has a table; the rest is not done here


def run(command: str, seconds: Seconds) -> None:
    """Run a shell command; what it prints goes where our log goes.

    Raises: ConfigError: it failed, or was killed when its time was over, with all that it had started.
    """
    process = subprocess.Popen(command, shell=True, stdin=subprocess.DEVNULL, start_new_session=True)
    try:
        code = process.wait(seconds)
    except subprocess.TimeoutExpired:
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()
        raise ConfigError(f"killed after {seconds:g} s") from None
    if code:
        raise ConfigError(f"killed by signal {-code}" if code < 0 else f"exit code {code}")


def _asked_for(settings: Settings, point: str) -> Iterator[tuple[str, Deed]]:
    """Each with its place: ``deploy.ini:14: exec-as-root = rm -f /run/x``."""
    for field in (f"hook_{point}", f"exec_{point}"):
        origins = settings.origins.get(field, ())
        for index, value in enumerate(getattr(settings, field, ())):
            deed = value if isinstance(value, Deed) else Deed("exec", (value,))
            origin = origins[index] if index < len(origins) else "default"
            if deed.done_here:
                yield f"{origin}: {field.replace('_', '-')} = {value}", deed


def _write(path: str, text: str, flags: int) -> None:
    file = os.open(path, os.O_WRONLY | os.O_CLOEXEC | flags, 0o666)
    try:
        os.write(file, text.encode("utf-8", "surrogateescape"))
    finally:
        os.close(file)


def _identity(text: str) -> str | int:
    return int(text) if text.isdigit() else text
