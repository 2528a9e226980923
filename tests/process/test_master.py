"""The master with real processes and signals, and children that only obey."""

from __future__ import annotations

import os
import re
import shutil
import signal
import socket

import pytest
from support.obedient import gone
from support.ports import free_ports


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT, signal.SIGQUIT])
@pytest.mark.parametrize("direct", [True, False])
def test_a_signal_stops_it_cleanly(start, number, direct):
    server = start("--processes", "2", *(["--zeromq-direct"] if direct else []))
    server.wait_for(r"all 2 workers ready in \d+\.\d\d s")
    assert ("spawned dispatcher" in server.log) is not direct
    server.signal(number)
    assert server.leave() == 0
    assert "ERROR" not in server.log
    assert len(re.findall(r"DRAINING -> DEAD \(exit code 0\)", server.log)) == 2


def test_the_start_is_told(start):
    server = start("--processes", "2", "--threads", "8")
    server.wait_for("all 2 workers ready")
    assert re.search(rf"m2serve \S+ \(pid: {server.process.pid}\) on \w+ 3\.", server.log)
    assert "2 processes x 8 threads, dispatched" in server.log
    assert "requests from tcp://127.0.0.1:1, answers to tcp://127.0.0.1:2" in server.log
    assert re.search(r"spawned worker 1 \(pid: \d+, threads: 8\)", server.log)
    assert re.search(r"worker 2 ready in 0\.01 s \(pid: \d+\) threads: uuid-\d+", server.log)


def test_a_killed_worker_is_replaced(start):
    server = start("--processes", "2")
    server.wait_for("all 2 workers ready")
    server.wait_for(r"dispatcher knows key", 2)
    os.kill(server.pid("worker 2"), signal.SIGKILL)
    server.wait_for(r"worker 2 \(pid: \d+\) died: killed by signal 9, SIGKILL; respawn in 0\.0 s")
    server.wait_for(r"worker 2 ready", 2)
    server.wait_for(r"dispatcher knows key", 3)
    server.signal(signal.SIGTERM)
    assert server.leave() == 0


def test_a_worker_that_keeps_dying_is_delayed_and_the_master_stays_awake(start):
    server = start()
    server.wait_for("all 1 workers ready")
    server.tell("crash")
    os.kill(server.pid("worker 1"), signal.SIGKILL)
    delays = server.wait_for(r"worker 1 \(pid: \d+\) died: .* respawn in (\d+\.\d) s", 5)
    assert delays == ["0.0", "0.1", "0.2", "0.4", "0.8"]
    assert "RuntimeError: told to crash" in server.log
    server.signal(signal.SIGUSR1)
    server.wait_for(r"worker 1: nobody, next spawn in")
    server.untell("crash")
    server.wait_for(r"worker 1 ready", 2)
    server.signal(signal.SIGTERM)
    assert server.leave() == 0


def test_a_killed_dispatcher_leaves_its_descriptors_to_the_next(start):
    server = start("--processes", "2")
    server.wait_for(r"dispatcher STARTING -> READY")
    server.wait_for("all 2 workers ready")
    assert "holds pulls [] posts []" in server.log
    os.kill(server.pid("dispatcher"), signal.SIGKILL)
    server.wait_for(r"holds pulls \[0\] posts \[\d, \d\]")
    server.wait_for(r"dispatcher STARTING -> READY", 2)
    server.signal(signal.SIGTERM)
    assert server.leave() == 0


def test_the_posts_of_the_dead_wait_for_a_dispatcher_to_settle_them(start):
    server = start()
    server.wait_for("all 1 workers ready")
    server.wait_for("dispatcher STARTING -> READY")
    os.kill(server.pid("worker 1"), signal.SIGKILL)
    server.wait_for(r"worker 1 ready", 2)
    # This fake does not settle while it runs, as if it had died before it could.
    os.kill(server.pid("dispatcher"), signal.SIGKILL)
    (dead,) = server.wait_for(r"settles the dead worker with key (\d)")
    server.wait_for(r"dispatcher STARTING -> READY", 2)
    os.kill(server.pid("dispatcher"), signal.SIGKILL)
    posts = server.wait_for(r"holds pulls \[0\] posts \[(.*)\]", 2)[-1]
    assert dead not in posts


