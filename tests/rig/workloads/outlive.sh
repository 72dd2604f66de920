#!/bin/sh
# Starts hold.py (RIG_HOLD says how long and what) so that it outlives the job: through sshd, in a session of its own.
node_words="SLURM_GUARD_RIG_GPU='$SLURM_GUARD_RIG_GPU' SLURM_JOB_GPUS='$SLURM_JOB_GPUS' RIG_HOLD='$RIG_HOLD'"
ssh -F "$RIG_SSH" node "$node_words setsid '$RIG_PYTHON' '$RIG_WORKLOADS/hold.py' </dev/null >/dev/null 2>&1 &"
