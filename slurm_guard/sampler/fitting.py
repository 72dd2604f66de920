"""Are the bytes of one side those of the other, framed? And how much does it say if they are. Pure."""

from __future__ import annotations

from math import log, log2

# What is handed on may grow by framing and encryption (ssh: up to 64 bytes a message; TLS: 22 to 40; HTTP/2
# and WebSocket: 9 to 14, documented), and counts are read a moment apart.
LEAST, MOST = 0.95, 1.06  # outer over inner bytes, beside that. Judgement
PER_MESSAGE_B = 120  # judgement, twice ssh's
PLAY_B = 64
# Evidence in bits. Amounts of unrelated connections spread over three decades, alike in their logarithm
# (judgement): that one falls into the other's narrow window by chance is the window's part of them.
SPREAD = 6.9  # ln 1000
ODD_BITS = 1.0  # for each way that needed what the look before had left over: a second try


def fit_bits(outer_b: int, inner_b: int, rest_b: int, n: tuple[int, ...]) -> float | None:
    """How much it says that one is the other, framed; as they are, or with what the look before left over;
    null: it is not. `n`: messages this way as segments tell; at most, since a segment may hold several; and
    with as many as the beginning of new connections weighs."""
    for k, messages in enumerate(n):
        if _is_framed(outer_b, inner_b, messages):
            return max(0.0, _bits(inner_b, messages) - k * ODD_BITS)
    if rest_b == 0:
        return None
    outer_b, inner_b = outer_b + max(0, rest_b), inner_b + max(0, -rest_b)
    for k, messages in enumerate(n):
        if _is_framed(outer_b, inner_b, messages):
            return max(0.0, _bits(inner_b, messages) - (k + 1) * ODD_BITS)
    return None


def _is_framed(outer_b: int, inner_b: int, n: int) -> bool:
    return LEAST * inner_b - PLAY_B <= outer_b <= MOST * inner_b + PER_MESSAGE_B * n + PLAY_B


def _bits(inner_b: int, n: int) -> float:
    """Bits against chance of falling into the window about `inner_b` bytes in `n` messages."""
    low = max(1.0, LEAST * inner_b - PLAY_B)
    window = log((MOST * inner_b + PER_MESSAGE_B * n + PLAY_B) / low)
    return max(0.0, log2(SPREAD / window))
