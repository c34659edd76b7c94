"""The Pod Security Standards as admission applies them: pure functions from a pod and a policy to what it violates.

    policy.py      a namespace's labels -> what it enforces, audits and warns about
    standard.py    which checks a level has in which version of the standard
    baseline.py, restricted.py    the checks
    admission.py   what is said of a pod, a pod template, and a namespace whose labels change

The rules and their words are those of Kubernetes 1.36 (k8s.io/pod-security-admission), every version of the standard
from 1.0 on.
"""
