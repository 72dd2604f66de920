"""The callbacks inside real trainings of the real libraries; skipped, visibly, where one is missing."""

import json
import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from slurm_guard.progress import client
from slurm_guard.progress.guard import GuardSource
from slurm_guard.progress.protocol import Claim

pytestmark = [pytest.mark.frameworks, pytest.mark.filterwarnings("ignore"), pytest.mark.timeout(280)]
Told = Callable[[], list[Claim]]


@pytest.fixture
def told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Told]:
    """What the audit's reader finds in the file that the prolog would have made; every record is written."""
    path = tmp_path / "progress.jsonl"
    path.touch(mode=0o600)
    monkeypatch.setenv(client.VARIABLE, str(path))
    monkeypatch.setattr(client, "EVERY_S", 0.0)
    monkeypatch.setattr(client, "_pid", 0)
    monkeypatch.setattr(client, "_next_s", 0.0)
    for name in client._RANKS:
        monkeypatch.delenv(name, raising=False)

    def read() -> list[Claim]:
        data = path.read_bytes()
        assert all(isinstance(json.loads(line), dict) for line in data.splitlines())
        reader = GuardSource().reader()
        reader.feed(data, 0)
        found = reader.finish()
        assert found.problems == []
        return [claim for series in found.series for claim in series.claims]

    yield read
    if client._fd >= 0:
        os.close(client._fd)


def steps(claims: list[Claim], phase: str = "train") -> list[int | None]:
    return [claim.step for claim in claims if claim.phase == phase]


def test_plain_torch_tells_each_step_of_the_optimiser(told: Told) -> None:
    torch = pytest.importorskip("torch")
    from slurm_guard.callbacks.torch import watch

    model = torch.nn.Linear(4, 1)
    optimizer = torch.optim.AdamW(model.parameters())
    handle = watch(optimizer, first_step=100, total=120)
    for micro in range(20):  # two micro-batches a step
        model(torch.ones(2, 4)).sum().backward()
        if micro % 2:
            optimizer.step()
            optimizer.zero_grad()
    handle.remove()
    optimizer.step()

    assert steps(told()) == list(range(101, 111))
    assert {claim.total for claim in told()} == {120}


def test_the_hugging_face_trainer_tells_steps_losses_evaluations_checkpoints_and_the_end(
    told: Told, tmp_path: Path
) -> None:
    pytest.importorskip("transformers")
    torch = pytest.importorskip("torch")
    pytest.importorskip("accelerate")
    from transformers import Trainer, TrainingArguments

    from slurm_guard.callbacks.huggingface import SlurmGuardCallback

    class Model(torch.nn.Module):  # type: ignore[name-defined]
        def __init__(self) -> None:
            super().__init__()
            self.layer = torch.nn.Linear(4, 1)

        def forward(self, x: Any, labels: Any) -> dict[str, Any]:
            out = self.layer(x)
            return {"loss": ((out - labels) ** 2).mean(), "logits": out}

    rows = [{"x": torch.ones(4) * k, "labels": torch.ones(1)} for k in range(40)]
    args = TrainingArguments(
        output_dir=str(tmp_path / "out"), max_steps=10, per_device_train_batch_size=2, logging_steps=2,
        save_steps=5, eval_strategy="steps", eval_steps=5, gradient_accumulation_steps=2,
        report_to=[], use_cpu=True,
    )  # fmt: skip
    trainer = Trainer(
        model=Model(), args=args, train_dataset=rows, eval_dataset=rows[:4], callbacks=[SlurmGuardCallback()]
    )
    trainer.train()
    claims = told()
    trainer.evaluate(rows * 2)  # ten batches of eight
    trainer.predict(rows[:24])
    assert sorted({step for step in steps(claims) if step is not None}) == list(range(1, 11))
    assert {claim.total for claim in claims} == {10}
    assert [claim.step for claim in claims if claim.loss is not None] == [2, 4, 6, 8, 10]
    assert steps(claims, "eval") == [5, 5, 10, 10]  # one batch, and when it is over
    assert steps(claims, "checkpoint") == [5, 10]
    assert steps(claims, "end") == [10]
    assert steps(told()[len(claims) :], "eval") == [10] * (10 + 1 + 3 + 1)


