"""The probe between two judges: ours, which sees what the server gives, and the standard library's."""

from wsgiref.validate import validator

from probe import application as _probe
from support.validator import validated

application = validated(validator(_probe))
