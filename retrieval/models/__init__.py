"""Tables of retrieval."""

from retrieval.models.calibration import CalibrationRun
from retrieval.models.chunks import Chunk
from retrieval.models.documents import Document, DocumentVersion
from retrieval.models.golden import EvaluationOutcome, EvaluationRun, GoldenQuestion
from retrieval.models.indexes import Generation, Index
from retrieval.models.ingestion import IngestionFile, IngestionRun, IngestionUpload, SourceDocument, SourceFile
from retrieval.models.lexemes import LexemeCount
from retrieval.models.model_sources import ModelSource, SourcedObject
from retrieval.models.retrievers import RetrieverDefinition

__all__ = [
    "CalibrationRun",
    "Chunk",
    "Document",
    "DocumentVersion",
    "EvaluationOutcome",
    "EvaluationRun",
    "Generation",
    "GoldenQuestion",
    "Index",
    "IngestionFile",
    "IngestionRun",
    "IngestionUpload",
    "LexemeCount",
    "ModelSource",
    "RetrieverDefinition",
    "SourceDocument",
    "SourceFile",
    "SourcedObject",
]
