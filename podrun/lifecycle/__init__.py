"""What a kubelet decides: from a pod as specified and as observed, what to do next and what to publish.

Pure: nothing here reads a clock, a file or a global. The rules are those of Kubernetes 1.36 (`pkg/kubelet`), oddities
that clients can see included; where a rule would surprise, its source is named.
"""
