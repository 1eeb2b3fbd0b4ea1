"""Asking a running server."""

import json
import urllib.error
import urllib.request
from typing import Any


def answer(url: str) -> tuple[int, dict[str, Any]]:
    """Return the status and the JSON of an answer, be it an error or not."""
    try:
        with urllib.request.urlopen(url, timeout=20) as response:
            return response.status, json.load(response)
    except urllib.error.HTTPError as error:
        with error:
            return error.code, json.load(error)
