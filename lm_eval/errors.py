"""The ways in which a run can end badly; everything else is a bug and keeps its traceback."""


class ConfigurationError(ValueError):
    """The call is wrong, and that is known before any work starts (exit status 2)."""


class DataError(ConfigurationError):
    """A data file is missing or has a row that cannot be used; the message names file, line and field."""


class RunError(RuntimeError):
    """One run cannot finish, for a reason found in its own data or scores; other runs are not concerned."""


class MemoryShortageError(RunError):
    """The device's memory is too small for a run, even one row at a time; more or emptier GPUs may do."""
