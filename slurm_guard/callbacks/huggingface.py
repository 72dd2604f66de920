"""For the Hugging Face Trainer and what builds on it: `Trainer(…, callbacks=[SlurmGuardCallback()])`."""

from typing import Any

from transformers import TrainerCallback, TrainerControl, TrainerState, TrainingArguments

from slurm_guard.progress.client import progress


class SlurmGuardCallback(TrainerCallback):
    """Steps as the Trainer counts them; losses, evaluations and checkpoints as it reports them."""

    def on_step_end(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any
    ) -> None:
        """After each optimiser step."""
        self._tell(state)

    def on_log(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any
    ) -> None:
        """When the Trainer logs; its evaluation's numbers are not this step's loss."""
        logs = kwargs.get("logs") or {}
        if "loss" in logs:
            self._tell(state, loss=logs["loss"], force=True)

    def on_prediction_step(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any
    ) -> None:
        """While an evaluation or a prediction lasts: after each of its batches."""
        self._tell(state, phase="eval")

    def on_evaluate(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any
    ) -> None:
        """After an evaluation."""
        self._tell(state, phase="eval", force=True)

    def on_predict(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any
    ) -> None:
        """After a prediction."""
        self._tell(state, phase="eval", force=True)

    def on_save(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any
    ) -> None:
        """After a checkpoint."""
        self._tell(state, phase="checkpoint", force=True)

    def on_train_end(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any
    ) -> None:
        """After the last step."""
        self._tell(state, phase="end", force=True)

    def _tell(self, state: TrainerState, **fields: Any) -> None:
        if not state.is_world_process_zero:
            return
        tokens = getattr(state, "num_input_tokens_seen", 0)
        progress(
            state.global_step,
            total=state.max_steps if state.max_steps > 0 else None,
            tokens=tokens if tokens else None,  # 0: not counted (include_num_input_tokens_seen)
            epoch=state.epoch,
            **fields,
        )
