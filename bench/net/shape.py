"""What a situation is."""

from collections.abc import Callable
from typing import NamedTuple

from bench.net.stage import Stage

BRIDGE, FORWARD, DEVICE, NONE = "bridge", "forward", "device", "none"
REVIEW = "review"  # a tunnel that is built as honest programs are: told of as a relay of whatever shape

Build = Callable[[Stage], None]


class Situation(NamedTuple):
    """`shape`: what it is. `build` starts its programs on a stage; `needs`: programs beyond OpenSSH's and
    socat. `held_out`: made after the code was frozen, and played apart."""

    build: Build
    shape: str
    needs: tuple[str, ...] = ()
    held_out: bool = False

    @property
    def name(self) -> str:
        """That of its function."""
        return self.build.__name__

    @property
    def words(self) -> str:
        """One line on what it is."""
        return (self.build.__doc__ or "").partition("\n")[0]
