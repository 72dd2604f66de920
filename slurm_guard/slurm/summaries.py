"""jobstats' summaries in AdminComment: `JS1:` and base64 of a gzip of JSON (its docs/setup/summaries.md).

The field is the site's, but what stands in it is read as anybody's text. Words that say there is none
(`JS1:Short`, `JS1:None`) are no summary.
"""

import base64
import binascii
import json
import zlib
from math import isfinite
from typing import Any

PREFIX = "JS1:"
MOST_TEXT = 131_072  # characters; jobstats' largest are about 5,000. Judgement
MOST_JSON_B = 1 << 20  # unpacked
MOST_GPUS = 16_384
_WORDS = 12  # shorter than any gzip in base64: a word of jobstats' own
_GIB = 1 << 30


class BadSummary(ValueError):
    """It begins as a summary and is none."""


def read_summary(text: str) -> str | None:
    """The summary's GPU values in one sentence; null: there is none. Raises BadSummary."""
    packed = text.strip()
    if not packed.startswith(PREFIX) or len(packed) <= len(PREFIX) + _WORDS:
        return None
    nodes = _unpack(packed.removeprefix(PREFIX)).get("nodes")
    if not isinstance(nodes, dict):
        raise BadSummary("it names no nodes")
    busy = _values(nodes, "gpu_utilization", 100.0)
    if not busy:
        return None  # a summary of processors and memory
    used = _values(nodes, "gpu_used_memory", 1e15)
    said = f"a mean GPU utilisation of {sum(busy) / len(busy):.1f} %"
    if len(busy) > 1:
        said += f" ({min(busy):g} to {max(busy):g} % on each of {len(busy)} GPUs)"
    return said + (f" and at most {max(used) / _GIB:.1f} GiB of a GPU's memory" if used else "")


def _unpack(packed: str) -> dict[str, Any]:
    """The JSON's object, never more than MOST_JSON_B of it."""
    if len(packed) > MOST_TEXT:
        raise BadSummary(f"{len(packed)} characters are too many")
    try:
        raw = base64.b64decode(packed, validate=True)
        unpacker = zlib.decompressobj(wbits=31)
        body = unpacker.decompress(raw, MOST_JSON_B)
        if not unpacker.eof:
            raise BadSummary("it is cut off, or unpacks to more than a summary has")
        found = json.loads(body)
    except (binascii.Error, zlib.error, UnicodeDecodeError, RecursionError) as error:
        raise BadSummary(f"it cannot be unpacked: {type(error).__name__}") from None
    except ValueError as error:
        raise (
            error if isinstance(error, BadSummary) else BadSummary("what it unpacks to is no JSON")
        ) from None
    if not isinstance(found, dict):
        raise BadSummary("what it unpacks to is no object")
    return found


def _values(nodes: dict[str, Any], name: str, most: float) -> list[float]:
    """One for each GPU, whatever it is called. Raises BadSummary."""
    found: list[float] = []
    for node in nodes.values():
        by_gpu = node.get(name) if isinstance(node, dict) else None
        for value in by_gpu.values() if isinstance(by_gpu, dict) else ():
            fits = type(value) in (int, float) and -1e300 < value < 1e300 and isfinite(value)
            if not fits or not 0.0 <= value <= most:
                raise BadSummary(f"{name} holds what is no such value")
            found.append(float(value))
    if len(found) > MOST_GPUS:
        raise BadSummary(f"{len(found)} GPUs are too many")
    return found
