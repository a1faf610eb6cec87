"""Executors compute work units: in this process, or in Ray workers."""
