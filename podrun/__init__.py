"""Kubernetes pods as real Linux processes on one machine."""
