"""Kubernetes objects as data: types, defaults, validation, patches, tables; no I/O, no clock."""
