"""How many parameters a model has, by the headers of its safetensors files: its weights are never read.

A header is its length in eight bytes, then JSON: name -> dtype, shape and place in the bytes behind it
(huggingface.co/docs/safetensors). Where tensors do not fill the file exactly it tells nothing.
"""

import json
import os
import re
from collections.abc import Iterable, Sequence
from typing import Any, NamedTuple, NoReturn

MAX_HEADER_B = (
    8 << 20
)  # of one file; 2,000 tensors take some 200 kB. Judgement; the format's own limit is 100 MB
MAX_HEADERS_B = 32 << 20  # of all files of one reading (judgement)
MAX_PARAMS = 10**14
MAX_KEPT = 64  # folders of which an earlier reading told (judgement)
MAX_DIMS = 16
MAX_DIGITS = 19
SPARSE_FROM_B, SPARSE_FACTOR = 1 << 20, 4  # weights hardly shrink where a file system packs them (judgement)
PACKED_SHARE = 0.1  # of the bytes in whole numbers: more than masks and positions take (judgement)
MASK_FROM = 64  # an attention mask of so many positions and more is no kernel of a convolution (judgement)
_LENGTH_B = 8
_FLOATS = {
    "F64": 64, "F32": 32, "F16": 16, "BF16": 16, "C64": 64,
    "F8_E5M2": 8, "F8_E4M3": 8, "F8_E5M2FNUZ": 8, "F8_E4M3FNUZ": 8,
}  # fmt: skip
_WHOLES = {"I64": 64, "I32": 32, "I16": 16, "I8": 8, "U64": 64, "U32": 32, "U16": 16, "U8": 8}
_PACKED = {"F4": 4, "F6_E2M3": 6, "F6_E3M2": 6}
_BITS = {**_FLOATS, **_WHOLES, **_PACKED, "BOOL": 8, "F8_E8M0": 8}  # the last are scales of others
_OF_OPTIMIZER = re.compile(
    r"^(?:optim(?:izer)?[._]|exp_avg|state\.|shadow_|(?:model_)?ema(?:_model)?\.)|"
    r"\.(?:exp_avg(?:_sq)?|momentum_buffer)\Z"
)
_BUFFER = re.compile(r"(?:^|\.)(?:running_mean|running_var|num_batches_tracked|inv_freq|masked_bias)\Z")
_QUANTISED = re.compile(r"(?:^|[._])(?:qweight|qzeros|weight|packed|blocks|quant_map|SCB)\Z")
# Mixtral, DeepSeek, Megatron, DeepSpeed, Switch; Granite's without the word. Shared experts are dense.
_EXPERT = re.compile(
    r"(?:^|\.)(?:(?:local_|deepspeed_)?experts|expert_\d+|block_sparse_moe\.(?:in|out)put_linear)(?:\.|_|$)"
)
_ADAPTER = re.compile(r"lora_|\.adapter")


class Part(NamedTuple):
    """One open file of a model."""

    name: str
    fd: int


class ModelSize(NamedTuple):
    """What the headers of one model's files say. Null: they do not say it, and `problems` why."""

    params: int | None
    dense: int | None
    read_b: int
    problems: list[str]


class KeptModel(NamedTuple):
    """What an earlier reading told of the model in a folder's checkpoints, which may be gone since."""

    folder: str
    params: int
    dense: int | None


class Tensor(NamedTuple):
    """One entry of a header: `n` elements in bytes `begin` to `end` behind it."""

    dtype: str
    shape: tuple[int, ...]
    n: int
    begin: int
    end: int


class BrokenError(ValueError):
    """A header that is none; the words say why."""


def parse_models(rows: Any) -> list[KeptModel]:
    """The sampler's word of what earlier readings found."""
    return [
        KeptModel(*row)
        for row in (rows[:MAX_KEPT] if isinstance(rows, list) else [])
        if isinstance(row, list) and len(row) == 3 and isinstance(row[0], str) and fits(*row[1:])
    ]


def fits(params: Any, dense: Any) -> bool:
    """Whether these are a model's parameters and those of them that every token passes; null: unknown."""
    whole = type(params) is int and 1 <= params <= MAX_PARAMS
    return whole and (dense is None or (type(dense) is int and 1 <= dense <= params))


def read_model(parts: Sequence[Part], left_b: int = MAX_HEADERS_B) -> ModelSize:
    """The size of the model whose shards these are, from at most `left_b` bytes. Never raises for content."""
    tensors: dict[str, Tensor] = {}
    read_b = 0
    for part in parts:
        try:
            raw, data_b = read_header(part.fd, min(MAX_HEADER_B, left_b - read_b))
            read_b += _LENGTH_B + len(raw)
            found = parse_header(raw, data_b)
        except OSError as error:
            return _nothing(read_b, f"read-error: {part.name}: {os.strerror(error.errno or 0)}")
        except BrokenError as error:
            return _nothing(read_b, f"bad-weights: {part.name}: {error}")
        if not tensors.keys().isdisjoint(found):
            return _nothing(read_b, f"bad-weights: {part.name}: a tensor of another shard stands in it again")
        tensors.update(found)
    return _counted(tensors, read_b)


def _nothing(read_b: int, *problems: str) -> ModelSize:
    return ModelSize(None, None, read_b, list(problems))


