"""Logs, exec and attach: what a kubelet streams, served by the API itself."""
