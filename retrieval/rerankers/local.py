"""A cross-encoder in this process: ONNX Runtime through fastembed."""

from django.conf import settings
from fastembed.rerank.cross_encoder import TextCrossEncoder

from retrieval.errors import RerankerUnavailable


class CrossEncoder:
    """A model of fastembed's zoo; `prepare_assets` fetches it once, or FABRA_RERANK_PATH names a folder that has it."""

    def __init__(self, model: str) -> None:
        try:
            self._model = _load(model, is_offline=True)
        except Exception as error:  # fastembed raises whatever its hub client and ONNX Runtime raise
            raise RerankerUnavailable(
                f"the model {model!r} is not installed ({type(error).__name__}); run `manage.py prepare_assets`, "
                "or set FABRA_RERANK_PATH"
            ) from error

    def scores(self, query: str, texts: list[str]) -> list[float]:
        return list(self._model.rerank(query, texts))


def fetch(model: str) -> None:
    """Put the model into the data folder; raise RerankerUnavailable."""
    try:
        _load(model, is_offline=False)
    except Exception as error:
        raise RerankerUnavailable(f"the model {model!r} could not be fetched ({type(error).__name__})") from error


def _load(model: str, *, is_offline: bool) -> TextCrossEncoder:
    return TextCrossEncoder(
        model,
        cache_dir=str(settings.DATA_DIR / "models"),
        threads=settings.FABRA_EMBEDDING_THREADS,
        local_files_only=is_offline,
        specific_model_path=settings.FABRA_RERANK_PATH or None,
    )
