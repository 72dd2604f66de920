"""What an owner is told of his own run: what was measured, and what he can do. Never of anybody else.

Nothing here comes from a finding's sentence: those are written for operators, and may name other users.
"""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Said:
    """Two sentences of one class; in `seen` the names in braces are amounts of GPU time."""

    seen: str
    helps: str


NO_PROGRESS = Said(
    "No training progress was found in the files that it wrote, so its GPU time could not be set against "
    "progress. That says nothing about the job itself.",
    "Log a line per step or so to the job's output (key=value, JSON, or a known trainer's format), write "
    "TensorBoard event files, or append to the file named in $SLURM_GUARD_PROGRESS.",
)
UNMATCHED = Said(
    "Of its {allocated}, at least {lo} and at most {hi} were not matched by progress in its log.",
    "Evaluation, sampling or a second program beside the training can look like this: a line in the log, or "
    "a word in the job's comment when you submit it, makes the difference next time.",
)
PERHAPS_UNMATCHED = Said(
    "Of its {allocated}, at most {hi} were not matched by progress in its log, and perhaps nothing.",
    UNMATCHED.helps,
)
_NOTHING = "There is nothing for you to do: the centre looks after what observes the nodes."
_TOOL = (
    "Editors and notebooks can do this. Tell us which tool it was, and we can allow it where our rules do."
)
NOT_SEEN = Said("Too little of it could be observed to say anything about it.", _NOTHING)
MARKED = Said(
    "It was marked for a look by the centre's staff.",
    "There is nothing for you to do now: they will ask you where something is unclear.",
)

BY_CLASS = {
    "parked": Said(
        "Its GPUs were idle for {idle} of {allocated}.",
        "If the job is not needed any more, end it with scancel; for interactive work, a shorter time limit "
        "or fewer GPUs leave more for others, and for your own next job.",
    ),
    "hang": Said(
        "Its log fell silent while its GPUs stayed busy at the level of waiting, for {wait}.",
        "The last lines of its log and the state of each rank usually tell where it waits; a time-out of the "
        "communication library ends such a job early.",
    ),
    "fail-slow": Said(
        "For part of the time its steps took longer than in its own best stretch, while its GPUs waited.",
        "A slow link, data loader or node looks like this; if it comes again, tell us the job's number.",
    ),
    "no-progress-source": NO_PROGRESS,
    "log-unread": Said(
        "What read its GPUs does not read what a job logs, so its GPU time could not be set against "
        "progress. That says nothing about the job itself.",
        _NOTHING,
    ),
    "progress-without-gpu": Said(
        "Its log moved on while its GPUs were idle.",
        "A training that runs on the CPU looks like this: check that it uses the GPUs that you asked for.",
    ),
    "guest-on-gpu": Said(
        "A process that is not part of your job worked on its GPUs, for {foreign}. This is not held "
        "against you.",
        "There is nothing for you to do; the job may have been slower for it.",
    ),
    "reverse-tunnel": Said(
        "A connection that the job opened to a place outside was used to reach a port inside.",
        _TOOL,
    ),
    "undeclared-egress": Said(
        "It had connections to places outside that neither the site nor the job had named.",
        "Name them when you submit: egress=HOST:PORT in the job's comment.",
    ),
    "forward-proxy": Said(
        "A process of it took connections of other programs and passed them on to a place outside.",
        _TOOL,
    ),
    "lone-connection": Said(
        "A connection that it opened to a place outside stayed open for long and was hardly used.",
        "An ssh session or an editor that was left open can do this: close it when you leave, or tell us "
        "what it is for.",
    ),
    "address-scan": Said(
        "It opened many short connections to many places, and received next to nothing.",
        "A program that looks for its partners can look like this. Tell us which one it was.",
    ),
    "network-changed": Said(
        "After it, a connection or a port of yours was still open on one of its nodes, or the node's network "
        "was set up differently than before.",
        "End what the job starts before it ends; a tmux or ssh session of yours beside the job is fine.",
    ),
    "leftover-process": Said(
        "A process that it had started still worked on a GPU after the job had ended.",
        "Let the job's script end the programs that it starts in the background, and wait for them. If one "
        "was meant to stay, tell us what it is for.",
    ),
    "beyond-budget": MARKED,
    "running": Said(
        "It was still running when this was measured.",
        "There is nothing for you to do: what it does later is measured with the next night.",
    ),
    "silent": Said(
        "Nothing was recorded on at least one of its nodes, so its GPU time there was not observed.", _NOTHING
    ),
    "switched-off": Said("What observes the nodes was switched off on at least one of them.", _NOTHING),
    "maintenance": Said("Its nodes were in maintenance, so its GPU time there was not observed.", _NOTHING),
    "burn-in": Said("The centre counts it among its burn-in and acceptance tests.", _NOTHING),
    "run-without-ticket": Said(
        "Its start was not recorded on at least one of its nodes, so less of it could be observed.", _NOTHING
    ),
    "unsealed": Said(
        "The record of it has no end, so some of its GPU time may not have been observed.", _NOTHING
    ),
    "refused": Said(
        "Too much of what was recorded of it contradicts itself, so nothing is said about it.", _NOTHING
    ),
}
# What could not be observed is no reason for a look, and that a run goes on is none for anything.
UNSEEN = frozenset(
    ("silent", "maintenance", "switched-off", "run-without-ticket", "unsealed", "refused", "log-unread")
)
ASIDE = UNSEEN | {"running", "burn-in"}

INTRO = (
    "This is an automatic letter about {runs} of yours on {site}, in the time {window} ({zone}). It tells "
    "you what was measured and what you can do. It is no complaint, and needs no answer unless something in "
    "it is wrong."
)
SEEN_BY = "The centre's administrators have the same figures{also}; other users do not."
ALSO = ", and so may the coordinators of your account"
METHOD = (
    "GPU time is measured on the node, outside the job, and set against the progress that the job logged. "
    "What was not observed counts neither for nor against a job."
)
AGAIN = (
    "It takes the place of an earlier letter about the same time, because the measurements were read again."
)
