"""Run Python files one after another in one namespace, with `await` outside of functions: `run_blocks.py FILE...`"""

import ast
import asyncio
import inspect
import sys
from pathlib import Path
from typing import Any


async def main(sources: dict[str, str]) -> None:
    namespace: dict[str, Any] = {"__name__": "__main__"}
    for path, source in sources.items():
        result = eval(compile(source, path, "exec", flags=ast.PyCF_ALLOW_TOP_LEVEL_AWAIT), namespace)  # noqa: S307 (our own pages)
        if inspect.isawaitable(result):
            await result


if __name__ == "__main__":
    asyncio.run(main({path: Path(path).read_text() for path in sys.argv[1:]}))
