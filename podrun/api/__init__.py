"""Kubernetes objects as data: types, defaults, validation, patches, tables. Nothing here reads, waits or knows a clock."""