def test_nothing_stays_when_the_master_is_killed(start):
    server = start("--processes", "2")
    server.wait_for("all 2 workers ready")
    server.wait_for(r"dispatcher STARTING -> READY")
    pids = server.pids()
    assert len(pids) == 3
    server.process.kill()
    assert server.leave() == -signal.SIGKILL
    assert all(gone(pid) for pid in pids)


def test_hup_replaces_all_workers(start):
    server = start("--processes", "2")
    server.wait_for("all 2 workers ready")
    before = {server.pid("worker 1"), server.pid("worker 2")}
    server.signal(signal.SIGHUP)
    server.wait_for("all 2 workers ready", 2)
    server.wait_for(r"worker \d READY -> DRAINING \(reload\)", 2)
    assert all(gone(pid) for pid in before)
    server.signal(signal.SIGTERM)
    assert server.leave() == 0


@pytest.mark.parametrize("options", [[], ["--need-app"]])
def test_a_reload_that_fails_keeps_the_old_workers(start, options):
    server = start("--processes", "2", *options)
    server.wait_for("all 2 workers ready")
    before = [server.pid("worker 1"), server.pid("worker 2")]
    server.tell("fail")
    server.signal(signal.SIGHUP)
    server.wait_for("reload given up: its application cannot be loaded; the old generation goes on")
    server.signal(signal.SIGUSR1)
    for pid in before:
        server.wait_for(rf"worker \d \(pid: {pid}\) generation 1 READY")
    server.untell("fail")
    server.signal(signal.SIGHUP)
    server.wait_for("all 2 workers ready", 2)
    server.signal(signal.SIGTERM)
    assert server.leave() == 0


def test_a_reload_whose_workers_die_is_given_up(start):
    server = start()
    server.wait_for("all 1 workers ready")
    server.tell("crash")
    server.signal(signal.SIGHUP)
    server.wait_for("reload given up: 4 workers died before they were ready")


def test_a_worker_leaves_by_itself_and_is_replaced(start, tmp_path):
    (tmp_path / "leave").touch()
    server = start()
    server.wait_for(r"worker 1 READY -> DRAINING \(told to leave\)")
    server.wait_for(r"worker 1 ready", 2)
    server.wait_for("all 1 workers ready")
    server.signal(signal.SIGTERM)
    assert server.leave() == 0
    assert "died" not in server.log


def test_workers_without_application_report_once_and_serve(start, tmp_path):
    (tmp_path / "fail").touch()
    server = start("--processes", "4")
    server.wait_for("all 4 workers ready")
    assert server.log.count("Traceback of the test") == 1
    assert server.log.count("further workers fail the same way") == 1
    server.signal(signal.SIGTERM)
    assert server.leave() == 0


def test_need_app_stops_the_server_with_22(start, tmp_path):
    (tmp_path / "fail").touch()
    server = start("--processes", "3", "--need-app")
    assert server.leave() == 22
    assert server.log.count("Traceback of the test") == 1


def test_mercy_ends_with_a_kill(start, tmp_path):
    (tmp_path / "stubborn").touch()
    server = start("--worker-reload-mercy", "1")
    server.wait_for("all 1 workers ready")
    server.signal(signal.SIGTERM)
    assert server.leave() == 0
    assert re.search(r"worker 1 DRAINING -> STOPPING \(no mercy any more\)", server.log)
    assert re.search(r"worker 1 STOPPING -> KILLED", server.log)


def test_further_signals_are_harder(start, tmp_path):
    (tmp_path / "stubborn").touch()
    server = start()
    server.wait_for("all 1 workers ready")
    server.signal(signal.SIGTERM)
    server.wait_for(r"worker 1 READY -> DRAINING")
    server.signal(signal.SIGTERM)
    server.wait_for(r"worker 1 DRAINING -> STOPPING")
    server.signal(signal.SIGINT)
    assert server.leave() == 0


def test_a_worker_that_hangs_at_its_start_does_not_delay_the_stop(start, tmp_path):
    (tmp_path / "hang").touch()
    server = start()
    server.wait_for(r"worker 1 holds")
    server.signal(signal.SIGTERM)
    assert server.leave() == 0
    assert re.search(r"worker 1 STARTING -> STOPPING", server.log)


OTHERS = ["WINCH", "ALRM", "URG", "IO", "PROF", "VTALRM", "PIPE"]


