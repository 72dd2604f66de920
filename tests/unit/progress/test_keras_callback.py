"""The Keras callback in a training loop of one's own, with a stand-in for Keras."""

import sys
import types
from collections.abc import Iterator
from importlib import import_module
from typing import Any

import pytest


@pytest.fixture
def module(monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    """The callback's module over a base class that does what Keras 3's does."""

    class Callback:
        def __init__(self) -> None:
            self.params: dict[str, Any] | None = None
            self.model: Any = None

    callbacks = types.ModuleType("keras.callbacks")
    callbacks.Callback = Callback  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "keras", types.ModuleType("keras"))
    monkeypatch.setitem(sys.modules, "keras.callbacks", callbacks)
    yield import_module("slurm_guard.callbacks.keras")
    sys.modules.pop("slurm_guard.callbacks.keras", None)


@pytest.mark.parametrize(("params", "total"), [(None, None), ({}, None), ({"steps": 5, "epochs": 2}, 10)])
def test_a_loop_that_sets_no_params_is_told_without_a_total(
    module: Any, monkeypatch: pytest.MonkeyPatch, params: dict[str, Any] | None, total: int | None
) -> None:
    told: list[tuple[int, int | None]] = []
    monkeypatch.setattr(module, "progress", lambda step, total=None, **_: told.append((step, total)))
    callback = module.SlurmGuardCallback()
    callback.params = params

    callback.on_train_begin()
    callback.on_train_batch_end(0, {"loss": 0.5})

    assert told == [(1, total)]


def test_an_evaluation_is_told_while_it_lasts_at_the_step_that_was_reached(
    module: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    told: list[tuple[int, Any, bool]] = []
    monkeypatch.setattr(
        module, "progress", lambda step, phase=None, force=False, **_: told.append((step, phase, force))
    )
    callback = module.SlurmGuardCallback()
    callback.model = types.SimpleNamespace(optimizer=types.SimpleNamespace(iterations=7))

    callback.on_test_begin()
    callback.on_test_batch_end(0)
    callback.on_test_end()
    callback.on_predict_batch_end(0)

    assert told == [(7, "eval", True), (7, "eval", False), (7, "eval", True), (7, "eval", False)]
