"""Forms: other ways to compute an activation, each within a bound of its definition, and their ONNX functions."""

from edgeacts.forms.choice import DOMAIN, DOMAIN_VERSION, OPSETS, TOLERANCE, Choice, allowed_error, choose
from edgeacts.forms.choosing import Option, Options, choose_for, options
from edgeacts.forms.functions import ONNX, SEVERAL, attribute_names, function, operator_name

__all__ = [
    "DOMAIN",
    "DOMAIN_VERSION",
    "ONNX",
    "OPSETS",
    "SEVERAL",
    "TOLERANCE",
    "Choice",
    "Option",
    "Options",
    "allowed_error",
    "attribute_names",
    "choose",
    "choose_for",
    "function",
    "operator_name",
    "options",
]
