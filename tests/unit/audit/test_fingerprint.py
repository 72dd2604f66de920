"""Which runs are taken to be of one kind."""

from dataclasses import replace

import pytest

from slurm_guard.audit.fingerprint import fingerprint, settings_text
from slurm_guard.audit.holds import GpuUser
from slurm_guard.audit.track import Track
from tests.builders import World, run_of

USER = GpuUser(
    "n1", 100, 1, 1000, 50, "/usr/bin/python3", "python train.py --lr 3e-4", (), (), "cgroup", 10.0, 10.0,
    20.0, ("G",), 1000, None, "linked",
)  # fmt: skip
TRACK = Track(("kv:/home/ann/a.log",), "tokens")
RUN = run_of(World())


def _settings(cmdline: str, job_id: int = 7) -> str | None:
    return settings_text(replace(USER, cmdline=cmdline), job_id)


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("python t.py --seed 1", "python t.py --seed 2"),
        ("python t.py --seed=1 --bs 8", "python t.py --seed=77 --bs 8"),
        ("torchrun --master-port 29500 t.py", "torchrun --master-port 29788 t.py"),
        ("python -m torch.launch --node_rank=0 t.py", "python -m torch.launch --node_rank=3 t.py"),
        ("python t.py --run-name ab --bs 8", "python t.py --run-name cd --bs 8"),
        ("python t.py --output_dir /scratch/a", "python t.py --output_dir /scratch/b"),
        ("python t.py trainer.output_dir=/a", "python t.py trainer.output_dir=/b"),
        ("python t.py /data/2026-11-25/x", "python t.py /data/2026-11-26/x"),
        ("python t.py -c /r/3f2b8c1d9e", "python t.py -c /r/aa0b8c1d77"),
        ("python t.py --wandb_project x", "python t.py --wandb_project y"),
    ],
)
def test_what_differs_between_runs_of_one_training_is_left_out(one: str, other: str) -> None:
    assert _settings(one) == _settings(other)


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("python t.py --bs 8", "python t.py --bs 16"),
        ("python t.py --seq-length 4096", "python t.py --seq-length 8192"),
        ("python t.py --model-name gpt2", "python t.py --model-name gpt2-xl"),
        ("python t.py model.layers=12", "python t.py model.layers=24"),
        ("python t.py", "python s.py"),
        ("python t.py --seed 1 --bf16", "python t.py --seed 1"),
        ("python t.py --recompute", "python t.py"),
        ("python t.py --config a.yaml", "python t.py --config b.yaml"),
    ],
)
def test_what_may_change_the_cost_of_a_step_is_kept(one: str, other: str) -> None:
    assert _settings(one) != _settings(other)


def test_a_jobs_number_is_no_setting() -> None:
    assert _settings("python t.py /tmp/job_4711/x", 4711) == _settings("python t.py /tmp/job_4712/x", 4712)
    assert _settings("python t.py --hidden 47110", 4711) != _settings("python t.py --hidden 47120", 4712)


def test_a_command_line_that_is_not_known_whole_is_none() -> None:
    assert _settings("python t.py --text aaaa[cut]") is None
    assert settings_text(replace(USER, cmdline=None), 7) is None
    assert settings_text(replace(USER, exe=None), 7) is None


def test_other_boards_world_sizes_logs_and_units_are_other_fingerprints() -> None:
    usual = fingerprint(RUN, (USER,), TRACK, "H100")

    assert usual == fingerprint(RUN, (replace(USER, pid=5, node="n9"),), TRACK, "H100")
    assert usual == fingerprint(RUN, (USER,), replace(TRACK, sources=("kv:/elsewhere",)), "H100")
    for other in (
        fingerprint(RUN, (USER,), TRACK, "A100"),
        fingerprint(replace(RUN, n_gpus=2), (USER,), TRACK, "H100"),
        fingerprint(replace(RUN, nodes=("n1", "n2")), (USER,), TRACK, "H100"),
        fingerprint(RUN, (USER,), replace(TRACK, unit="step"), "H100"),
        fingerprint(RUN, (USER,), replace(TRACK, sources=("hf:/home/ann/a.log",)), "H100"),
    ):
        assert other != usual


def test_the_process_that_logs_gives_the_settings_and_of_several_programs_none_does() -> None:
    stray = replace(USER, cls="stray", cmdline="python other.py", pid=1)
    kin = replace(USER, cls="kin")

    assert fingerprint(RUN, (stray, USER), TRACK, "H100") == fingerprint(RUN, (USER,), TRACK, "H100")
    assert fingerprint(RUN, (kin, replace(kin, pid=7)), TRACK, "H100").settings is not None
    assert fingerprint(RUN, (kin, replace(kin, cmdline="python eval.py")), TRACK, "H100").settings is None
    assert fingerprint(RUN, (), TRACK, "H100").settings is None
