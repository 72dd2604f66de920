"""DVCLive's tables of one metric each."""

import os
from pathlib import Path

from slurm_guard.progress.registry import choose
from slurm_guard.progress.unit import Input, read_unit, together


def test_the_metrics_of_one_run_are_one_track_and_the_longest_of_training_speaks(tmp_path: Path) -> None:
    texts = {
        "train/loss.tsv": "timestamp\tstep\tloss\n"
        + "".join(f"{1_795_474_227_000 + n * 1000}\t{n}\t{2 - n / 10}\n" for n in range(9)),
        "val/loss.tsv": "step\tloss\n" + "".join(f"{n}\t1.0\n" for n in range(20)),
    }
    inputs = []
    for nth, (name, text) in enumerate(texts.items()):
        path = tmp_path / "dvclive" / "plots" / "metrics" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
        inputs.append(Input(nth, os.open(path, os.O_RDONLY), str(path), "walk", len(text), 64 << 20))

    told, marks = read_unit(inputs)
    for one in inputs:
        os.close(one.fd)

    assert len({together(one.path) for one in inputs}) == 1
    assert [one.source for one in told] == ["dvclive", "dvclive"]
    assert [(mark.step, mark.at) for mark in marks[:2]] == [(0, 1_795_474_227.0), (1, 1_795_474_228.0)]
    assert [mark.loss for mark in marks][-1] == 1.2
    assert len(marks) == 9


def test_the_machines_metrics_and_other_tables_are_none() -> None:
    for path in (
        "/w/dvclive/plots/metrics/system/gpu.tsv",
        "/w/plots/loss.tsv",
        "/w/dvclive/plots/metrics/x.csv",
    ):
        source = choose(b"step\tx\n1\t2\n", path, "walk")
        assert source is None or source.name != "dvclive"
