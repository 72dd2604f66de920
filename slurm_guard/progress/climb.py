"""Iterations that begin at one again for every step around them, counted through."""


class Climb:
    """`DAV: 1 … 18, 1 … 9` becomes 1 … 18, 19 … 27. The numbers count, not the lines."""

    def __init__(self) -> None:
        self._base = self._last = 0

    def add(self, number: int) -> int:
        """The count that `number` stands for."""
        if number <= self._last:
            self._base += self._last
        self._last = number
        return self._base + number
