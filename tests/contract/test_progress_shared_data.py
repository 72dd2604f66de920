"""Real logs: how many points, the first and the last, counted by hand with grep and a ten-line parser."""

import os
from pathlib import Path

import pytest

from slurm_guard.progress.track import Mark
from slurm_guard.progress.unit import Input, Told, read_unit

pytestmark = pytest.mark.shared_data
DATA = Path(__file__).parents[2].parent / "shared" / "data"
SAMPLES = DATA / "progress_samples"


def read(path: Path) -> tuple[Told, list[Mark]]:
    """The first track of a real file."""
    if not path.exists():
        pytest.skip(f"the shared data folder does not stand beside the checkout: {path.name}")
    fd = os.open(path, os.O_RDONLY)
    try:
        told, marks = read_unit([Input(0, fd, str(path), "fd", path.stat().st_size, 64 << 20)])
    finally:
        os.close(fd)
    return told[0], [mark for mark in marks if mark.track == told[0].track]


def counters(marks: list[Mark]) -> list[int]:
    """The clock's values on training points."""
    values = [mark.step if mark.step is not None else mark.samples for mark in marks if mark.phase == "train"]
    return [value for value in values if value is not None]


@pytest.mark.parametrize(
    ("name", "source", "n", "first", "last", "segments"),
    [
        # grep -c 'iteration .*consumed': 38, iteration 1 to 38
        ("01_megatron_deepspeed_slurm.out", "megatron", 38, 1, 38, 1),
        # grep -c 'global_step=': 187, global_step=10 to 1870
        ("03_deepspeed_chat_sft.log", "keyvalue", 187, 10, 1870, 1),
        # samples_count 0, 1536, 1920, 2304, 2688, 3072
        ("04_mlperf_llama2_70b_lora_result.txt", "jsonl", 6, 0, 3072, 1),
        # the file's only samples_count is 512000; its bars are FID evaluation
        ("05_mlperf_sd_srun_label_tqdm_cr.out", "jsonl", 1, 512_000, 512_000, 1),
        # grep -c '\[step=': 37, step=10 to 370
        ("06_olmo_train.log", "keyvalue", 37, 10, 370, 1),
        # two tags of 210 scalars, steps 0..99 then 90..199
        ("07_tb_torch_duplicate_steps.events.out.tfevents", "tfevents", 210, 0, 199, 2),
        # six tags of 17 scalars, steps 0..16
        ("08_tb_wandb_asset.events.out.tfevents", "tfevents", 17, 0, 16, 1),
        # one tag, 2608 scalars at 326 distinct steps, 72 to 23438
        ("09_tb_tf2_kws_validation.events.out.tfevents", "tfevents", 326, 72, 23_438, 1),
        # grep -c '^step:': 28, 125 to 3040
        ("12_modded_nanogpt_stdout.out", "keyvalue", 28, 125, 3040, 1),
        # two pasted runs: steps 0..4, then 0..9 with 9 printed twice
        ("14_maxtext_steps.txt", "keyvalue", 15, 0, 9, 2),
        # two pasted lines, both step 20
        ("15_torchtitan_steps.txt", "keyvalue", 1, 20, 20, 1),
        # grep -c '"num_updates"': 10 training lines, 1 to 10
        ("16_fairseq_json_log.txt", "jsonl", 10, 1, 10, 1),
        # step:0 and step:1
        ("17_verl_console.txt", "keyvalue", 2, 0, 1, 1),
        # global_step 17 to 22
        ("18_nemo_lines.txt", "megatron", 6, 17, 22, 1),
    ],
)
def test_a_sample_gives_the_points_that_were_counted_by_hand(
    name: str, source: str, n: int, first: int, last: int, segments: int
) -> None:
    told, marks = read(SAMPLES / name)
    values = counters(marks)

    assert told.source == source
    assert (len(values), values[0], values[-1]) == (n, first, last)
    assert len({mark.segment for mark in marks}) == segments


def test_an_old_hf_log_without_loss_lines_has_only_its_bars_and_says_so() -> None:
    """Sample 02 logged no loss: four nodes' bars of 16 steps, one after the other."""
    told, marks = read(SAMPLES / "02_hf_trainer_deepspeed_slurm.out")

    assert told.source == "tqdm"
    assert all("weak" in mark.flags for mark in marks)
    assert max(counters(marks)) == 16


@pytest.mark.parametrize(
    "name",
    [
        "10_wandb_offline_2021.wandb",
        "29_swanlab-metadata.json",
    ],
)
def test_formats_of_later_issues_give_no_points_rather_than_wrong_ones(name: str) -> None:
    told, marks = read(SAMPLES / name)

    assert told.source is None
    assert marks == []


@pytest.mark.parametrize(
    ("path", "n", "last"),
    [
        # grep -c ' iteration .*consumed': 4, then it was stopped
        ("bigscience_slurm_out/meg_gpt2_perf_n16-1999618.out", 4, 4),
        # grep -c 'global_step=': 184
        ("deepspeed_chat/step2_reward_model_finetuning__opt-350m_globalBatchSize-64.log", 184, 1840),
        # s:0 … s:19559 training, s:19560 is the last evaluation
        ("modded_nanogpt/llmc_main.log", 19_560, 19_559),
        # 2,600 lines of the script itself stand before step:0/1555
        ("modded_nanogpt/track_1_short__2026-02-10_ShortWindow__Short-Window_1_1.txt", 1556, 1555),
        # grep -c '\[step=': 101
        ("olmo/OLMo-1B-grad-provenance-1000.train.log", 101, 1010),
    ],
)
def test_a_whole_real_log(path: str, n: int, last: int) -> None:
    _, marks = read(DATA / "progress" / path)
    values = counters(marks)

    assert (len(values), values[-1], len({mark.segment for mark in marks})) == (n, last, 1)


def test_every_event_file_of_algoperf_is_one_rising_series() -> None:
    files = sorted((DATA / "progress" / "algoperf_algoperf_v05").rglob("events.out.tfevents.*"))
    if not files:
        pytest.skip("the shared data folder does not stand beside the checkout: algoperf")

    read_in_full = 0
    for path in files:
        told, marks = read(path)
        read_in_full += told.source == "tfevents"
        assert counters(marks) == sorted(counters(marks)), path.name
    # Of the 23 files two hold nothing but the version record (78 bytes).
    assert (read_in_full, len(files)) == (21, 23)


def test_an_evaluation_after_training_is_no_restart() -> None:
    """Stable diffusion evaluates its older checkpoints when training is over."""
    told, marks = read(DATA / "progress/mlperf_v5.0/stable_diffusion/Dell__1xXE9712x4GB200/result_1.txt")

    assert counters(marks) == [0, 512_000, 1_024_000, 1_536_000, 2_048_000]
    assert {mark.segment for mark in marks} == {0}
    assert [mark.samples for mark in marks if mark.phase == "eval"] == [1_024_000, 1_536_000]
    assert told.source == "jsonl"
