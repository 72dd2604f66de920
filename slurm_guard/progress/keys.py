"""The names under which trainings log their counters, shared by the key=value and the JSON reader."""

# Clocks, best first: what counts optimiser steps over the whole training before what may restart each epoch.
STEP_KEYS = (
    "global_step", "global_steps", "global step", "_step", "num_updates", "training_iteration", "train_step",
    "optimizer_step", "curr_global_step", "current_steps", "step_num", "iteration", "iter", "iters", "step",
    "update", "total_timesteps", "num_timesteps", "timesteps_total", "num_env_steps_trained", "schritt",
    "batch",
)  # fmt: skip
EPOCH_KEYS = ("epoch", "epoch_num", "_epoch", "epoche")
SAMPLE_KEYS = (
    "consumed_samples", "samples_seen", "num_samples", "samples_count", "samples", "consumed samples",
    "total_samples", "examples", "examples_seen",
)  # fmt: skip
TOKEN_KEYS = (
    "total_tokens", "tokens_seen", "num_tokens", "consumed_tokens", "num_input_tokens_seen", "tokens",
    "train_tokens", "n_tokens", "seen_tokens",
)  # fmt: skip
# Names of a cumulative count; the others may be one record's size (`total_tokens` of a request) as well.
CUMULATIVE = frozenset(
    (
        "consumed_samples", "samples_seen", "consumed samples", "examples_seen", "tokens_seen",
        "consumed_tokens", "num_input_tokens_seen", "train_tokens", "seen_tokens",
    )
)  # fmt: skip
TOTAL_KEYS = ("total", "max_steps", "total_steps", "train_iters", "num_steps")
LOSS_KEYS = ("loss", "train_loss", "lm_loss", "training_loss", "total_loss")
TIME_KEYS = (
    "ts", "timestamp", "_timestamp", "time_ms", "time_us", "wall_time", "created_at", "datetime",
    "@timestamp", "time",
)  # fmt: skip
TOOK_KEYS = (
    "step_time", "iter_time", "step_time_s", "time_per_step", "sec_per_step", "s_per_step",
    "seconds_per_step", "step_time_ms", "iter_time_ms", "ms_per_step",
)  # fmt: skip
EVAL_MARKS = ("eval", "val", "valid", "validation", "test", "dev")


def is_eval(name: str) -> bool:
    """Whether a metric's name belongs to an evaluation: `eval_loss`, `val/acc`, `valid_ppl`."""
    head = name.lstrip("_").lower().replace("/", "_").replace(".", "_").split("_", 1)[0]
    return head in EVAL_MARKS
