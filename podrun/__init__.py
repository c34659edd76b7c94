"""Kubernetes pods as real Linux processes on one machine."""

__version__ = "0.1.0"
