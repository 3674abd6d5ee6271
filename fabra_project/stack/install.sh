#!/bin/sh
# Find a Python for the environment and let it install: install.sh [dev] [llm]
# PYTHON names another one; without it an environment that stands keeps its own.
here=$(dirname "$0")

is_fit() {
    "$1" -c 'import sys; sys.exit(sys.version_info < (3, 11))' >/dev/null 2>&1
}

if [ -n "$PYTHON" ]; then
    is_fit "$PYTHON" || { echo "PYTHON=$PYTHON is not a Python of version 3.11 or later." >&2; exit 1; }
    exec "$PYTHON" -P "$here/install.py" "$@"
fi
for python in .venv/bin/python python3 python3.14 python3.13 python3.12 python3.11; do
    is_fit "$python" && exec "$python" -P "$here/install.py" "$@"
done
echo "Python 3.11 or later was not found: install it, or name it with PYTHON=/path/to/python." >&2
exit 1
