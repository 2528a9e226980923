"""What a process is doing, told at any moment: even while it loads, and while C code keeps the interpreter lock.

The faulthandler of Python writes the stacks from within a signal handler in C.
"""

from __future__ import annotations

import faulthandler
import re
import signal
from typing import Final

MAIN: Final = signal.SIGRTMAX - 3
"""Write the stack of the main thread; can do no harm."""
ALL: Final = signal.SIGRTMAX - 2
"""Write the stacks of all threads. They run meanwhile, so in the worst case this ends the process."""

_THREAD = re.compile(r"^(?:Current thread|Thread|Stack) (?:0x([0-9a-f]+))?.*$", re.MULTILINE)
_SKIPPED = re.compile(r'^  File "<frozen importlib.*\n', re.MULTILINE)
_FILE = re.compile(r'^  File "([^"\n]*)"', re.MULTILINE)
_PLAIN = re.compile(
    r"/m2serve/(?:\w+|transports/doors)/\w+\.py$|/m2serve/(?:__main__|cli)\.py$|/threading\.py$|^<frozen runpy>$"
)
_OURS = re.compile(r'^  File "[^"\n]*/m2serve/(?:apps/loader|gateways/wsgi)\.py"', re.MULTILINE)


def listen(fd: int) -> None:
    """From now on obey both signals; *fd* is written to, and must stay open."""
    faulthandler.register(MAIN, fd, all_threads=False, chain=False)
    faulthandler.register(ALL, fd, all_threads=True, chain=False)


def split(text: str) -> dict[int, str]:
    """Stacks by the ident of their threads, the innermost call first; 0: it was not told whose."""
    heads = list(_THREAD.finditer(text))
    ends = [head.start() for head in heads[1:]] + [len(text)]
    return {int(head[1] or "0", 16): text[head.end() + 1 : end] for head, end in zip(heads, ends, strict=False)}


def is_idle(stack: str) -> bool:
    """Whether a thread does nothing but wait for requests, or for what concerns them: all its frames are ours."""
    return all(_PLAIN.search(file) for file in _FILE.findall(stack))


def applications(stack: str) -> str:
    """As much of a stack as is the application's: without the import system, and what has called it."""
    stack = _SKIPPED.sub("", stack)
    ours = _OURS.search(stack)
    return (stack[: ours.start()] if ours is not None and ours.start() else stack).rstrip("\n")
