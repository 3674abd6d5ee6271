"""Rerank with a cross-encoder in this process: ONNX Runtime through fastembed."""

from pathlib import Path
from typing import Any

from django.conf import settings
from fastembed.common.model_description import ModelSource
from fastembed.rerank.cross_encoder import TextCrossEncoder

from retrieval.errors import RerankerUnavailable

_MODEL_FILES = ("onnx/model.onnx", "model.onnx")


class CrossEncoder:
    """A model that fastembed supports, fetched by `prepare_assets`, or any ONNX model in FABRA_RERANK_PATH."""

    def __init__(self, model: str) -> None:
        folder = settings.FABRA_RERANK_PATH
        try:
            self._model = _read(model, Path(folder)) if folder else _load(model, local_files_only=True)
        except RerankerUnavailable:
            raise
        except Exception as error:  # fastembed passes on what its hub client and ONNX Runtime raise
            raise RerankerUnavailable(
                f"the model in {folder} cannot be read ({type(error).__name__})"
                if folder
                else f"the model {model!r} is not installed ({type(error).__name__}); run `manage.py prepare_assets`, "
                "or set FABRA_RERANK_PATH"
            ) from error

    def scores(self, query: str, texts: list[str]) -> list[float]:
        return list(self._model.rerank(query, texts))


def fetch(model: str) -> None:
    """Download the model into the data folder; raise RerankerUnavailable."""
    try:
        _load(model, local_files_only=False)
    except Exception as error:
        raise RerankerUnavailable(f"the model {model!r} could not be fetched ({type(error).__name__})") from error


def _read(model: str, folder: Path) -> TextCrossEncoder:
    """Load a model from a folder; its folder is part of the name under which fastembed registers it."""
    file = next((name for name in _MODEL_FILES if (folder / name).is_file()), None)
    if file is None:
        raise RerankerUnavailable(f"{folder} has no {' or '.join(_MODEL_FILES)}; set FABRA_RERANK_PATH")
    name = f"{model} {folder / file}"
    if name.lower() not in {supported["model"].lower() for supported in TextCrossEncoder.list_supported_models()}:
        TextCrossEncoder.add_custom_model(name, ModelSource(hf=model), file)
    return _load(name, specific_model_path=str(folder))


def _load(name: str, **options: Any) -> TextCrossEncoder:
    return TextCrossEncoder(
        name, cache_dir=str(settings.FABRA_DATA_DIR / "models"), threads=settings.FABRA_EMBEDDING_THREADS, **options
    )
