"""Accounting rows to runs, clipped to a window."""

import pytest

from slurm_guard.model import Run, Skip
from slurm_guard.slurm.runs import build_run, parse_span_s, parse_time

DAY = 1_780_000_000
ROW = {
    "JobIDRaw": "103",
    "JobID": "100_3",
    "State": "COMPLETED",
    "Submit": str(DAY - 50),
    "Start": str(DAY + 100),
    "End": str(DAY + 1100),
    "ElapsedRaw": "1000",
    "Suspended": "00:00:00",
    "AllocTRES": "cpu=8,gres/gpu:h100=4,gres/gpu=4,node=2",
    "NodeList": "n[1-2]",
    "User": "ada",
    "UID": "1001",
    "Account": "nlp",
    "Partition": "gpu",
    "QOS": "normal",
    "JobName": "train",
    "Comment": "",
}


def build(window: tuple[float, float] = (DAY, DAY + 86_400), **changes: str) -> tuple[Run | None, list[Skip]]:
    return build_run(ROW | changes, "alpha", *window)


def run_of(window: tuple[float, float] = (DAY, DAY + 86_400), **changes: str) -> Run:
    run, skips = build(window, **changes)
    assert run is not None
    assert skips == []
    return run


def test_a_run_inside_the_window_is_charged_elapsed_times_gpus() -> None:
    run = run_of()

    assert (run.id, run.job, run.job_id) == (f"alpha/103/{DAY + 100}", "100_3", 103)
    assert run.allocated_gpu_ms == 4 * 1000 * 1000
    assert (run.nodes, run.n_gpus, run.gpu_type, run.uid) == (("n1", "n2"), 4, "h100", 1001)
    assert (run.comment, run.state) == (None, "COMPLETED")


def test_suspended_time_is_not_charged() -> None:
    run = run_of(ElapsedRaw="700", Suspended="00:05:00")

    assert (run.suspended_s, run.allocated_gpu_ms) == (300, 4 * 700 * 1000)


def test_the_row_after_a_resize_begins_at_the_resize_though_22_05_says_the_jobs_start() -> None:
    before = run_of(State="RESIZING", End=str(DAY + 400), ElapsedRaw="300")
    after = run_of(Submit=str(DAY + 400), AllocTRES="gres/gpu=2")

    assert (before.id, after.id) == (f"alpha/103/{DAY + 100}", f"alpha/103/{DAY + 400}")
    assert before.allocated_gpu_ms + after.allocated_gpu_ms == (4 * 300 + 2 * 700) * 1000


def test_a_living_row_after_a_resize_is_known_to_the_last_elapsed_second() -> None:
    run = run_of(Submit=str(DAY + 400), End="Unknown", ElapsedRaw="1000", State="RUNNING")

    assert (run.from_at, run.until_at) == (DAY + 400, DAY + 1100)


def test_elapsed_holds_where_the_suspended_column_disagrees() -> None:
    assert run_of(ElapsedRaw="700", Suspended="").allocated_gpu_ms == 4 * 700 * 1000


def test_a_run_is_clipped_at_both_ends_of_the_window() -> None:
    run = run_of((DAY + 200, DAY + 500))

    assert (run.from_at, run.until_at, run.allocated_gpu_ms) == (DAY + 200, DAY + 500, 4 * 300 * 1000)
    assert (run.start_at, run.end_at) == (DAY + 100, DAY + 1100)


def test_a_suspension_that_cannot_be_placed_is_shared_out_and_said() -> None:
    run, skips = build((DAY, DAY + 600), ElapsedRaw="600", Suspended="00:06:40")

    assert run is not None
    assert run.suspended_s == 200
    assert [skip.reason for skip in skips] == ["suspension-prorated"]


def test_a_living_run_reaches_as_far_as_accounting_was_read() -> None:
    run = run_of(State="RUNNING", End="Unknown", ElapsedRaw="300", Suspended="00:00:10")

    assert (run.end_at, run.until_at) == (None, DAY + 410)
    assert run.allocated_gpu_ms == 4 * 300 * 1000


def test_a_living_run_is_clipped_to_a_window_that_ends_before_accounting_was_read() -> None:
    assert run_of((DAY, DAY + 200), State="RUNNING", End="Unknown", ElapsedRaw="300").until_at == DAY + 200


def test_who_cancelled_is_not_part_of_the_state() -> None:
    assert run_of(State="CANCELLED by 1000").state == "CANCELLED"


@pytest.mark.parametrize("start", ["Unknown", "None", ""])
def test_a_run_that_never_started_is_left_out_silently(start: str) -> None:
    assert build(Start=start, End="Unknown", State="PENDING", NodeList="None assigned") == (None, [])


def test_a_job_that_failed_in_the_queue_was_no_run_though_it_has_a_start() -> None:
    changes = {"End": ROW["Start"], "ElapsedRaw": "0", "State": "FAILED", "NodeList": "None assigned"}

    assert build_run(ROW | changes | {"AllocTRES": ""}, "alpha", DAY, DAY + 86_400) == (None, [])


def test_a_run_that_only_touches_the_window_is_left_out() -> None:
    assert build((DAY + 1100, DAY + 2000)) == (None, [])
    assert build((DAY, DAY + 100)) == (None, [])


def test_a_run_that_ended_at_once_has_no_gpu_time_and_is_still_there() -> None:
    assert run_of(End=ROW["Start"], ElapsedRaw="0").allocated_gpu_ms == 0


def test_steps_are_no_runs() -> None:
    assert build(JobIDRaw="103.batch") == (None, [])


@pytest.mark.parametrize(
    "changes",
    [
        {"Start": "2026-05-01T00:00:00"},
        {"End": str(DAY)},
        {"AllocTRES": "gres/gpu=many"},
        {"NodeList": "n[1-"},
        {"NodeList": "n[1-2]x[1-999999]"},
        {"JobIDRaw": "1e3"},
    ],
)
def test_a_row_that_makes_no_sense_is_a_skip(changes: dict[str, str]) -> None:
    run, skips = build_run(ROW | changes, "alpha", DAY, DAY + 86_400)

    assert run is None
    assert [skip.reason for skip in skips] == ["bad-accounting-row"]


def test_parts_of_gpus_are_said_and_not_counted() -> None:
    run, skips = build(AllocTRES="cpu=1,gres/shard=2")

    assert run is not None
    assert run.n_gpus == 0
    assert [skip.reason for skip in skips] == ["shared-gpu-tres"]


def test_slurms_values_for_no_time_are_no_time() -> None:
    assert [parse_time(text) for text in ("Unknown", "None", "4294967294", "0")] == [None] * 4


@pytest.mark.parametrize(
    ("text", "span"), [("00:00:10", 10), ("1-00:00:01", 86_401), ("22:53.824", 1373), ("", 0)]
)
def test_spans_of_time(text: str, span: int) -> None:
    assert parse_span_s(text) == span
