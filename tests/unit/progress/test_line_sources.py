"""One line of each format, as its framework prints it, and near misses that are no progress."""

import pytest

from slurm_guard.progress.pick import pick
from slurm_guard.progress.protocol import Found, Series
from slurm_guard.progress.registry import TEXT, choose


def read(text: str) -> Found:
    """All that the text source finds."""
    reader = TEXT.reader()
    reader.feed(text.encode(), 0)
    return reader.finish()


def best(text: str) -> Series:
    """The file's first choice."""
    return pick(read(text).series)[0].series


@pytest.mark.parametrize(
    ("line", "source", "step", "total"),
    [
        (" iteration        7/    1000 | consumed samples:  7168 | lm loss: 1.2E+01 |", "megatron", 7, 1000),
        (
            " [2026-08-01 07:19:37.123456] iteration        1/    5000 | consumed samples: 128 |",
            "megatron", 1, 5000,
        ),
        ("Training epoch 0, iteration 17/99 | lr: 2e-06 | global_step: 1017 | a: 1", "megatron", 1017, None),
        ('{"step": 12, "loss": 2.5, "ts": 1795475142.2}', "jsonl", 12, None),
        ('{"_step": 12, "_timestamp": 1795475142.2}', "jsonl", 12, None),
        ('2021-03-08 12:31:36 | INFO | train_inner | {"epoch": 1, "num_updates": "9"}', "jsonl", 9, None),
        ('DLLL {"timestamp":"1700000000.0","step":[2,79],"data":{"loss":1.5}}', "jsonl", 79, None),
        ("step=10, skipped=6, lr=[9.6e-06], mom=[(0.9, 0.95)]", "keyvalue", 10, None),
        ("epoch=0/micro_step=10/global_step=20, RunningAvgSamplesPerSec=173.4", "keyvalue", 20, None),
        ("step: 20  loss:  8.12  grad_norm:  1.2  tps: 12,345  mfu: 12%", "keyvalue", 20, None),
        ("iter 10: loss 9.8214, time 152.31ms, mfu 41.20%", "keyvalue", 10, None),
        ("step 00100/21400 (0.47%) | loss: 5.9 | dt: 512.34ms | tok/sec: 1,023", "keyvalue", 100, 21400),
        ("step:125/3040 val_loss:4.51 train_time:76.6s step_avg:613.02ms", "keyvalue", 125, 3040),
        ("completed step: 9, seconds: 5.667, loss: 10.374", "keyvalue", 9, None),
        ("[step=80/10000,epoch=0]", "keyvalue", 80, 10000),
        ("[epoch=1][batch=20/100]:", "keyvalue", 20, 100),
        ("step:3 - timing/gen:23.020 - critic/lr(1e-4):0.100", "keyvalue", 3, None),
        ("[05/05 10:00:00 d2.utils.events]:  eta: 1:00  iter: 19  total_loss: 1.2", "keyvalue", 19, None),
        ("Epoch: [0][  10/5005]\tTime  0.5 (0.6)\tLoss 6.9 (6.9)", "keyvalue", 10, 5005),
        ("Train: 0 [  50/1251 (  4%)]  Loss: 6.94  Time: 0.2s  epoch: 0", "keyvalue", 50, 1251),
        ("Train: 0 [  50/1251 (  4%)]  Loss: 6.94 (6.94)  Time: 0.200s", "keyvalue", 50, 1251),
        ("Epoch 3:  45%|##  | 450/1000 [00:10<00:12, 43.2it/s, v_num=1]", "keyvalue", 450, 1000),
        ("Train epoch [1/1]:  10%|#  | 10/100 [00:10<01:30,  1.0s/it, loss=1.0]", "keyvalue", 10, 100),
        ("|    total_timesteps      | 2048     |", "keyvalue", 2048, None),
        ("INFO:train/global_step=77 train/loss=0.5", "keyvalue", 77, None),
        ("s:3 trl:10.8140 lr:0.000002", "keyvalue", 3, None),
    ],
)  # fmt: skip
def test_a_line_of_each_format(line: str, source: str, step: int, total: int | None) -> None:
    found = best(line + "\n")

    assert (found.source, found.claims[0].step, found.claims[0].total) == (source, step, total)


