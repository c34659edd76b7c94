"""What a cluster's controllers do for one node: scheduling, namespaces, owner references."""
