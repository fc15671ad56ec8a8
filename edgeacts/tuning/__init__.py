"""`edgeacts tune`: what the forms of activations cost on a runtime of this machine."""

from edgeacts.tuning.files import write_entry
from edgeacts.tuning.measuring import TuneSettings, tune
from edgeacts.tuning.networks import network_with_relu, with_form

__all__ = ["TuneSettings", "network_with_relu", "tune", "with_form", "write_entry"]
