"""Hugging Face's trainer_state.json: one document, its copies in every checkpoint, and what is none."""

import json
import os
from pathlib import Path

import pytest

from slurm_guard.progress.hfstate import HfStateReader
from slurm_guard.progress.protocol import Found
from slurm_guard.progress.registry import choose
from slurm_guard.progress.unit import Input, read_unit, together


def state(upto: int, every: int = 10, **more: object) -> bytes:
    """A state as the Trainer saves it at step `upto`."""
    history: list[dict[str, object]] = [
        {"epoch": n / 100, "grad_norm": 1.5, "learning_rate": 1e-5, "loss": 2.5, "step": n}
        for n in range(every, upto + 1, every)
    ]
    history += [{"epoch": upto / 100, "eval_loss": 2.0, "eval_runtime": 5.7, "step": upto}]
    body = {
        "best_metric": None, "epoch": upto / 100, "global_step": upto, "is_world_process_zero": True,
        "log_history": history, "max_steps": 1000, "total_flos": 2.4e17,
    } | more  # fmt: skip
    return (json.dumps(body, indent=2, sort_keys=True) + "\n").encode()


def read(data: bytes, size: int = 1 << 20) -> Found:
    """All of a file's bytes, in pieces."""
    reader = HfStateReader()
    for at in range(0, len(data), size):
        reader.feed(data[at : at + size], at)
    return reader.finish()


def steps(found: Found) -> list[int | None]:
    return [claim.step for one in found.series for claim in one.claims]


@pytest.mark.parametrize("size", [1, 100, 1 << 20])
def test_a_state_gives_its_history_its_own_step_and_the_total(size: int) -> None:
    data = state(45)
    series = read(data, size).series[0]

    assert [c.step for c in series.claims] == [10, 20, 30, 40, 45, 45]
    assert {c.total for c in series.claims} == {1000}
    assert [c.phase for c in series.claims][3:] == ["train", "eval", "train"]
    assert series.claims[-1].offset == len(data)
    assert data[series.claims[0].offset - 1 : series.claims[0].offset] == b"}"


def test_a_torn_state_gives_its_whole_records() -> None:
    data = state(1000)
    found = read(data[: len(data) // 2])

    assert steps(found)[:3] == [10, 20, 30]
    assert 400 < (steps(found)[-1] or 0) < 600
    assert found.problems == ["torn-tail: 1"]


def test_a_loss_that_is_no_number_costs_no_step() -> None:
    data = state(10).replace(b'"loss": 2.5', b'"loss": NaN')

    assert next((c.step, c.loss) for c in read(data).series[0].claims) == (10, None)


@pytest.mark.parametrize("step", [b'"9"', b"-1", b"1e400", b"NaN", b"null", b"[1]", b"12.5", b"9" * 20])
def test_a_record_without_a_usable_step_is_none(step: bytes) -> None:
    data = b'{"global_step": 5, "log_history": [{"loss": 1.0, "step": %s}, {"loss": 1.0, "step": 4}]}' % step
    said = [4, 5] if step != b'"9"' else [9, 4, 5]

    assert steps(read(data)) == said


@pytest.mark.parametrize(
    "junk", [b"[" * 200_000, b"{" * 200_000, b'{"a":' * 50_000, b"9" * 200_000, b'"' + b"x" * 200_000, b"}]"]
)
def test_junk_in_the_history_ends_it_with_a_problem(junk: bytes) -> None:
    found = read(b'{"global_step": 5, "log_history": [{"step": 4},' + junk)

    assert steps(found) in ([4], [4, 5])
    assert found.problems


def test_a_history_that_never_comes_is_given_up() -> None:
    assert read(b'{"a": 1, ' + b" " * (2 << 20)).problems == ["no-history: 1"]


@pytest.mark.parametrize(
    ("head", "path", "name"),
    [
        (state(5), "/w/out/checkpoint-5/trainer_state.json", "hfstate"),
        (state(5), "/w/copy.json", "hfstate"),
        (b'{"global_step": 3, "log_history": []}', "/w/notes.json", "text"),
        (b'{\n  "step": 500,\n  "hidden_size": 768\n}', "/w/config.json", None),
        (b'{"epoch": 3.0, "train_loss": 1.0}', "/w/all_results.json", None),
        (b'step=1 "global_step": 3 "log_history": [', "/w/trainer_state.json", "text"),
    ],
)
def test_a_state_is_known_by_its_fields(head: bytes, path: str, name: str | None) -> None:
    source = choose(head, path, "walk")

    assert (source.name if source else None) == name


def test_a_later_checkpoint_adds_what_the_earlier_ones_had_not(tmp_path: Path) -> None:
    inputs = []
    for file, upto in enumerate((500, 1000)):
        path = tmp_path / "out" / f"checkpoint-{upto}" / "trainer_state.json"
        path.parent.mkdir(parents=True)
        path.write_bytes(state(upto, every=100))
        fd = os.open(path, os.O_RDONLY)
        inputs.append(Input(file, fd, str(path), "walk", path.stat().st_size, 1 << 20))

    told, marks = read_unit(inputs)
    for one in inputs:
        os.close(one.fd)
    counted = [(mark.file, mark.step) for mark in marks if mark.phase == "train"]

    assert counted == [(n // 600, n) for n in range(100, 1001, 100)]
    assert {row.track for row in told} == {marks[0].track}
    assert marks[0].track.startswith("hfstate:out~")


def test_a_runs_checkpoints_belong_together_and_other_runs_do_not() -> None:
    one = together("/w/a/checkpoint-5/trainer_state.json")

    assert one == together("/w/a/checkpoint-10/trainer_state.json") == together("/w/a/trainer_state.json")
    assert one != together("/w/b/checkpoint-5/trainer_state.json")
    assert together("/w/a/config.json") is None
