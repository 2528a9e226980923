"""The master's own sockets: bound, matched with those that were left, handed on, closed."""

from __future__ import annotations

import logging
import os
import socket

import pytest
from support import certificates

from m2serve.config.outside import Outside
from m2serve.config.settings import examine
from m2serve.door import Tls
from m2serve.errors import ConfigError
from m2serve.master import heritage
from m2serve.master.doors import Doors
from m2serve.system import listen, secrets
from m2serve.system.activation import Activated
from m2serve.system.privileges import Privileges
from m2serve.transports.doors.tls import context
from m2serve.wire import record


def settings(text):
    found = examine(["a.ini"], {}, Outside(read_file=lambda path: f"[uwsgi]\nmodule = shop\n{text}"), os.getcwd())
    assert found.problems == ()
    return found.settings


@pytest.fixture
def doors(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    made = []

    def make(text, *activated):
        made.append(Doors(settings(text), activated=activated))
        return made[-1]

    yield make
    for one in made:
        one.close()


def test_all_are_bound_and_described(doors):
    made = doors("http = 127.0.0.1:0\nsocket = a.sock\nscgi-socket = @m2serve-doors-test\nlisten = 7\n")
    made.open()
    unix, http, abstract = made.doors
    assert (unix.protocol, unix.name, unix.local, unix.keepalive) == ("uwsgi", os.path.abspath("a.sock"), ("", 0), 0)
    assert (abstract.protocol, abstract.name, abstract.family) == ("scgi", "@m2serve-doors-test", socket.AF_UNIX)
    assert (http.protocol, http.keepalive, http.head_timeout, http.body_timeout) == ("http", 75.0, 10.0, 60.0)
    assert http.chunk_timeout == 60.0
    assert http.name == f"127.0.0.1:{http.local[1]}"
    socket.create_connection(http.local).close()
    assert not os.get_blocking(http.fd)
    made.close()
    assert not os.path.exists("a.sock")
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection(http.local)


def test_doors_know_who_serves_there(doors, caplog):
    caplog.set_level("INFO")
    made = doors("http = 127.0.0.1:0\nsocket = a.sock\nprocesses = 3\nmap-socket = 0:1,3\n")
    made.open()
    unix, http = made.doors
    assert (unix.workers, http.workers) == ((1, 3), ())
    assert f"uwsgi door at {unix.name}, for workers 1, 3" in caplog.messages


def test_without_vacuum_the_file_stays(doors):
    made = doors("socket = a.sock\nvacuum = false\n")
    made.open()
    made.close()
    assert os.path.exists("a.sock")


def test_a_mistake_names_its_place(doors):
    with open("a.sock", "w"):
        pass
    with pytest.raises(ConfigError) as raised:
        doors("socket = a.sock\n").open()
    told = f"a.ini:3: socket: {os.path.abspath('a.sock')}: cannot listen: there is a file that is no socket"
    assert str(raised.value) == told


def test_permissions_and_a_user_that_nobody_is(doors):
    doors("socket = a.sock\nchmod-socket = 604\n").open()
    assert os.stat("a.sock").st_mode & 0o777 == 0o604
    with pytest.raises(ConfigError, match=r"chown-socket = nobody-at-all \(a.ini:4\): there is nobody called"):
        doors("socket = b.sock\nchown-socket = nobody-at-all\n").open()


def test_a_number_that_no_user_can_have(doors):
    with pytest.raises(
        ConfigError, match=r"chown-socket = 99999999999 \(a.ini:4\): there is nobody called 99999999999"
    ):
        doors("socket = b.sock\nchown-socket = 99999999999\n").open()


def given(address):
    """A socket as a service manager leaves it."""
    family = socket.AF_UNIX if isinstance(address, str) else socket.AF_INET
    sock = socket.socket(family)
    sock.bind(address)
    sock.listen()
    return sock.detach()


def test_sockets_of_a_service_manager(doors):
    first, second = given("a.sock"), given(("127.0.0.1", 0))
    port = socket.socket(fileno=second)
    address = listen.name_of(port)
    port.detach()
    made = doors(f"http = {address}\nprotocol = scgi\n", Activated(first, "unix"), Activated(second, "web"))
    made.open()
    assert [(one.protocol, one.name, one.fd) for one in made.doors] == [
        ("http", address, second),
        ("scgi", "a.sock", first),
    ]
    made.close()
    assert os.path.exists("a.sock"), "the service manager's file is not ours to remove"


def test_a_descriptor_by_its_number(doors):
    fd = given(("127.0.0.1", 0))
    made = doors(f"http = fd://{fd}\n", Activated(fd))
    made.open()
    (door,) = made.doors
    assert (door.protocol, door.fd) == ("http", fd)
    with pytest.raises(ConfigError, match=r"a\.ini:3: http: fd://987: expected a socket"):
        doors("http = fd://987\n").open()


def test_certificates(doors, tmp_path, monkeypatch):
    certificate, key = certificates.make(tmp_path)
    other, _ = certificates.make(tmp_path, "other")
    with pytest.raises(ConfigError, match=r"a\.ini:3: https: 127\.0\.0\.1:0: .*expected a certificate and its key"):
        doors(f"https = 127.0.0.1:0,{other},{key}\n").open()
    text = f"https = 127.0.0.1:0,{certificate},{key}\n"
    made = doors(text)
    made.open()
    assert ([one.tls for one in made.doors], made.secrets) == ([Tls(str(certificate), str(key))], ())

    # Somebody else is to serve who cannot read the key.
    monkeypatch.setattr(secrets, "can_read", lambda rights, paths: False)
    kept = doors(text)
    kept.rights = Privileges(gid=os.getgid())
    kept.open()
    (door,) = kept.doors
    assert door.tls == Tls(*map(secrets.path_of, kept.secrets))
    context(door.tls)
    rows = left(kept)
    assert rows[0].secrets == tuple(int(path.rpartition("/")[2]) for path in door.tls[:2])
    key.rename(tmp_path / "gone")
    after = doors(text.replace(str(key), str(tmp_path / "gone")))
    monkeypatch.setattr(os, "access", lambda path, mode: False)
    after.take_over(rows)
    assert [one.tls for one in after.doors] == [door.tls]
    rows = left(after)
    monkeypatch.undo()
    last = doors(text.replace(str(key), str(tmp_path / "gone")))
    last.take_over(rows)
    assert [one.tls for one in last.doors] == [Tls(str(certificate), str(tmp_path / "gone"))]
    assert last.secrets == ()


def left(made):
    """What goes over in an upgrade."""
    rows = made.leave()
    again = record.read(tuple[heritage.LeftDoor, ...], record.write(rows), {}, "doors")
    assert again == rows
    made.held.clear()
    return rows


def test_after_an_upgrade_the_same_sockets_go_on(doors):
    made = doors("http = 127.0.0.1:0\nsocket = a.sock\n")
    made.open()
    before, file = made.doors, listen.inode("a.sock")
    after = doors("socket = a.sock\nhttp = 127.0.0.1:0\nhttp-keepalive = 5\nlisten = 9\n")
    after.take_over(left(made))
    assert {one.fd for one in after.doors} == {one.fd for one in before}
    assert [one.keepalive for one in after.doors if one.protocol == "http"] == [5]
    assert listen.inode("a.sock") == file
    after.close()
    assert not os.path.exists("a.sock")


def test_after_an_upgrade_with_other_addresses(doors, caplog):
    caplog.set_level(logging.INFO)
    made = doors("http = 127.0.0.1:0\nsocket = a.sock\n")
    made.open()
    (port,) = [one.local for one in made.doors if one.protocol == "http"]
    after = doors("socket = b.sock\nsocket = no/such/directory.sock\n")
    after.take_over(left(made))
    assert [one.name for one in after.doors] == [os.path.abspath("b.sock")]
    assert not os.path.exists("a.sock")
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection(port)
    assert "nobody is to listen at 127.0.0.1:0 any more" in caplog.text
    assert "upgrade: a.ini:4: socket" in caplog.text


def test_after_an_upgrade_those_of_the_service_manager_go_on(doors):
    fd = given("a.sock")
    made = doors("socket = b.sock\n", Activated(fd))
    made.open()
    after = doors("socket = b.sock\nprotocol = http\n")
    after.take_over(left(made))
    assert [(one.protocol, one.name) for one in after.doors] == [
        ("http", os.path.abspath("b.sock")),
        ("http", "a.sock"),
    ]
    last = doors(f"fastcgi-socket = {os.path.abspath('a.sock')}\nsocket = b.sock\n")
    rows = left(after)
    last.take_over(rows)
    assert sorted(one.fd for one in last.doors) == sorted(row.fd for row in rows)
