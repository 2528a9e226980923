"""The configuration files of tests/corpus/ini as they would lie on their machine: what they name is there.

Their paths lie below a directory of the test's, their addresses are free ones, their user is ours, and every
application they name is the same stub. Nothing else in them is changed.
"""

from __future__ import annotations

import os
import re
import shutil
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from support import corpus
from support.ports import free_ports

from m2serve.config.outside import Outside
from m2serve.config.settings import examine

if TYPE_CHECKING:
    from collections.abc import Iterator

STUB = '''\
import os


class Stub:
    """Any application, and any factory of one."""

    def __call__(self, *args):
        if not args:
            return self
        environ, start_response = args
        start_response("200 OK", [("Content-Type", "text/plain")])
        return [f"{os.environ['CORPUS_FILE']} at {environ['SCRIPT_NAME']}/".encode()]


def __getattr__(name):
    if name.startswith("__"):
        raise AttributeError(name)
    return Stub()


application = Stub()


def loadapp(uri, relative_to):
    """As PasteDeploy has it."""
    return application
'''

_PLACE = re.compile(r"(?<![\w.)])/(?=(?:srv|var|run|opt|home|etc|tmp|usr|app)/)")
_DOOR = re.compile(r"^(\s*(?:socket|http|http-socket|http11-socket|http-to)\s*=\s*)(?!fd:)(?:[\w.]*):.*", re.MULTILINE)
_STATS = re.compile(r"^(\s*stats\s*=\s*)127.*", re.MULTILINE)
_USER = re.compile(r"^(\s*uid\s*=\s*).*", re.MULTILINE)
_GROUP = re.compile(r"^(\s*gid\s*=\s*).*", re.MULTILINE)
_OWNER = re.compile(r"^(\s*chown-socket\s*=\s*).*", re.MULTILINE)
_OWN_DOOR = re.compile(r"^(\s*with-mongrel2\s*=\s*).*", re.MULTILINE)
_PAIR = re.compile(r"^\s*zeromq\s*=.*\n", re.MULTILINE)


class Deployment:
    """A machine for some of the files.

    Args:
        root: a directory to make, what ``/`` would be.
        names: of the files.
    """

    def __init__(self, root: Path, names: list[str]) -> None:
        self.root = root
        self.files = root / "etc" / "apps"
        self.stubs = root / "stubs"
        self.own_port = free_ports(1)[0]
        """Of the file that starts a Mongrel2 itself."""
        shutil.copytree(corpus.CORPUS, self.files)
        for path in self.files.rglob("*.ini"):
            path.write_text(self._moved(path.read_text(), path.stem))
        for name in names:
            self._furnish(name)
        celery = root / "bin" / "celery"
        celery.parent.mkdir()
        # beat is a smart daemon, which would outlive the test
        celery.write_text("#!/bin/sh\ncase $* in *beat*) exit;; esac\nexec sleep 600\n")
        celery.chmod(0o755)

    def environment(self, name: str) -> dict[str, str]:
        home = f"{self.root}/home/app"
        return {
            **corpus.ENVIRONMENT,
            "HOME": home,
            "APP_HOME": f"{self.root}/srv/app",
            "PATH": f"{self.root}/bin:{os.environ['PATH']}",
            "CORPUS_FILE": name,
        }

    def _moved(self, text: str, stem: str) -> str:
        """With places and addresses of this machine; without the door of its own if that is another Mongrel2."""
        text = _PLACE.sub(lambda _: f"{self.root}/", text)
        # Several of one line in a loop, for which the kernel has to choose.
        text = _DOOR.sub(lambda match: f"{match[1]}127.0.0.1:{0 if '%' in match[0] else free_ports(1)[0]}", text)
        text = _STATS.sub(lambda match: f"{match[1]}{self.root}/run/{stem}.stats", text)
        text = _USER.sub(lambda match: f"{match[1]}{os.getuid()}", text)
        text = _GROUP.sub(lambda match: f"{match[1]}{os.getgid()}", text)
        text = _OWNER.sub(lambda match: f"{match[1]}{os.getuid()}:{os.getgid()}", text)
        text = _OWN_DOOR.sub(lambda match: f"{match[1]}127.0.0.1:{self.own_port}", text)
        return _PAIR.sub("", text)

    def _furnish(self, name: str) -> None:
        examined = examine([name], self.environment(name), Outside(), str(self.files))
        given: dict[str, str] = dict(examined.given)
        here = self.files / given.get("chdir", "")
        for key, value in examined.given:
            for place in re.findall(rf"{re.escape(str(self.root))}[^\s,=:;]*", value):
                Path(place).parent.mkdir(parents=True, exist_ok=True)
            match key:
                case "chdir" | "pythonpath" | "check-static":
                    (here / value).mkdir(parents=True, exist_ok=True)
                case "static-map":
                    Path(value.partition("=")[2]).mkdir(parents=True, exist_ok=True)
                case "virtualenv" | "home" | "venv" | "pyhome":
                    _make_environment(here / value)
                case "module" | "wsgi":
                    self._stub_module(value)
                case "paste" | "ini-paste":
                    self._stub_module("paste.deploy")
                case "wsgi-file":
                    _stub(here / value)
                case "mount" | "worker-mount":
                    target = value.partition("=")[2]
                    if target.endswith((".py", ".wsgi")):
                        _stub(here / target)
                    else:
                        self._stub_module(target)

    def _stub_module(self, value: str) -> None:
        _stub(self.stubs.joinpath(*value.partition(":")[0].split(".")).with_suffix(".py"))


def _stub(path: Path) -> None:
    """The application at that place, and whatever packages it takes."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(STUB)


def _make_environment(directory: Path) -> None:
    """A virtual environment of the Python that runs the tests, with nothing in it."""
    packages = directory / "lib" / f"python{sys.version_info[0]}.{sys.version_info[1]}" / "site-packages"
    packages.mkdir(parents=True, exist_ok=True)
    home = Path(sys.base_prefix) / "bin"
    version = ".".join(map(str, sys.version_info[:3]))
    (directory / "pyvenv.cfg").write_text(f"home = {home}\ninclude-system-site-packages = false\nversion = {version}\n")
    program = directory / "bin" / "python"
    program.parent.mkdir(exist_ok=True)
    if not program.exists():
        program.symlink_to(home / "python3")


def targets(name: str) -> Iterator[tuple[str, str]]:
    """What to ask each file's server for, and where the application that answers is mounted."""
    match name:
        case "php-and-python.ini":
            yield "/app/", "/app"
        case "moinmoin-farm.ini":
            yield from ((f"/{wiki}/", f"/{wiki}") for wiki in ("one", "two", "three"))
        case "flask-mounts.ini":
            yield from (("/", ""), ("/shop/", "/shop"), ("/blog/", "/blog"))
        case "declared-sites.ini":
            yield from (("/shop/", "/shop"), ("/blog/", "/blog"))
        case "worker-mounts.ini":
            yield from (("/wiki/", "/wiki"), ("/files/", "/files"))
        case _:
            yield "/", ""
