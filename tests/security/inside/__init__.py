"""Ways out of a container, tried from inside it: one small function each, with the source that describes it.

The package is copied into an image and run in a container by an interpreter that has nothing but its standard library:

    python3 -m tests.security.inside              tries all, each in a process of its own; a line of JSON for each
    python3 -m tests.security.inside NAME...      tries these

A way that is open returns what it has reached. One that is closed ends by the kernel's refusal (OSError) or by
`Held`, which says what was found instead. None of them changes anything where it succeeds: a file is opened for
writing and not written, a call is made with arguments that the kernel refuses once it has granted permission.
"""

from tests.security.inside import calls, kernel_files, namespaces, reaching
from tests.security.inside.ways import WAYS

__all__ = ["TOPICS", "WAYS"]

TOPICS = (namespaces, kernel_files, calls, reaching)
"""The modules that enter their functions."""
