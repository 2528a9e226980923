"""Children that are forked for somebody else, in processes of their own."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest

GUARDIAN = """
import json, os, sys, threading, time
from m2serve.system.life import live
from m2serve.system.orphan import beget, take_orphans

reader, writer = os.pipe()

def note(**facts):
    os.write(writer, json.dumps(facts).encode() + b"\\n")

take_orphans()
guardian = os.getpid()
nursery = os.fork()
if nursery == 0:
    os.register_at_fork(after_in_child=lambda: note(hook="child"), after_in_parent=lambda: note(hook="parent"))
    over = threading.Event()
    if "threaded" in sys.argv:
        threading.Thread(target=over.wait, daemon=True).start()

    def body():
        note(pid=os.getpid(), parent=os.getppid(), threads=threading.active_count())
        started = threading.Thread(target=note, kwargs={"ran": "thread"})
        started.start()
        started.join()
        return 7

    def nurse():
        before = os.getpid()
        for _ in range(2):
            beget(guardian, body)
        assert os.getpid() == before
        return 0

    live(nurse)
codes = {}
while True:
    try:
        pid, status = os.wait()
    except ChildProcessError:
        break
    codes[pid] = os.waitstatus_to_exitcode(status)
os.close(writer)
lines = [json.loads(line) for line in os.fdopen(reader)]
print(json.dumps({"guardian": guardian, "nursery": nursery, "codes": codes, "lines": lines}))
"""


def run(*args):
    done = subprocess.run(
        [sys.executable, "-c", GUARDIAN, *args], capture_output=True, text=True, timeout=60, check=False
    )
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


@pytest.mark.parametrize("args", [(), ("threaded",)], ids=["alone", "threaded"])
def test_the_child_is_its_guardians_and_ends_with_its_code(args):
    found = run(*args)
    born = [line for line in found["lines"] if "pid" in line]
    assert len(born) == 2
    assert {line["parent"] for line in born} == {found["guardian"]}
    assert {line["threads"] for line in born} == {1}, "no thread of the nursery's"
    assert sum(line.get("ran") == "thread" for line in found["lines"]) == 2, "threads start in the child"
    assert found["codes"] == {str(found["nursery"]): 0, **{str(line["pid"]): 7 for line in born}}


def test_the_hooks_of_a_fork_run_once_for_each_child():
    hooks = [line["hook"] for line in run()["lines"] if "hook" in line]
    assert sorted(hooks) == ["child", "child", "parent", "parent"]
