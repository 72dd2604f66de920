"""`slurm-guard progress step=…` in a job script: a record or nothing, and no exit status that ends it."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.unit.progress.wandb_files import log, row, written_in
from tests.unit.progress.weight_files import save

MAIN = "from slurm_guard.cli.app import main; main()"


def _tell(path: Path | None, *words: str) -> subprocess.CompletedProcess[str]:
    env = {name: value for name, value in os.environ.items() if not name.startswith("SLURM")}
    if path is not None:
        env["SLURM_GUARD_PROGRESS"] = str(path)
    return subprocess.run(
        [sys.executable, "-c", MAIN, "progress", *words], env=env, capture_output=True, text=True, check=False
    )


def test_pairs_become_a_record(tmp_path: Path) -> None:
    path = tmp_path / "p"
    path.touch()

    for step in (5, 6):
        done = _tell(path, f"step={step}", "tokens=40960", "loss=2.5", "phase=eval", "run=a=b")
        assert (done.returncode, done.stdout, done.stderr) == (0, "", "")

    rows = [json.loads(line) for line in path.read_text().splitlines()]
    assert [row["step"] for row in rows] == [5, 6]
    assert {(row["tokens"], row["loss"], row["phase"], row["run"]) for row in rows} == {
        (40960, 2.5, "eval", "a=b")
    }


@pytest.mark.parametrize("words", [("step=1", "nonsense"), ("step=1", "force=0"), ("tokens=9",)])
def test_a_slip_ends_no_script(tmp_path: Path, words: tuple[str, ...]) -> None:
    path = tmp_path / "p"
    path.touch()

    assert _tell(path, *words).returncode == 0
    assert len(path.read_text().splitlines()) == 1


@pytest.mark.parametrize("value", ["", "x", "nan", "-1", "1e999", "10/20"])
@pytest.mark.parametrize("name", ["step", "samples", "tokens", "epoch"])
def test_a_counter_without_a_number_is_told_and_writes_no_record(
    tmp_path: Path, name: str, value: str
) -> None:
    path = tmp_path / "p"
    path.touch()

    done = _tell(path, f"{name}={value}", "loss=0.5", "run=a")

    assert (done.returncode, path.read_text()) == (0, "")
    assert f"{name}='{value}' is no number" in done.stderr
    assert "nothing was written" in done.stderr


def test_what_is_left_beside_a_value_that_is_none_is_written(tmp_path: Path) -> None:
    path = tmp_path / "p"
    path.touch()

    done = [
        _tell(path, "step=7", "loss="),
        _tell(path, "step=", "tokens=9"),
        _tell(path, "step=", "phase=eval"),
    ]

    rows = [json.loads(line) for line in path.read_text().splitlines()]
    assert [one.returncode for one in done] == [0, 0, 0]
    assert all("is no number; left out" in one.stderr for one in done)
    assert [(row.get("step"), row.get("tokens"), row["phase"]) for row in rows] == [
        (7, None, "train"), (None, 9, "train"), (None, None, "eval"),
    ]  # fmt: skip


@pytest.mark.parametrize("words", [("nonsense", "step=7"), ("", "step=7"), ("step=7", "-x"), ("step", "7")])
def test_a_first_word_that_is_no_pair_ends_no_script_either(tmp_path: Path, words: tuple[str, ...]) -> None:
    path = tmp_path / "p"
    path.touch()

    done = _tell(path, *words)

    assert done.returncode == 0
    assert "name=value" in done.stderr
    assert ('"step": 7' in path.read_text().replace(":7", ": 7")) == ("step=7" in words)


@pytest.mark.parametrize("word", ["-5", "-x", "--fast", "5"])
def test_a_word_like_an_option_is_told_and_writes_nothing(tmp_path: Path, word: str) -> None:
    path = tmp_path / "p"
    path.touch()

    done = _tell(path, word)

    assert (done.returncode, path.read_text()) == (0, "")
    assert f"'{word}' is no name=value" in done.stderr


def test_dashes_before_a_pair_do_not_matter(tmp_path: Path) -> None:
    path = tmp_path / "p"
    path.touch()

    done = _tell(path, "--step=5", "--tokens=9")

    assert (done.returncode, done.stderr) == (0, "")
    row = json.loads(path.read_text())
    assert (row["step"], row["tokens"]) == (5, 9)


def test_a_folder_is_looked_through_as_a_work_directory_is(tmp_path: Path) -> None:
    (tmp_path / "train.log").write_text("step=1 loss=2\nstep=2 loss=1\n")
    for step in (100, 200):
        (tmp_path / f"step_{step}.pt").write_bytes(b"x" * 9000)

    done = _show(str(tmp_path))

    assert done.returncode == 0
    assert "train.log~" in done.stdout
    assert "source checkpoint" in done.stdout
    assert "step 100 to step 200" in done.stdout


def _show(*words: str) -> subprocess.CompletedProcess[str]:
    return _tell(None, "show", "--points", "1", *words)


def test_show_tells_epochs_and_no_total_of_steps_beside_them(tmp_path: Path) -> None:
    log = tmp_path / "train.jsonl"
    log.write_text('{"epoch": 0.5, "total_steps": 500}\n{"epoch": 1.5, "total_steps": 500}\n')

    done = _show(str(log))

    assert "epoch 0.5 to epoch 1.5" in done.stdout
    assert "of 500" not in done.stdout


def test_show_says_that_a_file_is_empty_or_has_one_counter_alone(tmp_path: Path) -> None:
    (tmp_path / "empty.out").touch()
    (tmp_path / "one.out").write_text("step=5 loss=1\n")

    done = _show(str(tmp_path / "empty.out"), str(tmp_path / "one.out"))

    assert done.returncode == 0
    assert "the file is empty" in done.stdout
    assert "1 point, step 5, no times" in done.stdout
    assert "one counter alone shows no progress" in done.stdout


def test_show_tells_when_checkpoints_were_there(tmp_path: Path) -> None:
    for step, at in ((100, 1.79e9), (200, 1.79e9 + 60)):
        (tmp_path / f"step_{step}.pt").write_bytes(b"x" * 50_000)
        os.utime(tmp_path / f"step_{step}.pt", (at, at))

    done = _show(str(tmp_path))

    assert "2 points, step 100 to step 200, there by 20" in done.stdout
    assert "no times in it" not in done.stdout


def test_show_tells_the_models_size_and_who_says_so(tmp_path: Path) -> None:
    (tmp_path / "train.log").write_text("number of parameters: 124.44M\nstep=1 loss=2\nstep=2 loss=1\n")
    experts = {"mlp.experts.0.w1": ("F32", [100, 20]), "embed.weight": ("F32", [100, 10])}
    save(tmp_path / "checkpoint-100" / "model.safetensors", experts)

    done = _show(str(tmp_path))

    assert "the model: 124,440,000 parameters (by the log's own words)" in done.stdout
    assert (
        "the model: 3,000 parameters, 1,000 of them in every token's way (by the newest checkpoint's headers)"
    ) in done.stdout


def test_show_does_not_hold_a_copys_birth_against_it(tmp_path: Path) -> None:
    log = tmp_path / "copied.out"
    log.write_text(
        "".join(f"2026-08-01 1{n // 600}:{n // 10 % 60:02d}:00 step={n} loss=1\n" for n in range(3000))
    )

    done = _show(str(log))

    assert "3000 points" in done.stdout
    assert "flags" not in done.stdout.replace("flags naive-clock", "")
    assert "  naive-clock: its times name no zone" in done.stdout


def test_show_says_what_to_do_about_a_folder_without_a_known_log(tmp_path: Path) -> None:
    (tmp_path / "notes.txt").write_text("step=1 loss=2\nstep=2 loss=1\n")
    (tmp_path / "with").mkdir()
    (tmp_path / "with" / "train.log").write_text("step=1 loss=2\nstep=2 loss=1\n")

    none, some = _show(str(tmp_path / "notes.txt"), str(tmp_path)), _show(str(tmp_path / "with"))

    assert "no log of a name that is looked for" not in some.stdout
    assert "no log of a name that is looked for" not in none.stdout
    (tmp_path / "with" / "train.log").unlink()
    none = _show(str(tmp_path))
    assert "no log of a name that is looked for" in none.stdout
    assert "guard:progress=PATH" in none.stdout
    assert none.returncode == 1


def test_show_says_that_the_output_of_a_job_is_read_and_names_it(tmp_path: Path) -> None:
    for nth, name in enumerate(("slurm-999.out", "slurm-4242.out", "other.out")):
        (tmp_path / name).write_text("step=1 loss=2\nstep=2 loss=1\n")
        os.utime(tmp_path / name, (1_795_000_000 + nth, 1_795_000_000 + nth))

    told = _show(str(tmp_path))

    assert "stdout and stderr are read wherever Slurm says" in told.stdout
    assert f"slurm-guard progress show {tmp_path}/slurm-4242.out" in told.stdout
    assert "name the file itself" not in told.stdout


def test_show_says_that_a_folder_cannot_be_read() -> None:
    from slurm_guard.cli.progress import _about_folder

    assert _about_folder("/nowhere/at/all") == ["it was not looked through: No such file or directory"]


@pytest.mark.parametrize(
    ("name", "text", "words"),
    [
        ("a.csv", "step,word\n1,a\n2,b\n", "its first line names a counter"),
        ("b.csv", "step,loss\n" + "x,1\n" * 9, "rows whose counter is no whole number: 9"),
        ("trainer_state.json", '{\n  "log_history": [\n', "no whole trainer_state.json"),
        ("c.txt", "hello\n", "no line in it says how far"),
        ("d.bin", "\x00\x01", "neither lines of text nor a format that is read"),
        ("config.json", '{\n  "step": 500\n}\n', "a JSON document is no log"),
    ],
)
def test_show_says_why_a_file_tells_nothing_and_what_to_do(
    tmp_path: Path, name: str, text: str, words: str
) -> None:
    (tmp_path / name).write_text(text)

    told = _show(str(tmp_path / name)).stdout

    assert words in told
    assert "$SLURM_GUARD_PROGRESS" in told


def test_show_explains_what_a_flag_means(tmp_path: Path) -> None:
    (tmp_path / "bar.out").write_text(
        "".join(f" {n}0%|#  | {n}/10 [00:0{n}<00:09,  1.00s/epoch]\r" for n in range(10))
    )
    (tmp_path / "epochs.out").write_text("".join(f"Epoch {n}/9 loss 0.5\n" for n in range(1, 10)))

    done = _show(str(tmp_path / "bar.out"), str(tmp_path / "epochs.out"))

    assert "step 0 to step 9" in done.stdout
    assert "  weak: " in done.stdout
    assert "  epoch: " in done.stdout


def test_show_counts_the_files_that_tell_progress_and_explains_each_word_once(tmp_path: Path) -> None:
    for name in ("a.out", "b.out"):
        (tmp_path / name).write_text("".join(f"2026-08-01 10:0{n}:00 step={n} loss=1\n" for n in range(9)))
    (tmp_path / "c.txt").write_text("hello\n")
    names = [str(tmp_path / name) for name in ("a.out", "b.out", "c.txt")]

    some, one = _show(*names).stdout, _show(names[2]).stdout

    assert "2 of 3 files tell progress" in some
    assert some.count("  naive-clock: its times name no zone") == 1
    assert some.count("  no-progress: nothing in it tells how far a training is") == 1
    assert "nothing here tells progress" in one


def test_show_tells_what_marks_are_of_and_one_time_once(tmp_path: Path) -> None:
    rows = [{"step": n, "ts": 1.795e9, "phase": "train"} for n in range(1, 6)]
    rows.insert(3, {**rows[2], "phase": "eval"})
    (tmp_path / "metrics.jsonl").write_text("".join(json.dumps({**row, "loss": 1}) + "\n" for row in rows))

    told = _show(str(tmp_path / "metrics.jsonl")).stdout

    assert "5 points and 1 mark (eval), step 1 to step 5, 2026-11-18 11:06:40Z\n" in told


def test_show_calls_no_file_another_jobs(tmp_path: Path) -> None:
    """Outside of a run there is no job to compare with the one that a W&B file names."""
    folder = tmp_path / "wandb" / "offline-run-1"
    folder.mkdir(parents=True)
    (folder / "run-a.wandb").write_bytes(log(written_in("4242"), row(_step=1), row(_step=2)))

    told = _show(str(tmp_path)).stdout

    assert "step 1 to step 2" in told
    assert "other-job" not in told


def test_show_fails_where_there_is_no_file(tmp_path: Path) -> None:
    done = _show(str(tmp_path / "none"))

    assert done.returncode == 1
    assert "not-opened" in done.stdout


def test_outside_of_a_job_nothing_happens() -> None:
    done = _tell(None, "step=5")

    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
