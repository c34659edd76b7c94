"""The picture of a pod: who shares which namespace, with processes, mounts, cgroup and addresses."""