def read_header(fd: int, most_b: int) -> tuple[bytes, int]:
    """(the header's JSON, bytes behind it) of an open file; raises BrokenError, OSError."""
    status = os.fstat(fd)
    size = status.st_size
    if size > SPARSE_FROM_B and status.st_blocks * 512 * SPARSE_FACTOR < size:
        raise BrokenError("most of its size is not on disk")
    length = int.from_bytes(os.pread(fd, _LENGTH_B, 0), "little")
    if not 2 <= length <= size - _LENGTH_B:
        raise BrokenError("its header is longer than the file")
    if length > most_b:
        raise BrokenError(f"its header is longer than {most_b} bytes")
    raw = os.pread(fd, length, _LENGTH_B)
    if len(raw) != length:
        raise BrokenError("it is cut in its header")
    return raw, size - _LENGTH_B - length


def parse_header(raw: bytes, data_b: int) -> dict[str, Tensor]:
    """Name -> tensor; raises BrokenError unless the tensors fill exactly `data_b` bytes."""
    if not raw.startswith(b"{"):
        raise BrokenError("its header is no object")
    try:
        body = json.loads(
            raw.decode("utf-8"), object_pairs_hook=_once, parse_constant=_refused, parse_float=_refused,
            parse_int=_whole,
        )  # fmt: skip
    except BrokenError:
        raise
    except (ValueError, RecursionError):
        raise BrokenError("its header is no JSON") from None
    body.pop("__metadata__", None)
    tensors = {name: _tensor(entry) for name, entry in body.items()}
    at = 0
    for tensor in sorted(tensors.values(), key=lambda one: (one.begin, one.end)):
        if tensor.begin != at:
            raise BrokenError("its tensors overlap or leave bytes between them")
        at = tensor.end
    if at > data_b:
        raise BrokenError("its tensors are longer than the file: it is not all there")
    if at < data_b:
        raise BrokenError("bytes stand behind its tensors")
    return tensors


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    body = dict(pairs)
    if len(body) < len(pairs):
        raise BrokenError("a name stands in it twice")
    return body


def _refused(text: str) -> NoReturn:
    raise BrokenError("a number in its header is not whole")


def _whole(text: str) -> int:
    if len(text) > MAX_DIGITS:
        raise BrokenError("a number in its header is too long")
    return int(text)


def _tensor(entry: Any) -> Tensor:
    """One entry, field by field."""
    fields = entry if isinstance(entry, dict) else {}
    dtype, shape, place = (
        fields.get("dtype"),
        _counts(fields.get("shape")),
        _counts(fields.get("data_offsets")),
    )
    bits = _BITS.get(dtype) if isinstance(dtype, str) else None
    if bits is None or not isinstance(dtype, str):
        raise BrokenError("a tensor of no known type")
    if shape is None or len(shape) > MAX_DIMS or place is None or len(place) != 2:
        raise BrokenError("a tensor without a shape and a place")
    n = 0 if 0 in shape else 1
    for extent in shape if n else ():
        n *= extent
        if n > 1 << 63:
            raise BrokenError("a tensor of more elements than can be")
    begin, end = place
    if (end - begin) * 8 != n * bits:
        raise BrokenError("a tensor whose shape is not as long as its place")
    return Tensor(dtype, tuple(shape), n, begin, end)


def _counts(value: Any) -> list[int] | None:
    """A list of whole numbers from zero on; null: it is none."""
    fits = isinstance(value, list) and all(type(one) is int and one >= 0 for one in value)
    return value if fits else None


def _counted(tensors: dict[str, Tensor], read_b: int) -> ModelSize:
    """The sum over the model's own tensors."""
    mine = {name: one for name, one in tensors.items() if _OF_OPTIMIZER.search(name) is None}
    if mine and all(_ADAPTER.search(name) is not None for name in mine):
        return _nothing(read_b)  # the model that they were made for is not in it
    if _is_packed(mine):
        return _nothing(read_b, "packed-weights: quantised, so that shapes do not tell how many there are")
    if n_empty := sum(one.n == 0 and one.dtype in _FLOATS for one in mine.values()):
        return _nothing(read_b, f"empty-weights: {n_empty} of {len(mine)} tensors hold nothing")  # ZeRO-3's
    weights = {name: one.n for name, one in mine.items() if _is_weight(name, one)}
    params = sum(weights.values())
    if not 0 < params <= MAX_PARAMS:
        return _nothing(read_b, f"bad-weights: {params} parameters are no model")
    experts = sum(n for name, n in weights.items() if _EXPERT.search(name) is not None)
    return ModelSize(params, params - experts or None, read_b, [])


def _is_weight(name: str, one: Tensor) -> bool:
    """Whether a tensor is trained: no whole numbers, no running mean, no mask."""
    is_mask = len(one.shape) == 4 and one.shape[:2] == (1, 1) and one.shape[2] == one.shape[3] >= MASK_FROM
    return one.dtype in _FLOATS and not is_mask and _BUFFER.search(name) is None


def _is_packed(tensors: dict[str, Tensor]) -> bool:
    """Whether weights stand in fewer numbers than there are of them, or may."""
    wholes = {name: one for name, one in tensors.items() if one.dtype in _WHOLES and one.n > 1}
    return (
        any(one.dtype in _PACKED for one in tensors.values())
        or any(_QUANTISED.search(name) is not None for name in wholes)
        or _bytes(wholes.values()) > PACKED_SHARE * _bytes(tensors.values())
    )


def _bytes(tensors: Iterable[Tensor]) -> int:
    return sum(one.end - one.begin for one in tensors)
