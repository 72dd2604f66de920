"""For Lightning: `Trainer(callbacks=[SlurmGuardCallback()])`."""

from typing import Any

try:
    from lightning.pytorch import Callback, LightningModule, Trainer
except ImportError:  # the older package's name
    from pytorch_lightning import Callback, LightningModule, Trainer

from slurm_guard.progress.client import progress


class SlurmGuardCallback(Callback):
    """Optimiser steps over the whole training, as `trainer.global_step` counts them."""

    def on_train_batch_end(
        self, trainer: Trainer, pl_module: LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        """After each batch."""
        self._tell(trainer)

    def on_validation_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Before an evaluation."""
        self._evaluates(trainer, force=True)

    def on_validation_batch_end(self, trainer: Trainer, *args: Any, **kwargs: Any) -> None:
        """While it lasts."""
        self._evaluates(trainer)

    def on_validation_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """After it."""
        self._evaluates(trainer, force=True)

    def on_test_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Before a test, which is an evaluation as well."""
        self._evaluates(trainer, force=True)

    def on_test_batch_end(self, trainer: Trainer, *args: Any, **kwargs: Any) -> None:
        """While it lasts."""
        self._evaluates(trainer)

    def on_test_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """After it."""
        self._evaluates(trainer, force=True)

    def on_predict_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Before a prediction: the model runs, and no step is made."""
        self._evaluates(trainer, force=True)

    def on_predict_batch_end(self, trainer: Trainer, *args: Any, **kwargs: Any) -> None:
        """While it lasts."""
        self._evaluates(trainer)

    def on_predict_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """After it."""
        self._evaluates(trainer, force=True)

    def on_save_checkpoint(
        self, trainer: Trainer, pl_module: LightningModule, checkpoint: dict[str, Any]
    ) -> None:
        """With a checkpoint."""
        self._tell(trainer, phase="checkpoint", force=True)

    def on_train_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """After the last step."""
        self._tell(trainer, phase="end", force=True)

    def _evaluates(self, trainer: Trainer, *, force: bool = False) -> None:
        """The two batches before the training are no evaluation."""
        if not trainer.sanity_checking:
            self._tell(trainer, phase="eval", force=force)

    def _tell(self, trainer: Trainer, **fields: Any) -> None:
        if trainer.is_global_zero:
            total = trainer.max_steps if trainer.max_steps > 0 else None
            progress(trainer.global_step, total=total, epoch=trainer.current_epoch, **fields)
