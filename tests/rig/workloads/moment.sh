#!/bin/sh
# A job of a moment: says which process it is, works on its GPUs, is gone. Usage: moment.sh SECONDS
read -r line <"/proc/$$/stat"
# shellcheck disable=SC2086  # the fields after the name
set -- "$1" ${line##*) }
boards=$SLURM_GUARD_RIG_GPU
echo "process $$ ${21} job $SLURM_JOB_ID"
printf '{"gpus":[%s],"kind":"train","demand":0.9,"mem_mib":4000}' "$SLURM_JOB_GPUS" >"$boards/loads/new.x$$"
mv "$boards/loads/new.x$$" "$boards/loads/$$"
sleep "$1"
rm -f "$boards/loads/$$"
