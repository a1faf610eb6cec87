"""The exceptions that end a run with a message; every other exception is a bug and keeps its traceback."""


class ConfigurationError(ValueError):
    """The call is wrong; raised before any work starts (exit status 2)."""


class DataError(ConfigurationError):
    """A data file is missing or has a row that cannot be used; the message names file, line and field."""


class MissingModelError(ConfigurationError):
    """A model is neither in a folder nor in the hub's cache, and the hub doesn't give it."""

    def __init__(self, name: str, cause: str, message: str) -> None:
        super().__init__(message)
        self.name = name
        self.cause = cause
        """Why the hub doesn't give it."""


class MissingDataError(DataError):
    """A split is neither in a folder nor in the hub's cache, and the hub doesn't give it."""

    def __init__(self, name: str, cause: str, message: str) -> None:
        super().__init__(message)
        self.name = name
        self.cause = cause
        """Why the hub doesn't give it, the same for all that it doesn't give for one reason."""


class RunError(RuntimeError):
    """One run cannot finish, for a reason in its own data or scores; other runs can continue."""


class MemoryShortageError(RunError):
    """The device's memory is too small for a run, even one row at a time; GPUs with more free memory may be enough."""