def test_lightning_tells_global_steps_and_no_sanity_check(told: Told, tmp_path: Path) -> None:
    torch = pytest.importorskip("torch")
    lightning = pytest.importorskip("lightning.pytorch")
    from slurm_guard.callbacks.lightning import SlurmGuardCallback

    class Module(lightning.LightningModule):  # type: ignore[name-defined]
        def __init__(self) -> None:
            super().__init__()
            self.layer = torch.nn.Linear(4, 1)

        def training_step(self, batch: Any, batch_idx: int) -> Any:
            return self.layer(batch).sum()

        def validation_step(self, batch: Any, batch_idx: int) -> None:
            self.layer(batch)

        test_step = validation_step

        def predict_step(self, batch: Any, batch_idx: int) -> Any:
            return self.layer(batch)

        def configure_optimizers(self) -> Any:
            return torch.optim.SGD(self.parameters(), lr=0.01)

    batches = torch.utils.data.DataLoader(torch.ones(24, 4), batch_size=2)
    trainer = lightning.Trainer(
        max_steps=8, accelerator="cpu", accumulate_grad_batches=2, val_check_interval=6, logger=False,
        default_root_dir=str(tmp_path), callbacks=[SlurmGuardCallback()], enable_progress_bar=False,
        enable_model_summary=False,
    )  # fmt: skip
    module = Module()
    trainer.fit(module, batches, batches)
    claims = told()
    trainer.test(module, batches, verbose=False)
    trainer.predict(module, batches)

    assert sorted({step for step in steps(claims) if step}) == list(range(1, 9))
    assert {claim.total for claim in claims} == {8}
    # after six batches of two a step, begin and end and twelve batches; the sanity check told nothing
    assert steps(claims, "eval") == [3] * 14 + [6] * 14
    assert steps(claims, "end") == [8]
    assert steps(claims, "checkpoint")
    assert steps(told()[len(claims) :], "eval") == [8] * 28


@pytest.fixture
def keras(monkeypatch: pytest.MonkeyPatch) -> Any:
    """Keras 3 on whatever backend is there."""
    if "KERAS_BACKEND" not in os.environ:
        monkeypatch.setenv("KERAS_BACKEND", "torch")
    pytest.importorskip("torch")
    return pytest.importorskip("keras")


def test_keras_tells_batches_over_all_epochs_and_goes_on_where_it_was(told: Told, keras: Any) -> None:
    import numpy as np

    from slurm_guard.callbacks.keras import SlurmGuardCallback

    model = keras.Sequential([keras.layers.Input((4,)), keras.layers.Dense(1)])
    model.compile(optimizer="sgd", loss="mse")
    x, y = np.ones((20, 4)), np.ones((20, 1))
    for _ in range(2):
        guard = SlurmGuardCallback()
        model.fit(x, y, batch_size=4, epochs=2, validation_data=(x, y), verbose=0, callbacks=[guard])
    claims = told()
    model.evaluate(x, y, batch_size=4, verbose=0, callbacks=[guard])
    model.predict(x, batch_size=4, verbose=0, callbacks=[SlurmGuardCallback()])

    assert steps(claims) == list(range(1, 21))
    assert [claim.total for claim in claims if claim.phase == "train"] == [10] * 10 + [20] * 10
    assert steps(claims, "eval") == [step for step in (5, 10, 15, 20) for _ in range(1 + 5 + 1)]
    assert steps(claims, "end") == [10, 20]
    assert all(claim.loss is not None for claim in claims if claim.phase == "train")
    assert steps(told()[len(claims) :], "eval") == [20] * 14