@pytest.mark.parametrize(
    "line",
    [
        " 40%|####      | 4/10 [00:04<00:06,  1.00s/episode]",
        " 40%|####      | 4/10 [00:04<00:06,  1.00episode/s]",
        " 40%|####      | 4/10 [00:04<00:06,  1.00s/item]",
        " 40%|####      | 4/10 [00:04<00:06,  1.00s/steplet]",
        "[Rank 55] (after 1 iterations) memory (MB) | allocated: 15492.8",
        "Step 3 of the set-up: install the drivers",
        "step_lr = get_lr(step)",
        "    step = 0",
        "for step in range(100):",
        "timing_s/step:22.3",
        "step: 1.5e-3",
        "warmup_steps=500",
        "per-step 12",
        "step=-4",
        "step=nan loss=nan",
        "iteration 1e400/5 | x",
        '{"loss": 3.5}',
        '{"step": NaN}',
        '{"step": 1e400}',
        '{"step": -1}',
        '[{"iter": 0, "metric": "loss", "value": 1.0}, {"iter": 1}]',
        "2026-08-01 07:19:20\tJob ID: 4242\t# GPUs: 64\tStarting job",
        "[Eval batch=1/50] Eval on eval data:",
        "validate step: 20  loss:  7.9",
        "Epoch 3 val:  45%|##  | 450/1000 [00:10<00:12, 43.2it/s]",
        "100/100 [======] - 5s 50ms/step - loss: 2.1",
        "Epoch 5/3",
        "Avg prompt throughput: nan tokens/s, Avg generation throughput: 1.0 tokens/s",
        ':::MLLOG {"key": "tracked_stats", "metadata": {"step": "x"}}',
        ':::MLLOG {"key": "train_samples", "value": 1, "metadata": {"step": 4}}',
        ":::MLLOG step=4",
        "{'loss': 2.0}",
        "100%|##| 5/5 [00:01<00:00, 5.0MB/s]",
        "Downloading: 50%|##   | 5/10 [00:01<00:01, 5.0it/s]",
    ],
)
def test_near_misses_are_no_progress(line: str) -> None:
    assert read(line + "\n").series == []


@pytest.mark.parametrize("of", ["", " on validation set", " on test set"])
def test_an_evaluation_of_megatron_is_a_phase_of_its_step(of: str) -> None:
    found = read(f" validation loss at iteration 500{of} | lm loss value: 2.3E+00 | lm loss PPL: 9.9E+00 |\n")

    claims = [*found.phases, *(claim for series in found.series for claim in series.claims)]
    assert [(claim.step, claim.phase) for claim in claims] == [(500, "eval")]


def test_megatron_carries_samples_loss_and_a_local_time() -> None:
    claim = best(
        " [2026-08-01 07:19:37] iteration 2/ 9 | consumed samples: 256 | lm loss: 1.5E+00 |\n"
    ).claims[0]

    assert (claim.samples, claim.loss, claim.at, claim.naive) == (256, 1.5, 1_785_568_777.0, True)


@pytest.mark.parametrize(
    ("line", "took_s"),
    [
        (" iteration 2/ 9 | elapsed time per iteration (ms): 812.3 | lm loss: 1.5E+00 |", 0.8123),
        (" iteration 2/ 9 | elapsed time per iteration (ms): 1410.0 | lm loss: 1.5E+00 |", 1.41),
        (" iteration 2/ 9 | elapsed time per iteration (s): 0.8 | lm loss: 1.5E+00 |", None),
        ("step=10 loss=2.5 step_time=0.81234", 0.81234),
        ("step=10 loss=2.5 step_time=0.812", None),
        ('{"step": 12, "loss": 2.5, "step_time_ms": 812.34567}', 0.81234567),
        ("step=10 loss=2.5 step_time=-1", None),
        ("step=10 loss=2.5", None),
    ],
)
def test_a_steps_time_is_taken_where_the_record_prints_one(line: str, took_s: float | None) -> None:
    assert best(line + "\n").claims[0].took_s == took_s


