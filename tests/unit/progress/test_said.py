"""The model's size in a log's own words."""

import os
from pathlib import Path

import pytest

from slurm_guard.progress.protocol import CHUNK
from slurm_guard.progress.said import UNSAID, read_said
from slurm_guard.progress.unit import Input, Told, read_unit


def said(*lines: str) -> int | None:
    found = read_said("".join(line + "\n" for line in lines).encode())
    assert found.problems == []
    return found.params


@pytest.mark.parametrize(
    ("line", "params"),
    [
        ("number of parameters: 124.44M", 124_440_000),  # nanoGPT
        ("  Number of parameters = 124,439,808", 124_439_808),
        ("INFO:__main__:Training new model - Total size=124.44M params", 124_440_000),  # HF run_clm
        ("trainable params: 4,194,304 || all params: 6,742,609,920 || trainable: 0.1", 6_742_609_920),  # PEFT
        ("INFO - \x1b[34mModel llama3 \x1b[31msize: 8,030,261,248 total parameters\x1b[39m", 8_030_261_248),
        ("INFO - Total parameter count: dense 1,000,000, sparse 5,000,000, active 2,000,000", 6_000_000),
        ("Total parameter count: dense 8,190,735,360, sparse 0, vision 1,000, active 8", 8_190_736_360),
        ("124 M     Total params", 124_000_000),  # Lightning
        ("Total params: 124 M", 124_000_000),  # … and with Rich
        (" Total params: 1,234,567 (4.71 MB)", 1_234_567),  # Keras, torchinfo
        ("2026-08-01\tolmo.train:90\tINFO\tTotal number of parameters: 6,888,095,744", 6_888_095_744),
        ("n_total_params: 124439808", 124_439_808),  # Composer
        ('{"n_params": 124439808, "step": 0}', 124_439_808),
        ("number of params: 28288354", 28_288_354),  # Swin, DeiT
        ("number of params (M): 86.57", 86_570_000),  # MAE
        ("Model resnet50 created, param count:25557032", 25_557_032),  # timm
        ("| INFO | num. shared model params: 45,010,944 (num. trained: 45,010,944)", 45_010_944),  # fairseq
        ("2026 | INFO | num. expert model params: 0 (num. trained: 0)", None),
        ("YOLOv8n summary: 129 layers, 3,157,200 parameters, 3,157,184 gradients, 8.9 GFLOPs", 3_157_200),
        ("| num_parameters        | 124475904                                  |", 124_475_904),  # llm.c
        ("number parameters: 1.233 billion", 1_233_000_000),  # MaxText
        (" > total number of parameters in billions: 0.35", 350_000_000),  # Megatron
        ("[INFO|h1]: Total number of parameters: 1.11G (2118.23MiB)", 1_110_000_000),  # nanotron
        ("Total number of parameters: 1804784.", 1_804_784),
        ("Total number of parameters (including non-trainable): 3.20M", 3_200_000),
        ("Model params: 12,345,678 | Device: cuda", 12_345_678),
        ("    Total Number of model parameters: 116.15 M", 116_150_000),  # ESPnet
        ("0: number of parameters: 124.44M", 124_440_000),  # srun --label
    ],
)  # fmt: skip
def test_what_trainers_print_is_read(line: str, params: int | None) -> None:
    assert said(line) == params


@pytest.mark.parametrize(
    "line",
    [
        "  Number of trainable parameters = 4,194,304",  # the HF Trainer's banner, LoRA's as a model's
        "124 M     Trainable params",
        "num decayed parameter tensors: 50, with 124,354,560 parameters",
        "Number of non-embedding parameters: 5,000,000",
        "[TP=0] Local number of parameters: 1.11G (2116.51MiB)",
        "Number of parameters in embedding layers in billions: 0.05",
        "497.759   Total estimated model params size (MB)",
        "Params size (MB): 497.76",
        "total params size: 4.7 GB, total params: 4710 MB",
        "Number of active parameters: 3,000,000,000",
        "hyperparameters: 1000000",
        "max_params: 1000000000",
        "params: 7600000",
        "Loading model parameters: 100%|#####| 8/8",
        "number of parameters: 12",
        "number of parameters: 0.00M",
        "number of parameters: 1.234.567",
        "number of parameters: " + "9" * 40,
        "number of parameters: 1e300",
        "number of parameters: nan",
        "number of parameters: -124439808",
        "LoRA number of parameters: 4,194,304" + "!" * 9_000,
        " > number of parameters on model parallel rank 0: 162322944",
    ],
)
def test_other_words_say_nothing(line: str) -> None:
    assert said(line) is None


