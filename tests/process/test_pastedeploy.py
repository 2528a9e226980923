"""Applications of PasteDeploy, as Pyramid has them: one file for the application, its logging and the server."""

from __future__ import annotations

import importlib.metadata
import signal
from typing import TYPE_CHECKING

import pytest
from support.http import get
from support.server import APPS, wait_until

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from support.mongrel2 import Mongrel2
    from support.server import Server


@pytest.fixture(autouse=True)
def _library() -> None:
    try:
        importlib.metadata.version("PasteDeploy")
    except importlib.metadata.PackageNotFoundError:
        pytest.skip("PasteDeploy is not installed")


PRODUCTION = """\
[DEFAULT]
stage = production

[app:shop]
paste.app_factory = pasted:make_app
greeting = hello from %(here)s:

[filter:marked]
paste.filter_factory = pasted:make_filter
mark = the filter

[pipeline:main]
pipeline = marked shop

[app:packaged]
use = egg:shop-of-tests#shop
greeting = packaged

[server:main]
use = egg:waitress#main
listen = localhost:6543

[uwsgi]
zeromq = %(pair)
pair = {pair}
pythonpath = %dpackages
processes = 2
threads = 2
need-app = true
mount = /packaged=config:%p#packaged

[loggers]
keys = root, pasted
[handlers]
keys = console, file
[formatters]
keys = short
[logger_root]
level = WARN
handlers = console
[logger_pasted]
level = INFO
handlers = file
qualname = pasted
propagate = 0
[handler_console]
class = StreamHandler
args = (sys.stderr,)
[handler_file]
class = FileHandler
args = ('%(here)s/shop.log', 'a')
formatter = short
[formatter_short]
format = %(levelname)s %(name)s %(message)s
"""


def packaged(directory: Path) -> None:
    """A distribution that PasteDeploy finds by its entry point."""
    info = directory / "shop_of_tests-1.0.dist-info"
    info.mkdir(parents=True)
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: shop-of-tests\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text("[paste.app_factory]\nshop = pasted:make_app\n")


def test_one_file_for_everything(
    mongrel2: Mongrel2, start_server: Callable[..., Server], public_path: Callable[[], Path]
) -> None:
    directory = public_path()
    file = directory / "production.ini"
    file.write_text(PRODUCTION.format(pair=mongrel2.pair))
    packaged(directory / "packages")
    options = ("--pythonpath", str(APPS), "--ini-paste", "production.ini", "--paste-logger")
    server = start_server(*options, cwd=directory).wait_ready(2)
    answer = get(mongrel2.address, "/first")
    assert (answer.status, answer.get("X-Seen-By")) == (200, "the filter")
    assert answer.text == f"hello from {directory}: production {file}\n"
    answer = get(mongrel2.address, "/packaged/second")
    assert (answer.status, answer.get("X-Seen-By"), answer.text) == (200, "", f"packaged production {file}\n")
    log = directory / "shop.log"
    said = ["INFO pasted asked for /first", "INFO pasted asked for /second"]
    wait_until(lambda: log.exists() and log.read_text().splitlines() == said, 30, "both are in the application's log")
    mark = server.mark()
    server.signal(signal.SIGHUP)
    server.wait_log("all 2 workers ready", after=mark)
    assert get(mongrel2.address, "/").status == 200
    assert server.stop() == 0


def test_an_application_that_is_not_in_the_file(start_server: Callable[..., Server], tmp_path: Path) -> None:
    (tmp_path / "app.ini").write_text("[app:main]\npaste.app_factory = pasted:make_app\n")
    options = ("--http", "127.0.0.1:0", "--pythonpath", str(APPS), "--need-app")
    server = start_server(*options, "--paste", "config:app.ini#other", cwd=tmp_path)
    server.allow("cannot load", "cannot be loaded", "LookupError", "Traceback")
    assert server.wait() == 22
    server.wait_log("No section 'other'")
