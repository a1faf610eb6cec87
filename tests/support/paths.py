"""Where things lie: the project's top folder, and the reference material beside it."""

from pathlib import Path

TOP = Path(__file__).resolve().parents[2]
REFERENCE = TOP.parent / "shared" / "reference"
"""Absent from most machines; tests that need it carry the marker `reference`."""
