"""How a command ends, and errors for people."""

from __future__ import annotations

OK = 0
FAILED = 1
USAGE = 2
NO_DAEMON = 3
TIMED_OUT = 4
MACHINE_LACKS = 5
NOT_ROOT = 6

EXIT_CODES = (
    (OK, "done"),
    (FAILED, "what was asked for failed or was refused; the message says why"),
    (USAGE, "the command line is wrong"),
    (NO_DAEMON, "podrun's daemon does not answer"),
    (TIMED_OUT, "it was not ready in the time given"),
    (MACHINE_LACKS, "the machine lacks something that is needed (podrun doctor says what)"),
    (NOT_ROOT, "this needs root"),
)


class CommandError(Exception):
    """A command cannot do what it was asked: `message` says what and why, `hint` what to do."""

    def __init__(self, message: str, hint: str = "", code: int = FAILED) -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint
        self.code = code
