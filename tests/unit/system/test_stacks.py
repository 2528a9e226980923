"""Stacks that are written by a signal, and what is read from them."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

from m2serve.system import stacks

ROOT = Path(__file__).parents[3]

DUMP = """\
Thread 0x00007ff6f96186c0 (most recent call first):
  File "/m2serve/transports/dispatched.py", line 113 in sleep
  File "/usr/lib/python3.11/threading.py", line 995 in _bootstrap

Current thread 0x00007ff6fd5fc040 (most recent call first):
  File "/srv/shop/app.py", line 3 in <module>
  File "<frozen importlib._bootstrap>", line 241 in _call_with_frames_removed
  File "<frozen importlib._bootstrap_external>", line 940 in exec_module
  File "/usr/lib/python3/dist-packages/m2serve/apps/loader.py", line 60 in load
  File "/usr/lib/python3/dist-packages/m2serve/worker/main.py", line 150 in _load
"""

PROGRAM = """
import ctypes, os, signal, sys, threading
from m2serve.system import stacks
fd = os.memfd_create("stacks")
stacks.listen(fd)
def inner():
    # no thread of Python's can run meanwhile
    libc = ctypes.PyDLL(None)
    libc.kill(os.getpid(), number)
def outer():
    inner()
beside = threading.Thread(target=threading.Event().wait, daemon=True)
beside.start()
for number in (stacks.MAIN, stacks.ALL):
    outer()
found = os.pread(fd, 100000, 0).decode()
assert found.count("in inner") == 2, found
assert found.count(f"{beside.ident:x} (") == 1, found
os._exit(0)
"""


def test_by_thread():
    found = stacks.split(DUMP)
    assert list(found) == [0x7FF6F96186C0, 0x7FF6FD5FC040]
    idle, loading = found.values()
    assert stacks.is_idle(idle) and not stacks.is_idle(loading)
    assert stacks.applications(loading) == '  File "/srv/shop/app.py", line 3 in <module>'
    assert stacks.applications(idle) == idle.rstrip("\n"), "nothing of it is the application's"


def test_who_waits_at_a_door_is_idle():
    waits = (
        '  File "/srv/m2serve/transports/doors/room.py", line 3 in _turn\n'
        '  File "/srv/m2serve/transports/doors/subscription.py", line 2 in receive\n'
        '  File "/srv/m2serve/worker/cycle.py", line 1 in run\n'
    )
    assert stacks.is_idle(waits)
    assert not stacks.is_idle('  File "/srv/shop/doors/room.py", line 4 in look\n' + waits)


def test_of_one_thread_alone():
    found = stacks.split('Stack (most recent call first):\n  File "a.py", line 1 in f\n')
    assert found == {0: '  File "a.py", line 1 in f\n'}
    assert stacks.split("") == {}


def test_the_signals():
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    subprocess.run([sys.executable, "-c", PROGRAM], env=environment, check=True, timeout=60)
