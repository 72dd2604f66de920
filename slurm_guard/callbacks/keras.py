"""For Keras 3: `model.fit(…, callbacks=[SlurmGuardCallback()])`."""

from typing import Any

from keras.callbacks import Callback

from slurm_guard.progress.client import progress


class SlurmGuardCallback(Callback):
    """Batches over all epochs, from the optimiser's own count at the beginning of `fit` on."""

    def __init__(self) -> None:
        super().__init__()
        self._step = 0
        self._last: int | None = None

    def on_train_begin(self, logs: dict[str, Any] | None = None) -> None:
        """A training that goes on counts on."""
        try:
            self._step = int(self.model.optimizer.iterations)
        except (AttributeError, TypeError, ValueError):
            self._step = 0
        params = self.params or {}  # a loop of one's own need not set them
        steps, epochs = params.get("steps"), params.get("epochs")
        self._last = self._step + steps * epochs if steps and epochs else None  # `steps` may be unknown

    def on_train_batch_end(self, batch: int, logs: dict[str, Any] | None = None) -> None:
        """After each batch."""
        self._step += 1
        progress(self._step, total=self._last, loss=(logs or {}).get("loss"))

    def on_test_begin(self, logs: dict[str, Any] | None = None) -> None:
        """Before an evaluation."""
        progress(self._step, total=self._last, phase="eval", force=True)

    def on_train_end(self, logs: dict[str, Any] | None = None) -> None:
        """After the last step."""
        progress(self._step, total=self._last, phase="end", force=True)
