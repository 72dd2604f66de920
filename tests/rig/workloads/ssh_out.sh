#!/bin/sh
# A plain user of ssh: one session with commands and their output, and a file sent by scp now and then.
folder=sent.$SLURM_JOB_ID
mkdir -p "$folder"
commands() {
    while sleep "$RIG_TYPES_EVERY"; do
        echo 'ls -l /usr/bin | head -c 20000; uptime'
    done
}
commands | ssh -F "$RIG_SSH" outside sh >"session.$SLURM_JOB_ID" &
session=$!
trap 'kill $session; exit' TERM
n=0
while sleep "$RIG_SENDS_EVERY" & wait $!; do
    n=$((n + 1))
    head -c "$RIG_SENDS" /dev/urandom >"shard.$SLURM_JOB_ID"
    scp -q -F "$RIG_SSH" "shard.$SLURM_JOB_ID" "outside:$PWD/$folder/$n" && echo "sent shard $n"
done