def test_no_signal_kills_the_master(start):
    server = start()
    server.wait_for("all 1 workers ready")
    for name in OTHERS:
        server.signal(getattr(signal, f"SIG{name}"))
        if name != "PIPE":
            server.wait_for(f"SIG{name} changes nothing")
    server.signal(signal.SIGRTMIN + 5)
    server.wait_for("changes nothing", len(OTHERS))
    server.signal(signal.SIGTERM)
    assert server.leave() == 0


def test_usr1_shows_the_children_and_their_threads(start):
    server = start()
    server.wait_for("all 1 workers ready")
    server.wait_for("dispatcher STARTING -> READY")
    server.signal(signal.SIGUSR1)
    server.wait_for(r"dispatcher \(pid: \d+\) READY age")
    server.wait_for(r"worker 1 \(pid: \d+\) generation 1 READY age \S+ s threads: uuid-\d")


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT, signal.SIGQUIT, signal.SIGTSTP, signal.SIGUSR2])
def test_what_the_whole_group_gets_leaves_children_alone(start, number):
    server = start()
    server.wait_for("all 1 workers ready")
    server.wait_for("dispatcher STARTING -> READY")
    for name in ("worker 1", "dispatcher"):
        os.kill(server.pid(name), number)
    server.signal(signal.SIGTERM)
    assert server.leave() == 0
    assert "died" not in server.log


def test_a_child_holds_only_what_is_its_own(start):
    server = start("--processes", "8", "--threads", "2")
    assert set(server.wait_for(r"worker \d holds strangers: (.*)", 8)) == {"[]"}


needs_mongrel2 = pytest.mark.skipif(not (shutil.which("mongrel2") and shutil.which("m2sh")), reason="no mongrel2")


@pytest.fixture
def port():
    return free_ports(1)[0]


@needs_mongrel2
def test_mongrel2_is_attached(start, port):
    server = start("--with-mongrel2", f"127.0.0.1:{port}", zeromq=False)
    server.wait_for(rf"serving on http://127\.0\.0\.1:{port}/")
    socket.create_connection(("127.0.0.1", port)).close()
    (directory,) = set(server.wait_for(r"requests from ipc://(\S+)/send"))
    assert os.path.isdir(directory)
    os.kill(server.pid("mongrel2"), signal.SIGKILL)
    server.wait_for(r"mongrel2 STARTING -> READY", 2)
    server.signal(signal.SIGTERM)
    assert server.leave() == 0
    assert not os.path.exists(directory)
    moves = re.findall(r"(\S+) \w+ -> DEAD \(exit", server.log)
    assert moves[-2:] == ["dispatcher", "mongrel2"], "Mongrel2 delivers to the last"


@needs_mongrel2
def test_mongrel2_dies_with_a_killed_master(start, port):
    server = start("--with-mongrel2", f"127.0.0.1:{port}", zeromq=False)
    server.wait_for("serving on")
    mongrel2 = server.pid("mongrel2")
    (directory,) = set(server.wait_for(r"requests from ipc://(\S+)/send"))
    server.process.kill()
    server.leave()
    assert gone(mongrel2)
    shutil.rmtree(directory)


@needs_mongrel2
def test_a_taken_port_is_said_before_anything_starts(start):
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        server = start("--with-mongrel2", f"127.0.0.1:{taken.getsockname()[1]}", zeromq=False)
        assert server.leave() == 1
    assert "cannot listen on 127.0.0.1" in server.log
    assert "spawned" not in server.log


def test_a_missing_mongrel2_names_the_package(start):
    server = start("--with-mongrel2", "127.0.0.1:1", "--mongrel2-binary", "no-such-mongrel2", zeromq=False)
    assert server.leave() == 1
    assert "mongrel2-core" in server.log
    assert "spawned" not in server.log


@needs_mongrel2
def test_a_daemon_that_cannot_start_ends_the_server(start, port, tmp_path):
    program = tmp_path / "broken"
    program.write_text("#!/bin/sh\necho '[ERROR] (a.c:1) broken' >&2\nexit 3\n")
    program.chmod(0o755)
    server = start("--with-mongrel2", f"127.0.0.1:{port}", "--mongrel2-binary", str(program), zeromq=False)
    assert server.leave() == 1
    assert "ERROR m2serve.mongrel2: broken (a.c:1)" in server.log
    assert "mongrel2 dies at its start" in server.log
    assert "spawned worker" not in server.log