@pytest.mark.parametrize(
    ("line", "at"),
    [
        ("time=1785568777.125 step=4 loss=2.5", 1_785_568_777.125),
        ("step=4 loss=2.5 ts=1785568777", 1_785_568_777.0),
        ("time=12.5 step=4 loss=2.5", None),  # since the start, or of the step
        ("step=4 loss=2.5 time=4294967296000000000000", None),
        ("uptime=1785568777 step=4 loss=2.5", None),
    ],
)
def test_seconds_since_1970_are_a_records_clock(line: str, at: float | None) -> None:
    assert best(line + "\n").claims[0].at == at


def test_megatrons_progress_file_counts_what_was_saved() -> None:
    text = (
        "2026-08-01 07:19:20\tJob ID: 4242\t# GPUs: 64\tStarting job\n"
        "2026-08-01 08:19:20\tJob ID: 4242\t# GPUs: 64\tSaved checkpoint\tIteration: 500\t"
        "Job throughput: 410.3 TFLOP/s/GPU\tTokens (in billions): 2.10\n"
    )

    claims = best(text).claims

    assert [(c.step, c.tokens, c.at) for c in claims] == [(500, 2_100_000_000, 1_785_572_360.0)]


def test_vllm_sums_its_rates_over_the_time_between_its_lines() -> None:
    text = "".join(
        f"INFO 05-19 10:13:{second:02d} [loggers.py:271] Engine {engine:03d}: Avg prompt throughput: 10.0 "
        f"tokens/s, Avg generation throughput: 90.0 tokens/s, Running: 18 reqs\n"
        for second, engine in ((10, 0), (11, 1), (20, 0), (22, 1), (55, 0))
    )

    series = best(text)

    assert series.key == "tokens"  # 10 s, 10 s, 10 s, 11 s, and 10 s after a silence
    assert [c.tokens for c in series.claims] == [1000, 2000, 3000, 4100, 5100]


@pytest.mark.parametrize(
    "unit",
    ["it", "iter", "iters", "iteration", "iterations", "step", "steps", "batch", "batches", "ep", "epoch",
     "epochs", "update", "updates"],
)  # fmt: skip
def test_bars_of_whatever_one_calls_a_training_step_count(unit: str) -> None:
    slow = "".join(f" {n}0%|#   | {n}/10 [{n:02d}:00<09:00, 60.00s/{unit}]\r" for n in range(1, 10))
    assert [claim.step for claim in best(slow).claims] == [*range(1, 10)]
    assert [claim.step for claim in best(slow.replace(f"60.00s/{unit}", f"2.00{unit}/s")).claims] == [
        *range(1, 10)
    ]


NEMO = "Epoch 0: :  47%|##  | {n}/15 [06:19<07:13, reduced_train_loss=11.50, global_step={n}.000, v_num=8]\r"


def test_a_bar_without_a_rate_counts_but_not_one_of_other_units() -> None:
    own = "".join(f"{n:3d}%|#   | {n}/100 [00:10<01:00]\r" for n in range(10, 20))
    nemo = "".join(NEMO.format(n=n) for n in range(1, 15))

    assert [claim.step for claim in best(own).claims] == [*range(10, 20)]
    assert [(claim.step, claim.total) for claim in best(nemo).claims] == [(n, 15) for n in range(1, 15)]
    assert not read(own.replace("]", ", 3.2MB/s]")).series
    assert not read(own.replace("]", ", 12 files/s, name=a]")).series


