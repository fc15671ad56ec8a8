"""`edgeacts tune`: what the forms of activations cost on a runtime of this machine."""
