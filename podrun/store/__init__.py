"""Objects, one resourceVersion for all, the log of changes; in memory for reading, in SQLite for keeping."""
