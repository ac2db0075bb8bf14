"""JSON with a line for each field, and lists on one line: small, and readable as a difference of two versions."""

import json
from typing import Any


def dumped(value: dict[str, Any]) -> str:
    return _block(value, 0) + "\n"


def _block(value: Any, depth: int) -> str:
    if not isinstance(value, dict) or not value:
        return json.dumps(value, ensure_ascii=False, allow_nan=False, separators=(",", ":"))
    inner = " " * (depth + 1)
    lines = [f"{inner}{json.dumps(key)}: {_block(each, depth + 1)}" for key, each in value.items()]
    return "{\n" + ",\n".join(lines) + "\n" + " " * depth + "}"


def rounded(value: Any) -> Any:
    """The same lists and dicts with numbers of five digits."""
    if isinstance(value, float):
        return float(f"{value:.5g}")
    if isinstance(value, dict):
        return {key: rounded(each) for key, each in value.items()}
    return [rounded(each) for each in value] if isinstance(value, list) else value
