"""Options about files that are served without the application."""

# Annotations are read at run time: no postponed evaluation in this directory.
from dataclasses import dataclass

from m2serve.config.option import option
from m2serve.config.static_values import Expiry, Pattern, StaticMap, TypeExpiry


@dataclass(frozen=True)
class StaticGroup:
    """Static files"""

    static_map: tuple[StaticMap, ...] = option(
        (),
        "Directory whose files are found below a prefix of the URL path, or the one file found there. What is not "
        "there the application gets.",
        metavar="/PREFIX=PATH",
    )
    static_map2: tuple[StaticMap, ...] = option(
        (), "The same; the prefix is a directory below PATH, too.", metavar="/PREFIX=PATH"
    )
    check_static: tuple[str, ...] = option(
        (), "Directory in which every path is looked for before all others.", names=("static-check",), metavar="DIR"
    )
    static_index: tuple[str, ...] = option(
        (), "File of a directory that stands for it; the first that is there.", metavar="NAME"
    )
    static_skip_ext: tuple[str, ...] = option((), "No file whose name, or path, ends so is served.", metavar="TEXT")
    static_safe: tuple[str, ...] = option(
        (), "Directory into which symbolic links may lead; else none may leave its own.", metavar="DIR"
    )
    static_expires: tuple[Expiry, ...] = option(
        (), "Expires of files whose name matches: so many seconds from now.", metavar="REGEXP SECONDS"
    )
    static_expires_mtime: tuple[Expiry, ...] = option(
        (), "The same: so many seconds after the file was written.", metavar="REGEXP SECONDS"
    )
    static_expires_path_info: tuple[Expiry, ...] = option(
        (), "Expires where PATH_INFO matches.", metavar="REGEXP SECONDS"
    )
    static_expires_path_info_mtime: tuple[Expiry, ...] = option(
        (), "The same, after the file was written.", metavar="REGEXP SECONDS"
    )
    static_expires_uri: tuple[Expiry, ...] = option((), "Expires where REQUEST_URI matches.", metavar="REGEXP SECONDS")
    static_expires_uri_mtime: tuple[Expiry, ...] = option(
        (), "The same, after the file was written.", metavar="REGEXP SECONDS"
    )
    static_expires_type: tuple[TypeExpiry, ...] = option(
        (), "Expires of files of a media type.", metavar="TYPE=SECONDS"
    )
    static_expires_type_mtime: tuple[TypeExpiry, ...] = option(
        (), "The same, after the file was written.", metavar="TYPE=SECONDS"
    )
    static_gzip_all: bool = option(
        False, "Whoever accepts gzip gets NAME.gz in place of NAME, if it is there and not older."
    )
    static_gzip: tuple[Pattern, ...] = option((), "The same for names that match.", metavar="REGEXP")
    static_gzip_dir: tuple[str, ...] = option(
        (), "The same for files below a directory.", names=("static-gzip-prefix",), metavar="DIR"
    )
    static_gzip_ext: tuple[str, ...] = option(
        (), "The same for names that end so.", names=("static-gzip-suffix",), metavar="TEXT"
    )
    mimefile: tuple[str, ...] = option(
        (), "File with media types, besides /etc/mime.types and Python's own.", names=("mime-file",), metavar="FILE"
    )
    honour_range: bool = option(True, "Answer a request for a part of a file with that part; else with all of it.")
