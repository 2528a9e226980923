"""HTTP over TLS, with certificates of the test's own."""

from __future__ import annotations

import json
import shutil
import socket
import ssl
import subprocess
from typing import TYPE_CHECKING

import pytest
from support import certificates
from support.server import APPS, wait_until

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from support.server import Server

PATIENCE = 40.0

pytestmark = pytest.mark.timeout(120)


def trusting(certificate: Path) -> ssl.SSLContext:
    """A client that believes this certificate alone."""
    return ssl.create_default_context(cafile=str(certificate))


def ask(port: int, context: ssl.SSLContext, path: str = "/") -> bytes:
    """One request on a connection of its own, read to its end."""
    with (
        socket.create_connection(("127.0.0.1", port), PATIENCE) as plain,
        context.wrap_socket(plain, server_hostname="localhost") as sock,
    ):
        sock.sendall(f"GET {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n".encode())
        data = b""
        while piece := sock.recv(65536):
            data += piece
        return data


def answered(port: int, context: ssl.SSLContext) -> bool:
    try:
        return ask(port, context).startswith(b"HTTP/1.1 200 ")
    except (ssl.SSLError, ConnectionError):
        return False


def test_certificates(start_server: Callable[..., Server], tmp_path: Path) -> None:
    """Served, renewed without a reload, asked of clients where they need one; plain HTTP there is no request."""
    certificate, key = certificates.make(tmp_path)
    newer, its_key = certificates.make(tmp_path, "newer")
    own, own_key = certificates.make(tmp_path, "client")
    server = start_server(
        *("--pythonpath", str(APPS), "--module", "probe", "--threads", "2"),
        *("--https", f"127.0.0.1:0,{certificate},{key}"),
        *("--https2", f"addr=127.0.0.1:0,cert={certificate},key={key},client_ca={own}"),
    ).wait_ready()
    first, second = (int(line.rpartition(":")[2]) for line in server.log.splitlines() if "https door at" in line)
    head, _, body = ask(first, trusting(certificate), "/env").partition(b"\r\n\r\n")
    assert head.startswith(b"HTTP/1.1 200 ")
    environ = json.loads(body)
    assert (environ["wsgi.url_scheme"], environ["REMOTE_ADDR"]) == ("https", "127.0.0.1")
    assert (environ["SERVER_PORT"], environ["SERVER_PROTOCOL"]) == ("443", "HTTP/1.1"), "as the client says in Host"

    assert not answered(second, trusting(certificate)), "a client without a certificate"
    known = trusting(certificate)
    known.load_cert_chain(own, own_key)
    assert answered(second, known)

    with socket.create_connection(("127.0.0.1", first), PATIENCE) as plain:
        plain.settimeout(PATIENCE)
        plain.sendall(b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n")
        said = b""
        try:
            while piece := plain.recv(65536):
                said += piece
        except ConnectionError:
            pass
        assert b" 200 " not in said

    shutil.copy(its_key, key)
    shutil.copy(newer, certificate)
    wait_until(lambda: answered(first, trusting(newer)), PATIENCE, "the new certificate counts")
    server.wait_log("tls: new certificate from")
    assert not answered(first, trusting(own))
    assert server.stop() == 0


def test_a_key_with_a_pass_phrase(start_server: Callable[..., Server], tmp_path: Path) -> None:
    """Nobody is asked for it, and nothing waits."""
    certificate, key = certificates.make(tmp_path)
    locked = tmp_path / "locked.key"
    openssl = str(shutil.which("openssl"))
    command = [openssl, "pkcs8", "-topk8", "-in", key, "-out", locked, "-passout", "pass:secret"]
    subprocess.run(command, check=True, capture_output=True)
    server = start_server(
        *("--pythonpath", str(APPS), "--module", "probe"), "--https", f"127.0.0.1:0,{certificate},{locked}"
    )
    server.allow("nothing was started")
    assert server.wait() == 1
    assert "https: 127.0.0.1:0: " in server.log
    assert "expected a certificate and its key in PEM format" in server.log
