"""The exceptions that end a run with a message; every other exception is a bug and keeps its traceback."""


class ConfigurationError(ValueError):
    """The call is wrong; raised before any work starts (exit status 2)."""


class DataError(ConfigurationError):
    """A data file is missing or has a row that cannot be used; the message names file, line and field."""


class RunError(RuntimeError):
    """One run cannot finish, for a reason in its own data or scores; other runs can continue."""


class MemoryShortageError(RunError):
    """The device's memory is too small for a run, even one row at a time; GPUs with more free memory may be enough."""
