"""Safetensors files made by hand, with zeros for weights."""

import json
import struct
from collections.abc import Mapping
from pathlib import Path
from typing import Any

BYTES = {
    "F64": 8,
    "F32": 4,
    "BF16": 2,
    "F16": 2,
    "F8_E4M3": 1,
    "I64": 8,
    "I32": 4,
    "U8": 1,
    "I8": 1,
    "BOOL": 1,
}
Tensors = Mapping[str, tuple[str, list[int]]]


def entries(tensors: Tensors) -> tuple[dict[str, Any], int]:
    """(header's entries, bytes of the weights): name -> (dtype, shape), one behind the other."""
    body: dict[str, Any] = {}
    at = 0
    for name, (dtype, shape) in tensors.items():
        size = BYTES[dtype]
        for extent in shape:
            size *= extent
        body[name] = {"dtype": dtype, "shape": shape, "data_offsets": [at, at + size]}
        at += size
    return body, at


def packed(header: bytes, data: bytes, length: int | None = None) -> bytes:
    """A file of this header and these weights. `length`: what it says of its header."""
    return struct.pack("<Q", len(header) if length is None else length) + header + data


def weights(tensors: Tensors) -> bytes:
    """A whole file."""
    body, n = entries(tensors)
    header = json.dumps({"__metadata__": {"format": "pt"}, **body}).encode()
    return packed(header + b" " * (-len(header) % 8), b"\1" * n)


def save(path: Path, tensors: Tensors) -> Path:
    """The same on disk."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(weights(tensors))
    return path


def block(nth: int, wide: int = 64) -> dict[str, tuple[str, list[int]]]:
    """A layer of a Llama: 12 × wide² parameters and two norms."""
    at = f"model.layers.{nth}"
    square = {f"{at}.self_attn.{one}_proj.weight": ("BF16", [wide, wide]) for one in "qkvo"}
    tall = {f"{at}.mlp.{one}_proj.weight": ("BF16", [2 * wide, wide]) for one in ("gate", "up")}
    norms = {f"{at}.{one}_layernorm.weight": ("BF16", [wide]) for one in ("input", "post_attention")}
    return {**square, **tall, f"{at}.mlp.down_proj.weight": ("BF16", [wide, 4 * wide]), **norms}


BLOCK = 12 * 64 * 64 + 2 * 64  # parameters of one
