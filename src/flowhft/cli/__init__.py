"""The command line: one module a command, one dataclass a command, one table of them in `main`."""
