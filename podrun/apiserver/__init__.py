"""The Kubernetes API over HTTPS and a unix socket: one generic path for every kind in the table."""
