"""Where the fixtures are written."""

from pathlib import Path

DATA = Path(__file__).resolve().parent / "data"
