"""Applications that PasteDeploy puts together. It is a library of the application's, and imported when it is needed."""

from __future__ import annotations

import configparser
import importlib
import logging.config
import os
from typing import Any

from m2serve.errors import AppLoadError


def load(uri: str) -> Any:
    """What PasteDeploy makes of ``config:FILE#NAME``; whatever the application raises comes through.

    Raises: AppLoadError: there is no PasteDeploy.
    """
    try:
        deploy = importlib.import_module("paste.deploy")
    except ModuleNotFoundError as error:
        if error.name is None or error.name.partition(".")[0] != "paste":
            raise
        expected = "expected PasteDeploy beside the application (pip install PasteDeploy, or m2serve[paste])"
        raise AppLoadError(f"{uri}: {expected}") from error
    return deploy.loadapp(uri, relative_to=os.getcwd())


def set_up_logging(file: str) -> None:
    """As ``pserve`` does it: the sections ``loggers``, ``handlers`` and ``formatters`` of the file, if there are any.

    Raises: AppLoadError: they cannot be used.
    """
    path = os.path.abspath(file)
    known = {"__file__": path, "here": os.path.dirname(path)}
    try:
        parser = configparser.ConfigParser(known)
        with open(path, encoding="utf-8") as stream:
            parser.read_file(stream)
        if parser.has_section("loggers"):
            logging.config.fileConfig(path, known, disable_existing_loggers=False)
    except Exception as error:
        # Handlers are made by whatever class the file names.
        raise AppLoadError(f"paste-logger {file}: {type(error).__name__}: {error}") from error