def test_a_bar_that_every_rank_draws_counts_once() -> None:
    drawing = "".join(
        f" {n}%|#   | {n}/16 [{n:02d}:{n:02d}<09:00, {61 + n % 3:5.2f}s/it]\r" for n in range(17)
    )

    series = best(drawing * 4)

    assert [c.step for c in series.claims] == list(range(17))


def test_bars_of_two_epochs_are_both_counted() -> None:
    text = "".join(
        f" {n}%|#   | {n}/16 [{n:02d}:{n + late:02d}<09:00, 61.0s/it]\r" for late in (0, 1) for n in range(17)
    )

    assert len(best(text).claims) == 34


@pytest.mark.parametrize("quote", ["{}", "'{}'"])  # v4 prints numbers, v5 strings
def test_hf_without_a_step_counts_millionths_of_epochs_and_spreads_rounded_ones(quote: str) -> None:
    epochs = ["0.01", "0.01", "0.02", "0.03"]
    text = "".join(f"{{'loss': {quote.format('2.5')}, 'epoch': {quote.format(e)}}}\n" for e in epochs)

    series = best(text)

    assert series.key == "epoch"
    assert [c.step for c in series.claims] == [10_000, 15_000, 20_000, 30_000]
    assert [c.loss for c in series.claims] == [2.5] * 4


def test_hf_takes_the_steps_of_a_bar_that_keeps_pace() -> None:
    text = "".join(
        f" {n:3d}%|##   | {n}/100 [00:{n % 60:02d}<01:00, 1.00it/s]{{'loss': 2.0, 'epoch': {n / 50}}}\r"
        for n in range(10, 100, 10)
    )

    series = best(text)

    assert (series.source, series.key) == ("hf", "step")
    assert [c.step for c in series.claims] == list(range(10, 100, 10))


def test_hf_does_not_take_the_steps_of_a_bar_that_was_flushed_apart() -> None:
    bars = "".join(f" {n:3d}%|##   | {n}/100 [00:10<01:00, 1.00it/s]\r" for n in range(1, 101))
    dicts = "".join(f"{{'loss': 2.0, 'epoch': {n / 50}}}\n" for n in range(10, 101, 10))

    assert best(bars + dicts).key == "epoch"


def test_ms_swift_says_its_step_itself() -> None:
    claim = best("{'loss': '2.0', 'epoch': '0.1', 'global_step/max_steps': '6/60'}\n").claims[0]

    assert (claim.step, claim.total) == (6, 60)


def test_an_object_cut_by_the_cap_still_gives_its_step() -> None:
    line = '{"step": 41, "loss": 2.5, ' + ", ".join(f'"m{i}": {i}' for i in range(2000)) + "}\n"

    assert best(line).claims[0].step == 41


def test_a_torn_number_at_the_end_of_a_live_file_is_not_believed() -> None:
    assert read("step=100 loss=1\nstep=12").series[0].claims[-1].step == 100


def test_a_hole_in_a_text_makes_no_other_format_of_it() -> None:
    hole, lines = "\0" * 5000, "".join(f"step {n} loss 2.3\n" for n in range(10))

    assert choose((hole + lines).encode(), "/w/slurm-1.out", "fd") is TEXT
    behind = [claim.step for claim in best(lines[:80] + hole + lines[80:]).claims]
    assert behind == [0, 1, 2, 3, 4, 6, 7, 8, 9]  # the first line behind it is one with it
    assert choose(hole.encode(), "/w/a.out", "fd") is None
    assert choose((hole + lines + "\0").encode(), "/w/a.out", "fd") is None


def test_binary_is_nobodys_and_a_guard_file_is_the_guards_by_how_it_was_found() -> None:
    assert choose(b"\x7fELF\0\0\0", "/w/a.out", "fd") is None
    source = choose(b"step=1\n", "/x/progress.jsonl", "guard")
    assert source is not None
    assert source.name == "guard"
