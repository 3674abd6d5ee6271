"""The sample: an invented service's articles, customers and questions; loaded, and taken away again."""

from pathlib import Path

SAMPLE = Path(__file__).resolve().parent
SOURCE = "sample"
"""The name of the source of its articles."""
STARTED_BY = "manage.py load_sample"
