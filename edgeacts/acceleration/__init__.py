"""Portable model -> the same model compiled for this machine, with kernels that run any activation at about ReLU's price."""

from edgeacts.acceleration.writing import accelerate

__all__ = ["accelerate"]
