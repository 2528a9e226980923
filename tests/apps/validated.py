"""The probe between the standard library's validator and the server."""

from wsgiref.validate import validator

from probe import application as _probe

application = validator(_probe)
