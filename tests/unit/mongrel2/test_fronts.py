"""What is known of each Mongrel2, by source and in order of precedence."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import pytest

from m2serve.config.settings import Settings, load
from m2serve.endpoint import Endpoint, ZmqPair
from m2serve.errors import ConfigError
from m2serve.front import Front
from m2serve.mongrel2.fronts import fronts

if TYPE_CHECKING:
    from pathlib import Path

    from written import Written

SPECS = ("tcp://127.0.0.1:9997", "tcp://127.0.0.1:9996")
PAIR = ZmqPair.parse(",".join(SPECS))
OTHER = ZmqPair.parse("tcp://127.0.0.1:8887,tcp://127.0.0.1:8886")


def settings(*argv: str) -> Settings:
    return load(["--module", "shop", *argv], {})


def known(*argv: str, attached: Front | None = None) -> tuple[Front, ...]:
    return fronts(settings(*argv), attached)


def mistake(*argv: str) -> str:
    with pytest.raises(ConfigError) as caught:
        known(*argv)
    return str(caught.value)


# --- options alone --------------------------------------------------------------------


def test_without_anything_mongrel2s_defaults_hold() -> None:
    (front,) = known("--zeromq", str(PAIR))
    assert front == Front(PAIR, directory=os.getcwd())


def test_settings_are_of_all_and_chroots_of_those_named(tmp_path: Path) -> None:
    (tmp_path / "other").mkdir()
    first, second = known(
        *("--zeromq", str(PAIR), "--zeromq", str(OTHER)),
        *("--mongrel2-chroot", str(tmp_path), "--mongrel2-chroot", f"{OTHER.send}={tmp_path}/other"),
        *("--mongrel2-setting", "upload.temp_store=/up/XXXXXX", "--mongrel2-setting", "limits.content_length=4096"),
        *("--mongrel2-setting", "download.flow_control=1", "--mongrel2-setting", "upload.stream=1"),
        *("--mongrel2-setting", "limits.content_length=65536", "--mongrel2-setting", "control_port=tcp://*:8985"),
    )
    assert first == Front(
        PAIR,
        chroot=str(tmp_path),
        directory=str(tmp_path),
        temp_store="/up/XXXXXX",
        content_length=65536,
        stream=True,
        flow_control=True,
        control=Endpoint.parse("tcp://127.0.0.1:8985"),
    )
    assert second == first._replace(pair=OTHER, chroot=f"{tmp_path}/other", directory=f"{tmp_path}/other")


def test_a_chroot_of_nobody_is_a_mistake(tmp_path: Path) -> None:
    text = mistake("--zeromq", str(PAIR), "--mongrel2-chroot", f"tcp://127.0.0.1:1={tmp_path}")
    assert text == f"command line: mongrel2-chroot: no Mongrel2 at tcp://127.0.0.1:1: expected one of {SPECS[0]}"


def test_an_attached_one_is_known_already() -> None:
    attached = Front(PAIR, directory="/run/m2", flow_control=True)
    assert known("--with-mongrel2", ":8080", attached=attached) == (attached,)
    pairs = ("--zeromq", str(PAIR), "--zeromq", str(OTHER))
    assert known("--with-mongrel2", ":8080", *pairs, attached=attached) == (
        attached,
        Front(OTHER, directory=os.getcwd()),
    )


# --- a database -----------------------------------------------------------------------


def test_a_database_is_enough(written: Written) -> None:
    written.server()
    written.handler()
    written.setting("upload.temp_store", "tmp/up.XXXXXX")
    written.setting("limits.content_length", "65536")
    written.setting("download.flow_control", "1")
    written.plugin("filter", "/usr/lib/mongrel2/filters/sendfile.so")
    home = str(written.path.parent)
    assert known("--mongrel2-config", str(written)) == (
        Front(
            PAIR,
            directory=home,
            temp_store="tmp/up.XXXXXX",
            content_length=65536,
            flow_control=True,
            control=Endpoint("ipc", path=f"{home}/run/control"),
            sendfile=True,
        ),
    )


def test_options_win_over_the_database(written: Written, tmp_path: Path) -> None:
    written.server(chroot="/srv/none", port="ipc:///run/ctl")
    written.handler(send="ipc:///run/app", recv="ipc:///run/back")
    written.setting("limits.content_length", "4096")
    written.setting("upload.temp_store", "/up.XXXXXX")
    (front,) = known(
        *("--mongrel2-config", str(written), "--mongrel2-chroot", str(tmp_path)),
        *("--mongrel2-setting", "limits.content_length=65536", "--mongrel2-setting", "download.flow_control=1"),
    )
    assert str(front.pair) == f"ipc://{tmp_path}/run/app,ipc://{tmp_path}/run/back"
    assert str(front.control) == f"ipc://{tmp_path}/run/ctl"
    assert (front.chroot, front.directory) == (str(tmp_path), str(tmp_path))
    assert (front.content_length, front.flow_control, front.temp_store) == (65536, True, "/up.XXXXXX")


@pytest.mark.parametrize("written_as", ["ipc:///run/app", "ipc://{root}/run/app"])
def test_a_chroot_may_name_a_handler_by_either_address(written: Written, tmp_path: Path, written_as: str) -> None:
    written.server(chroot="/srv/none")
    written.handler(send="ipc:///run/app", recv="ipc:///run/back")
    option = f"{written_as.format(root=tmp_path)}={tmp_path}"
    (front,) = known("--mongrel2-config", str(written), "--mongrel2-chroot", option)
    assert front.chroot == str(tmp_path)


def test_numbers_are_read_as_mongrel2_reads_them(written: Written) -> None:
    written.server()
    written.handler()
    for key, value in (("limits.content_length", " 70000 # a lot"), ("upload.stream", "yes"), ("control_port", "?")):
        written.setting(key, value)
    (front,) = known("--mongrel2-config", str(written))
    assert (front.content_length, front.stream, front.control) == (70000, False, None)


def test_the_servers_control_port_wins_over_the_settings(written: Written) -> None:
    written.server(port="tcp://127.0.0.1:8001")
    written.handler()
    written.setting("control_port", "tcp://127.0.0.1:8002")
    (front,) = known("--mongrel2-config", str(written))
    assert front.control == Endpoint.parse("tcp://127.0.0.1:8001")


# --- which handler --------------------------------------------------------------------


@pytest.fixture
def two(written: Written) -> Written:
    written.server()
    written.handler("app", *SPECS)
    written.handler("chat", "tcp://*:8887", "tcp://*:8886")
    return written


def test_of_several_handlers_one_is_named(two: Written) -> None:
    database = ("--mongrel2-config", str(two))
    assert known(*database, "--handler", "chat")[0].pair == OTHER
    assert mistake(*database) == (
        f"command line: mongrel2-config: {two} has several handlers: expected handler, one of app, chat"
    )
    assert mistake(*database, "--handler", "shop") == (
        f"command line: handler: 'shop': no such send_ident in {two}: expected one of app, chat"
    )


def test_several_of_one_ident_are_told_apart_by_zeromq(two: Written) -> None:
    two.handler("app", "tcp://127.0.0.1:7777", "tcp://127.0.0.1:7776")
    database = ("--mongrel2-config", str(two))
    assert mistake(*database, "--handler", "app") == (
        f"command line: handler: 'app': 2 handlers of {two} have that send_ident: expected zeromq instead, "
        "one of tcp://127.0.0.1:9997,tcp://127.0.0.1:9996; tcp://127.0.0.1:7777,tcp://127.0.0.1:7776"
    )
    assert known(*database, "--zeromq", str(PAIR))[0].control is not None


def test_an_ident_to_which_nobody_can_answer(written: Written) -> None:
    written.server()
    written.handler("my_app")
    assert "'my_app': Mongrel2 refuses answers to such a send_ident" in mistake("--mongrel2-config", str(written))


def test_addresses_from_which_nobody_can_tell(written: Written) -> None:
    written.server()
    written.handler(send="tcp://127.0.0.1:*")
    text = mistake("--mongrel2-config", str(written))
    assert text.startswith("command line: mongrel2-config: handler app: 'tcp://127.0.0.1:*' has a port")
    assert text.endswith("zeromq can name both")


def test_an_empty_database_and_one_of_others(written: Written, tmp_path: Path) -> None:
    assert "has no handler: expected one" in mistake("--mongrel2-config", str(written))
    written.handler(servers=())
    assert "has no server" in mistake("--mongrel2-config", str(written))
    (tmp_path / "text").write_text("main = Server()\n" * 100)
    assert "file is not a database" in mistake("--mongrel2-config", str(tmp_path / "text"))


# --- addresses and a database ---------------------------------------------------------


def test_given_addresses_are_looked_up(two: Written, caplog: pytest.LogCaptureFixture) -> None:
    two.setting("download.flow_control", "1")
    third = "tcp://10.0.0.5:1,tcp://10.0.0.5:2"
    with caplog.at_level("INFO"):
        fronts = known("--mongrel2-config", str(two), "--zmq", str(OTHER), "--zmq", third, "--zmq", str(PAIR))
    assert [str(front.pair) for front in fronts] == [str(OTHER), third, str(PAIR)]
    assert [front.flow_control for front in fronts] == [True, False, True]
    assert "no handler with send_spec tcp://10.0.0.5:1" in caplog.text


def test_the_only_addresses_must_be_found_or_named(two: Written) -> None:
    arguments = ("--mongrel2-config", str(two), "--zmq", "tcp://10.0.0.5:1,tcp://10.0.0.5:2")
    assert mistake(*arguments) == (
        f"command line: mongrel2-config: {two} has no handler with send_spec tcp://10.0.0.5:1, "
        "only tcp://*:8887, tcp://127.0.0.1:9997; if it is one of these, name it with handler"
    )
    (front,) = known(*arguments, "--handler", "chat")
    assert str(front.pair.send) == "tcp://10.0.0.5:1"
    assert front.control is not None


def test_a_renamed_one_has_its_chroot_by_the_new_address(two: Written, tmp_path: Path) -> None:
    far = "tcp://10.0.0.5:1"
    arguments = ("--mongrel2-config", str(two), "--handler", "chat", "--zmq", f"{far},tcp://10.0.0.5:2")
    assert known(*arguments, "--mongrel2-chroot", f"{far}={tmp_path}")[0].chroot == str(tmp_path)


def test_of_two_that_might_be_meant_the_exact_one_is(written: Written) -> None:
    written.server()
    other = written.server("other", port="tcp://127.0.0.1:2")
    written.handler("a", "ipc:///app", "ipc:///back", (other,))
    written.handler("b", "ipc:///run/app", "ipc:///run/back")
    (front,) = known("--mongrel2-config", str(written), "--zmq", "ipc:///run/app,ipc:///run/back")
    assert str(front.control) == f"ipc://{written.path.parent}/run/control"


# --- several servers ------------------------------------------------------------------


def test_a_handler_of_two_servers(written: Written, tmp_path: Path) -> None:
    servers = (written.server("plain", "/srv/a"), written.server("tls", "/srv/b", port="ipc:///tls"))
    written.handler(servers=servers)
    written.plugin("filter", "/usr/lib/sendfile.so", servers[0])
    database = ("--mongrel2-config", str(written))
    assert mistake(*database) == (
        "command line: mongrel2-config: handler app belongs to several servers, plain (/srv/a), tls (/srv/b): "
        "expected mongrel2-chroot"
    )
    (front,) = known(*database, "--mongrel2-chroot", str(tmp_path))
    assert (front.control, front.sendfile) == (None, False)
    written.execute("UPDATE server SET chroot = ''")
    assert known(*database)[0].pair == PAIR


def test_of_servers_in_one_chroot_one_that_runs_tells(written: Written, tmp_path: Path) -> None:
    root = tmp_path / "root"
    (root / "run").mkdir(parents=True)
    (root / "run" / "tls.pid").touch()  # a PID file of ours: whoever we are, this Mongrel2 runs
    servers = (written.server("plain", str(root), "/run/m2.pid"), written.server("tls", str(root), "/run/tls.pid"))
    written.handler(send="ipc:///run/app", servers=servers)
    (front,) = known("--mongrel2-config", str(written))
    expected = Endpoint.parse(f"ipc://{root}/run/app" if os.geteuid() == 0 else "ipc:///run/app")
    assert front.pair.send == expected


# --- told in the log ------------------------------------------------------------------


@pytest.mark.parametrize(
    ("key", "value", "told"),
    [
        ("server.daemonize", "0", "upload.temp_store is not set"),
        ("upload.temp_store", "/up/file", "without XXXXXX at its end"),
        ("limits.content_length", "1000", "limits.content_length is 1000, less than limits.buffer_size, 4096"),
    ],
)
def test_settings_with_which_mongrel2_fails(
    written: Written, caplog: pytest.LogCaptureFixture, key: str, value: str, told: str
) -> None:
    written.server()
    written.handler()
    written.setting(key, value)
    known("--mongrel2-config", str(written))
    assert told in caplog.text


def test_a_chroot_that_may_not_have_happened(
    written: Written, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    written.server(chroot=str(tmp_path / "root"))
    handler = written.handler()
    database = ("--mongrel2-config", str(written))
    assert known(*database)[0].chroot == str(tmp_path / "root")
    assert "does not run yet" not in caplog.text, "over TCP it does not matter where we connect"
    written.execute(f"UPDATE handler SET send_spec = 'ipc:///run/app' WHERE id = {handler}")
    known(*database)
    assert f"sockets are looked for at {tmp_path}/root/run/app; mongrel2-chroot can name" in caplog.text
