"""For Keras 3: `model.fit(…, callbacks=[guard])`, and the same `guard` for `evaluate` and `predict`."""

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
        self._step = self._made()
        params = self.params or {}  # a loop of one's own need not set them
        steps, epochs = params.get("steps"), params.get("epochs")
        self._last = self._step + steps * epochs if steps and epochs else None  # `steps` may be unknown

    def on_train_batch_end(self, batch: int, logs: dict[str, Any] | None = None) -> None:
        """After each batch."""
        self._step += 1
        progress(self._step, total=self._last, loss=(logs or {}).get("loss"))

    def on_test_begin(self, logs: dict[str, Any] | None = None) -> None:
        """Before an evaluation."""
        self._evaluates(force=True)

    def on_test_batch_end(self, batch: int, logs: dict[str, Any] | None = None) -> None:
        """While it lasts."""
        self._evaluates()

    def on_test_end(self, logs: dict[str, Any] | None = None) -> None:
        """After it."""
        self._evaluates(force=True)

    def on_predict_begin(self, logs: dict[str, Any] | None = None) -> None:
        """Before a prediction: the model runs, and no step is made."""
        self._evaluates(force=True)

    def on_predict_batch_end(self, batch: int, logs: dict[str, Any] | None = None) -> None:
        """While it lasts."""
        self._evaluates()

    def on_predict_end(self, logs: dict[str, Any] | None = None) -> None:
        """After it."""
        self._evaluates(force=True)

    def on_train_end(self, logs: dict[str, Any] | None = None) -> None:
        """After the last step."""
        progress(self._step, total=self._last, phase="end", force=True)

    def _evaluates(self, *, force: bool = False) -> None:
        if not self._step:
            self._step = self._made()  # without a training before: of a model that was loaded
        progress(self._step, total=self._last, phase="eval", force=force)

    def _made(self) -> int:
        """Steps that the optimiser has made; 0: it does not say."""
        try:
            return int(self.model.optimizer.iterations)
        except (AttributeError, TypeError, ValueError):
            return 0
