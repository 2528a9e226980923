"""Files that only root can read."""

from __future__ import annotations

import os

import pytest

from m2serve.errors import ConfigError
from m2serve.system import secrets
from m2serve.system.privileges import Privileges

NOBODY = Privileges(65534, 65534, ())


def test_what_we_can_read_ourselves(tmp_path):
    (tmp_path / "a").write_text("a")
    assert secrets.can_read(Privileges(), [str(tmp_path / "a")])
    assert not secrets.can_read(Privileges(), [str(tmp_path / "a"), str(tmp_path / "b")])


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can become somebody else")
def test_what_somebody_else_can_read(public_path):
    path = public_path() / "key"
    path.write_text("secret")
    path.chmod(0o600)
    assert not secrets.can_read(NOBODY, [str(path)])
    path.chmod(0o644)
    assert secrets.can_read(NOBODY, [str(path)])
    path.parent.chmod(0o700)
    assert not secrets.can_read(NOBODY, [str(path)]), "its directory is closed"
    fd = secrets.keep(str(path))
    assert secrets.can_read(NOBODY, [secrets.path_of(fd)])
    os.close(fd)


def test_a_copy(tmp_path):
    path = tmp_path / "key"
    path.write_text("secret")
    fd = secrets.keep(str(path))
    path.unlink()
    assert not os.get_inheritable(fd)
    with open(secrets.path_of(fd)) as file:
        assert file.read() == "secret"
    os.close(fd)
    with pytest.raises(ConfigError, match="No such file"):
        secrets.keep(str(path))
