"""`edgeacts tune`: what the forms of activations cost on a runtime of this machine."""

from edgeacts.tuning.candidates import TuneSettings
from edgeacts.tuning.files import measured_before, write_entry
from edgeacts.tuning.measuring import tune
from edgeacts.tuning.networks import network_with_relu, with_form

__all__ = ["TuneSettings", "measured_before", "network_with_relu", "tune", "with_form", "write_entry"]
