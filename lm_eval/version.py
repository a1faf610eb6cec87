"""The version of this code, which results state."""

__version__ = "0.1.0"
