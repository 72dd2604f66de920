"""MLPerf lines: the same names mean different things, and the file decides."""

import json

from slurm_guard.progress.mllog import MllogLines
from slurm_guard.progress.pick import pick
from slurm_guard.progress.protocol import NOTHING, Found, Series
from slurm_guard.progress.registry import TEXT


def line(key: str, at_ms: int = 1_745_906_128_645, **metadata: object) -> str:
    """One record as mlperf_logging prints it."""
    return f":::MLLOG {json.dumps({'time_ms': at_ms, 'key': key, 'value': None, 'metadata': metadata})}\n"


def read(text: str) -> Found:
    """All that the text source finds."""
    reader = TEXT.reader()
    reader.feed(text.encode(), 0)
    return reader.finish()


def best(text: str) -> Series:
    """The file's first choice."""
    return pick(read(text).series)[0].series


def test_samples_are_counted_and_phases_named() -> None:
    found = read(
        line("init_start")
        + line("block_start", samples_count=8)
        + line("eval_start", samples_count=8)
        + line("train_samples", samples_count=3901)
    )

    assert [(c.samples, c.phase, c.opens) for c in found.series[0].claims] == [
        (8, "train", False), (8, "eval", True),
    ]  # fmt: skip
    assert [c.phase for c in found.phases] == ["init"]


def test_a_blocks_end_that_names_the_blocks_start_is_no_step_back() -> None:
    text = "".join(
        (
            line("block_start", samples_count=4224), line("train_loss", samples_count=4480),
            line("block_stop", samples_count=4224), line("block_start", samples_count=4608),
            line("block_stop", samples_count=4992),
        )
    )  # fmt: skip

    assert [c.samples for c in best(text).claims] == [4224, 4480, 4608, 4992]


def test_an_epoch_that_begins_is_not_yet_done_whether_counted_from_0_or_1() -> None:
    from_0 = (("epoch_start", 0), ("epoch_stop", 0), ("eval_start", 1))
    from_1 = (("epoch_start", 1), ("eval_start", 0.05), ("epoch_stop", 1))

    def steps(events: tuple[tuple[str, float], ...]) -> list[int | None]:
        return [c.step for c in best("".join(line(key, epoch_num=n) for key, n in events)).claims]

    assert steps(from_0) == [0, 1_000_000, 1_000_000]
    assert steps(from_1) == [0, 50_000, 1_000_000]


def test_an_epoch_number_beyond_any_epoch_counts_samples() -> None:
    text = line("epoch_start", epoch_num=0) + line("eval_start", epoch_num=150_600) + line("run_stop")
    series = best(text)

    assert series.key == "samples"
    assert [(c.step, c.samples) for c in series.claims] == [(None, 0), (None, 150_600)]


def test_an_evaluations_own_samples_are_not_the_trainings() -> None:
    text = line("eval_start", epoch_num=149_504, step_num=146) + line("eval_stop", samples_count=10_240)

    assert [c.samples for c in best(text).claims] == [149_504]


def test_the_statistics_step_counts_only_where_nothing_else_does() -> None:
    alone = "".join(line("tracked_stats", step=n) for n in (1, 20, 40))
    beside = line("epoch_start", epoch_num=0) + line("tracked_stats", step=1)

    assert [c.step for c in best(alone).claims] == [1, 20, 40]
    assert {one.key for one in read(beside).series} == {"epoch"}


def test_the_end_of_the_run_is_a_mark_even_where_it_names_a_step() -> None:
    found = read(line("block_start", samples_count=0) + line("run_stop", step_num=6000))

    assert [(c.phase, c.advances) for c in found.phases] == [("end", False)]


def test_no_other_source_is_shown_an_mlperf_line() -> None:
    lines = MllogLines()

    for text in (":::MLLOG", ":::MLLOG step=4 loss=2", ':::MLLOG {"step": 4}', line("power_reading", step=1)):
        assert lines.read(text, 10) is NOTHING
