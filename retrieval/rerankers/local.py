"""A cross-encoder in this process: ONNX Runtime through fastembed."""

from django.conf import settings

from retrieval.errors import RerankerUnavailable


class CrossEncoder:
    """A model of fastembed's zoo; `prepare_assets` fetches it once, or FABRA_RERANK_PATH names a folder that has it."""

    def __init__(self, model: str) -> None:
        from fastembed.rerank.cross_encoder import TextCrossEncoder

        try:
            self._model = TextCrossEncoder(
                model,
                cache_dir=str(settings.DATA_DIR / "models"),
                threads=settings.FABRA_EMBEDDING_THREADS,
                local_files_only=True,
                specific_model_path=settings.FABRA_RERANK_PATH or None,
            )
        except Exception as error:  # fastembed raises whatever its downloader and ONNX Runtime raise
            raise RerankerUnavailable(
                f"the model {model!r} is not installed ({type(error).__name__}); run `manage.py prepare_assets`, "
                "or set FABRA_RERANK_PATH"
            ) from error

    def scores(self, query: str, texts: list[str]) -> list[float]:
        return list(self._model.rerank(query, texts))
