"""Shared helpers: text and `KEY=value` pairs, atomic and typed files, the hub, progress bars, the console."""
