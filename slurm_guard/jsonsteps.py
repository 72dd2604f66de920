"""Earlier formats of what is kept as JSON: a pure function for each step to the next one, listed here.

Raising such a format, from 1 to 2 for example
    1. `FORMAT` beside its codec becomes 2, with a line of history there.
    2. `DOCUMENT[1]` (or `NIGHT[1]`) becomes a function from what JSON has in format 1 to what it has in
       format 2; format 0 would reach 2 by way of 1. Nothing is written anew: files stay as they are.
    3. The schema of format 1 in docs/schema stays, and so does `tests/fixtures/lake1`, whose tests read it.
A field that only came to it, with a default, needs no new format: where it is missing, the default holds.
"""

from collections.abc import Callable, Mapping
from typing import Any

Body = dict[str, Any]
Step = Callable[[Body], Body]

DOCUMENT: dict[int, Step] = {}  # audit documents, by the format that the step starts from
NIGHT: dict[int, Step] = {}  # indexes of nights


def lift(body: Body, span: tuple[int, int], steps: Mapping[int, Step]) -> Body | None:
    """What a body of the first format says, in the second one; null: there is no way. It may be changed."""
    first, last = span
    if any(number not in steps for number in range(first, last)):
        return None
    for number in range(first, last):
        body = steps[number](body)
    return body