def test_a_whole_is_its_trained_and_its_frozen_part() -> None:
    trained, frozen = "Number of trainable parameters: 4,194,304", "Number of non trainable parameters: {}"

    assert said(trained, frozen.format("6,738,415,616")) == 6_742_609_920  # LitGPT
    assert said(trained, frozen.format("0")) == 4_194_304


def test_the_total_is_the_models_and_the_trained_part_is_not() -> None:
    assert (
        said("4.2 M     Trainable params", "6.7 B     Non-trainable params", "6.7 B     Total params")
        == 6_700_000_000
    )
    assert said("number of params: 4194304", "all params: 6,742,609,920") == 6_742_609_920


def test_keras_total_is_without_its_optimizer() -> None:
    rows = (" Total params: 3,703,703 (14.13 MB)", " Trainable params: 1,234,567 (4.71 MB)",
            " Non-trainable params: 0 (0.00 B)", " Optimizer params: 2,469,136 (9.42 MB)")  # fmt: skip

    assert said(*rows) == 1_234_567
    assert said(*rows[:3]) is not None


def test_two_sizes_that_contradict_each_other_give_none() -> None:
    found = read_said(b"Total params: 1,000,000\nTotal params: 2,000,000\n")

    assert found.params is None
    assert found.problems == ["unlike-sizes: 1000000 and 2000000 parameters are said of the model"]
    assert said("number of parameters: 124.44M", "Total params: 123,654,000") == 123_654_000
    assert read_said(b"all params: 1,000,000\ntrainable params: 1,200,000\n").params is None


def megatron(tensor: int, pipeline: int, *ranks: tuple[int, int], expert: int = 1) -> int | None:
    args = (("expert", expert), ("tensor", tensor), ("pipeline", pipeline), ("virtual_pipeline", 7))
    told = [f"  {name}_model_parallel_size ................. {n}" for name, n in args]
    parts = [
        f" > number of parameters on (tensor, pipeline) model parallel rank ({t}, {p}): {1000 + p}"
        for t, p in ranks
    ]
    return said(*told, " ".join(parts[:2]), *parts[2:])


def test_megatrons_parts_are_added_where_all_ranks_print() -> None:
    ranks = [(t, p) for t in range(2) for p in range(3)]

    assert megatron(2, 3, *ranks) == 2 * (1000 + 1001 + 1002)
    assert megatron(1, 1, (0, 0)) == 1000
    assert megatron(2, 3, *ranks[:-1]) is None
    assert megatron(2, 4, *ranks) is None
    assert megatron(2, 2, *ranks[:4]) is None  # another grid than was told
    assert megatron(2, 3, *ranks, expert=8) is None
    assert said(" > number of parameters on (tensor, pipeline) model parallel rank (0, 0): 357000") is None


def test_only_the_first_mib_is_looked_at_and_a_torn_number_is_none(tmp_path: Path) -> None:
    line = b"step=5 loss=2.5\n"
    words = b"number of parameters: 124.44M\n"

    assert read_said(words[:-2]) == UNSAID
    assert read_said((words * 100_000)[:CHUNK]).params == 124_440_000
    log = tmp_path / "a.log"
    log.write_bytes(line * (CHUNK // len(line)) + words + line)
    assert told(log).params is None
    log.write_bytes(line * 1000 + words + line)
    assert (told(log).params, told(log).source) == (124_440_000, "keyvalue")


def told(path: Path) -> Told:
    fd = os.open(path, os.O_RDONLY)
    try:
        rows, _ = read_unit([Input(0, fd, str(path), "stdout", path.stat().st_size, 64 << 20)])
    finally:
        os.close(fd)
    (row,) = rows
    return row


def test_a_log_without_progress_may_say_it_too(tmp_path: Path) -> None:
    log = tmp_path / "model.txt"
    log.write_text("Total params: 1,234,567\n")

    assert (told(log).params, told(log).source) == (1_234_567, None)


def test_no_line_makes_it_slow() -> None:
    import time

    begin_s = time.process_time()
    for piece in (
        "param",
        "param ",
        "n_params: ",
        "1,1" * 9,
        "total params",
        "parameter count: dense 1, sparse ",
    ):
        read_said((piece * (CHUNK // len(piece)) + "\n").encode())
        read_said(((piece + "\n") * (CHUNK // (1 + len(piece)))).encode())

    assert time.process_time() - begin_s < 6
