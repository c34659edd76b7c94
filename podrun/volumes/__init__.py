"""Volumes of pods: what a kubelet sets up below pods/UID/volumes, kept up to date and taken down again."""
