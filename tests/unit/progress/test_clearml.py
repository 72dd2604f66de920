"""ClearML's offline sessions: events in arrays of any length."""

import json

from slurm_guard.progress.clearml import ClearmlSource
from slurm_guard.progress.protocol import Found


def _event(n: int, metric: str = "loss", variant: str = "train", **more: object) -> dict[str, object]:
    return {
        "timestamp": 1_795_474_903_025 + n * 1000, "type": "training_stats_scalar", "task": "offline-1e03",
        "iter": n, "metric": metric, "variant": variant, "value": 1 / (n + 1), **more,
    }  # fmt: skip


def _read(data: bytes, size: int = 1 << 20) -> Found:
    reader = ClearmlSource().reader()
    for at in range(0, len(data), size):
        reader.feed(data[at : at + size], at)
    return reader.finish()


def test_every_event_of_the_longest_metric_is_a_point_whatever_the_arrays_length() -> None:
    text = json.dumps([_event(n) for n in range(100)]) + "\n" + json.dumps([_event(100)]) + "\n"
    text += json.dumps([_event(n, "accuracy", "val") for n in range(0, 100, 10)]) + "\n"

    (series,) = _read(text.encode()).series

    assert [claim.step for claim in series.claims] == list(range(101))
    assert series.claims[3].at == 1_795_474_906.025
    assert series.claims[3].loss == 0.25
    assert series.claims[3].offset == text.index("}", text.index('"iter": 3,')) + 1


def test_the_size_of_the_pieces_does_not_matter() -> None:
    data = json.dumps([_event(n) for n in range(60)]).encode()

    whole = _read(data)

    assert all(_read(data, size) == whole for size in (1, 7, 100, 4096))


def test_the_machines_own_metrics_and_plots_are_passed_over() -> None:
    plot = {**_event(5), "type": "plot", "plot_str": json.dumps({"data": [_event(7)], "x": {"y": 1}})}
    machine = [_event(n, ":monitor:gpu", "gpu_0_utilization") for n in range(50)]

    (series,) = _read(json.dumps([*machine, plot, _event(1), _event(2)]).encode()).series

    assert [claim.step for claim in series.claims] == [1, 2]


def test_a_step_that_is_none_is_said_and_a_value_that_is_none_is_null() -> None:
    events = [
        _event(1, value=float("nan")),
        _event(2, iter="two"),
        _event(3, iter=-1),
        _event(4, timestamp=0),
    ]

    found = _read(json.dumps(events).encode())

    assert [(claim.step, claim.loss, claim.at is None) for claim in found.series[0].claims] == [
        (1, None, False),
        (4, 0.2, True),
    ]
    assert found.problems == ["no-step: 2"]


def test_hostile_bytes_cost_no_memory_and_say_nothing() -> None:
    reader = ClearmlSource().reader()
    for nth in range(50):
        reader.feed(b'{"a": ' * 20_000, nth * 120_000)

    assert len(reader._kept) <= 4096  # type: ignore[attr-defined]
    assert reader.finish().series == []


def test_it_is_known_by_its_first_event() -> None:
    source = ClearmlSource()

    assert source.claims(json.dumps([_event(1)]).encode(), "/w/metrics.jsonl") == 0.9
    assert source.claims(b'{"step": 1, "loss": 2}\n', "/w/metrics.jsonl") == 0.0
    assert source.claims(b'[{"step": 1, "loss": 2, "and": "more"}]\n', "/w/metrics.jsonl") == 0.0
