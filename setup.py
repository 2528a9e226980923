"""Which packages there are; all other metadata is in pyproject.toml.

It is said here because pyproject.toml knows no list that is part found and part written down: the directory plugins
becomes the package m2serve_plugins, so that nothing called plugins lands among the installed packages.
"""

from setuptools import find_packages, setup

own = ["m2serve_plugins", *(f"m2serve_plugins.{name}" for name in find_packages("plugins"))]
setup(packages=[*find_packages(include=["m2serve*"]), *own], package_dir={"m2serve_plugins": "plugins"})
