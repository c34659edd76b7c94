"""The kernel as typed Python: the only room with ctypes; a call that fails says which call, on what, and why."""
