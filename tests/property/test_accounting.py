"""Laws of accounting: text comes back, nights add up, and no text breaks the parsers."""

import contextlib
import itertools

from hypothesis import given
from hypothesis import strategies as st

from slurm_guard.errors import GuardError
from slurm_guard.hostlist import expand
from slurm_guard.slurm.rows import FIELDS, US, format_rows, parse_rows
from slurm_guard.slurm.runs import build_run
from slurm_guard.slurm.sacct import runs_of_text
from slurm_guard.slurm.tres import count_gpus

DAY = 1_780_000_000
SECRET = f"{US}7418529630{US}"
FREE = st.text(max_size=20).filter(lambda text: SECRET not in text)
ROWS = st.lists(
    st.fixed_dictionaries(dict.fromkeys(FIELDS, FREE) | {"JobIDRaw": st.integers(1, 99_999_999).map(str)}),
    max_size=4,
)


@given(ROWS)
def test_any_text_of_users_comes_back_in_its_row_and_column(rows: list[dict[str, str]]) -> None:
    text = format_rows(rows, delimiter=SECRET)

    assert parse_rows(text) == (rows, [])


@given(
    st.integers(-5000, 90_000),
    st.integers(0, 200_000),
    st.integers(0, 8),
    st.lists(st.integers(1, 86_399), unique=True, max_size=4),
)
def test_a_night_cut_into_pieces_has_the_same_gpu_time(
    begin: int, long_s: int, gpus: int, cuts: list[int]
) -> None:
    row = {
        "JobIDRaw": "7",
        "State": "COMPLETED",
        "Start": str(DAY + begin),
        "End": str(DAY + begin + long_s),
        "ElapsedRaw": str(long_s),
        "AllocTRES": f"gres/gpu={gpus}",
        "NodeList": "n1",
    }
    edges = [0, *sorted(cuts), 86_400]

    whole, _ = build_run(row, "alpha", DAY, DAY + 86_400)
    parts = [build_run(row, "alpha", DAY + a, DAY + b)[0] for a, b in itertools.pairwise(edges)]

    overlap_s = max(0, min(begin + long_s, 86_400) - max(begin, 0))
    assert sum(part.allocated_gpu_ms for part in parts if part is not None) == gpus * overlap_s * 1000
    assert (0 if whole is None else whole.allocated_gpu_ms) == gpus * overlap_s * 1000


@given(st.text(), st.sampled_from(["", "JobIDRaw|State|Start|End|AllocTRES|NodeList\n"]))
def test_no_text_breaks_the_reading_of_accounting(text: str, header: str) -> None:
    with contextlib.suppress(GuardError):
        runs_of_text(header + text, "alpha", (DAY, DAY + 86_400), "sacct-file")


@given(st.text(alphabet="n0123-[],ab= /gres:pu", max_size=60))
def test_host_lists_and_resources_give_a_value_or_say_that_they_cannot(text: str) -> None:
    with contextlib.suppress(ValueError):
        assert len(set(expand(text))) == len(expand(text))
    with contextlib.suppress(ValueError):
        assert count_gpus(text).n >= 0
