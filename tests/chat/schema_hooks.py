"""What schemathesis does not know: how to send lines of JSON."""

from typing import Any

import schemathesis


@schemathesis.serializer("application/x-ndjson")
def lines_of_json(context: Any, value: Any) -> dict[str, Any]:
    return {"data": value if isinstance(value, bytes | str) else str(value).encode()}
