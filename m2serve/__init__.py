"""m2serve: application server for Python web apps behind Mongrel2 and ZeroMQ."""

__version__ = "0.1.0"
