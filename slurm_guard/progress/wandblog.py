"""The framing of a `.wandb` file: LevelDB's log format behind a header of seven bytes.

Blocks of 32 KiB hold chunks `crc32 u32, length u16, type u8, data`; a record is one whole chunk (1) or a
first (2), middles (3) and a last (4). A chunk never crosses a block's end; fewer bytes than a chunk's head
are padding there. A chunk that does not fit its checksum costs the rest of its block, no more.
"""

import struct
import zlib
from collections.abc import Iterator

MAGIC = b":W&B\xe1\xbe"
HEADER_B = 7  # magic and one byte of version
BLOCK_B = 32_768
MAX_RECORD = 1 << 20  # bytes; a row of scalars has some hundred (judgement)
_CHUNK = struct.Struct("<IHB")
_FULL, _FIRST, _MIDDLE, _LAST = 1, 2, 3, 4


class Records:
    """Feeds on bytes, gives (record, end offset)."""

    def __init__(self) -> None:
        self._kept = b""
        self._at = 0  # offset of the first kept byte
        self._next = HEADER_B  # offset at which the next chunk begins
        self._parts: list[bytes] = []
        self._size = 0
        self._open = False  # inside a record whose first chunk was seen
        self.n_broken = 0
        self.n_large = 0

    def feed(self, data: bytes, offset: int) -> Iterator[tuple[bytes, int]]:
        """The records that end in `data`."""
        if not self._kept:
            self._at = offset
        self._kept += data
        while True:
            left = BLOCK_B - self._next % BLOCK_B
            if left < _CHUNK.size:
                self._next += left
                continue
            begin = self._next - self._at + _CHUNK.size
            if begin > len(self._kept):
                break
            checksum, length, kind = _CHUNK.unpack_from(self._kept, begin - _CHUNK.size)
            end = begin + length
            if length <= left - _CHUNK.size:
                if end > len(self._kept):
                    break
                if zlib.crc32(self._kept[begin - 1 : end]) == checksum:  # the type and the data
                    self._next += _CHUNK.size + length
                    whole = self._take(kind, self._kept[begin:end])
                    if whole is not None:
                        yield whole, self._next
                    continue
            self._next += left
            self.n_broken += (checksum, length, kind) != (0, 0, 0)  # zeros: space taken in advance
            self._drop()
        done = min(self._next - self._at, len(self._kept))
        self._kept = self._kept[done:]
        self._at += done

    def skipped(self, offset: int) -> None:
        """Bytes are left out: goes on at the next block, with the next record that begins."""
        self._drop()
        self._kept = b""
        self._next = offset + -offset % BLOCK_B

    def n_torn(self) -> int:
        """Bytes of a chunk or a record without its end."""
        return len(self._kept) + self._size

    def _drop(self) -> None:
        self._parts, self._size, self._open = [], 0, False

    def _take(self, kind: int, data: bytes) -> bytes | None:
        """A whole record, when this chunk ends one."""
        if kind == _FULL:
            self._drop()
            return data
        if kind == _FIRST:
            self._drop()
            self._open = True
        elif not self._open or kind not in (_MIDDLE, _LAST):
            return None
        self._size += len(data)
        if self._size > MAX_RECORD:
            self.n_large += 1
            self._drop()
            return None
        self._parts.append(data)
        if kind != _LAST:
            return None
        whole = b"".join(self._parts)
        self._drop()
        return whole
