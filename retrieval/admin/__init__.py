"""The admin pages of retrieval."""

from retrieval.admin import (
    calibration_runs,
    chunks,
    documents,
    evaluation_runs,
    generations,
    golden,
    indexes,
    ingestion,
    model_sources,
    versions,
)

__all__ = [
    "calibration_runs",
    "chunks",
    "documents",
    "evaluation_runs",
    "generations",
    "golden",
    "indexes",
    "ingestion",
    "model_sources",
    "versions",
]
