#!/bin/sh
# GPU work and progress without Python: declares each step's work as a load file, waits for the grant, and tells
# SLURM_GUARD_PROGRESS. Usage: shell_steps.sh SECONDS WORK_MS
seconds=${1:-60}
work_ms=${2:-800}
boards=$SLURM_GUARD_RIG_GPU
until=$(($(date +%s) + seconds))
total=$((seconds * 1000 / work_ms))
asked_ms=0
step=0

declare_load() { # cumulative milliseconds of work on each GPU
    printf '{"gpus":[%s],"kind":"train","demand":0.95,"mem_mib":12000,"budget_s":%d.%03d}' \
        "$SLURM_JOB_GPUS" $(($1 / 1000)) $(($1 % 1000)) >"$boards/loads/new.$$"
    mv "$boards/loads/new.$$" "$boards/loads/$$"
}

granted_ms() { # least work granted so far over our GPUs
    read -r line <"$boards/grants/$$" || return 0
    least=
    for word in $line; do
        case $word in
        *:*)
            work=${word#*:}
            frac=${work#*.}
            ms=$((${work%.*} * 1000 + 1${frac%"${frac#???}"} - 1000))
            if [ -z "$least" ] || [ "$ms" -lt "$least" ]; then least=$ms; fi
            ;;
        esac
    done
    granted=${least:-0}
}

printf 'phase=init\n' >>"$SLURM_GUARD_PROGRESS"
sleep 3
while [ "$(date +%s)" -lt "$until" ]; do
    asked_ms=$((asked_ms + work_ms))
    declare_load "$asked_ms"
    granted=0
    while [ "$granted" -lt $((asked_ms - 2)) ]; do
        sleep 0.05
        granted_ms 2>/dev/null
    done
    step=$((step + 1))
    printf 'step=%d total=%d\n' "$step" "$total" >>"$SLURM_GUARD_PROGRESS"
done
rm -f "$boards/loads/$$"
printf 'phase=end\n' >>"$SLURM_GUARD_PROGRESS"
echo "done after $step steps"
