"""What each flag and problem means to whoever wrote the log, and what to do: a sentence each."""

_UNREADABLE = "unreadable-"  # … and the name of a source, or of a site's pattern

FLAGS = {  # of points
    "naive-clock": "its times name no zone, so the node's is taken: nothing to do, or print times with a "
    "zone",
    "guessed-zone": "its times name no zone, and only the records themselves say which it is: print times "
    "with one",
    "future": "records claim a later time than the one at which they were on disk: check the clock and "
    "the zone",
    "backdated": "records claim a time at which they were not in the file yet: write each when it happens, "
    "and do not copy an older log into a job's",
    "bulk": "most records came at once, late in what they tell of: log while the training runs, unbuffered",
    "rewritten": "the file became shorter or was written anew during the run: append to a log",
    "inode-changed": "another file took its name during the run: append to a log, and rotate none",
    "step-back": "the counter fell, as in a resume or a second training: go on counting after a resume",
    "epoch": "only epochs are told, counted in millionths: log the step, and what lies between is seen, too",
    "weak": "a progress bar, or a checkpoint's name: it speaks only for a run that has no better log",
    "unplaced": "rows of a database: their own times are all there is to place them; log to a file as well",
}

_OPENING = {
    "foreign-owner": "only files of the job's own user are read: let the job write it, not somebody else",
    "no-owner": "whose job it is was not known, so nothing was opened; the site's admin sees why in the "
    "journal",
    "no-path": "the name is no full path, which nobody can open: name it from / on",
    "not-changed": "the run wrote nothing to the file that it declared: check the path behind progress=",
    "not-opened": "the system did not let the owner open it: check the path and the modes of its folders",
    "not-regular": "it is a pipe, a device or a folder, of which nothing can be read later: log to a file",
    "opener-died": "the process that opens files ended early, which is a fault of ours or of memory: tell "
    "the admin",
    "opener-timeout": "a file system did not answer: nothing to do but to log elsewhere, if it stays so",
    "root-run": "what root's own jobs write is not read: run trainings as a user",
    "sparse": "the file is a large hole with almost nothing on disk, and is not read: write a log from "
    "its start",
    "symlink": "links are not followed: name the file that it leads to",
    "walk": "the work directory could not be looked through: declare the log with progress= at submit",
    "walk-capped": "the work directory holds too much to be looked through: declare the log with "
    "progress= at submit",
}
_READING = {
    "broken-blocks": "parts of the file are damaged and were left out: nothing to do, if it is rare",
    "broken-records": "parts of the file are damaged and were left out: nothing to do, if it is rare",
    "capped": "the file is larger than what is read, so a part was left out: log less often, or into "
    "several files",
    "impossible-steps": "records with a negative or impossible step are left out: log the step as it is "
    "counted",
    "length-bomb": "a record claims an impossible length, so the file is damaged: nothing behind it was read",
    "long-lines": "lines longer than 4,096 bytes were read to there: print the step near a line's begin",
    "many-records": "there are more records than are kept, so they were thinned evenly: nothing to do",
    "oversized": "what was read is more than may be told: log to a plainer or smaller file",
    "parser-died": "reading this file took too much memory or time, or failed: log to a plainer or "
    "smaller file",
    "read-error": "the system gave an error while it was read: check the file system",
    "reader-failed": "the reading failed, which is a fault of ours: tell the admin",
    "run-capped": "the run's files together are larger than what is read: log less often, or declare one "
    "file",
    "skipped-large-records": "images, graphs and other large records were stepped over: nothing to do",
    "timeout": "reading took too long, so a part was left out: log less often, or into a smaller file",
    "torn-tail": "the file ends within a record: it is still being written, or was cut; nothing to do",
    "writer-restarts": "the log's writer was made anew, as a resume does it: nothing to do",
    "write-ahead": "the database keeps its newest rows beside it, where they are not read: log to a file "
    "as well",
}
_CONTENT = {
    "bad-counter": "these rows hold no whole number where the counter stands: write 12 or 12.0",
    "data-rows": "the counter jumps up and down as in a table of data, so no row is believed: "
    "log a counter that climbs, beside a loss or a time",
    "many-clocks": "it holds more counters, ranks or bars than are followed: log one training to a file, "
    "on rank 0",
    "many-keys": "more metrics are logged than are followed: nothing to do, if the step is among the first",
    "many-tags": "more metrics are logged than are followed: nothing to do, if the training's are among "
    "the first",
    "many-writers": "several processes write this log, so more or fewer steps are counted than were made: "
    "log on rank 0 alone, with srun --label, or to a file for each training",
    "no-clock": "its times move unlike any clock and are left out; nothing to do, or print the time of "
    "each record",
    "no-history": "the checkpoint's state holds no history of steps: set logging_steps",
    "no-progress": "nothing in it tells how far a training is: see below",
    "no-step": "records without a step cannot be placed: log the step with each metric",
    "open-quote": "a quoted cell is not closed, so these rows are left out: close it",
    "other-loops": "loops of another length were taken for evaluations: if they train, print one counter "
    "through all",
    "ragged-rows": "these rows have more or fewer cells than the heading and are left out: keep the "
    "columns as they are",
    "unfit-rows": "too many rows do not fit the heading, so none is believed: write one heading, and rows "
    "that fit",
    "unknown-format": "it is in no format that is read, such as a configuration or a picture; a log is: "
    "see below",
    "unread-counter": "its counter is printed in a way that is not read: print whole plain numbers, such "
    "as 12345",
}
_MODELS = {  # of a model's size, by its checkpoint's headers or the log's words
    "bad-weights": "a safetensors file's header does not fit it, so the model's size is not known: nothing "
    "to do, if a save was cut off",
    "empty-weights": "tensors of the checkpoint hold nothing, as where ZeRO-3 does not gather them, so the "
    "model's size is not known: gather them",
    "few-shards": "files of the newest checkpoint's model are missing, so its size is not known: save all of "
    "them",
    "old-weights": "the model's files are older than the run, so they tell nothing of it: nothing to do",
    "packed-weights": "the checkpoint's weights are quantised, so their number is not known: print the "
    "model's parameters",
    "several-models": "a checkpoint holds several models, and which is trained is not known: print the "
    "trained one's parameters",
    "unlike-sizes": "the log tells several sizes of its model, so none is believed: print the total "
    "parameters once",
    "weights-unread": "there are more checkpoints or files than are looked at for the model's size: nothing "
    "to do",
}
_RUNS = {  # of a log and its run
    "before-run": "records older than the run are left out: nothing to do, if the file was there before",
    "changed-after-end": "the file was changed after the run's end: leave a job's logs as they are",
    "empty-checkpoint": "checkpoints with almost nothing in them do not count: nothing to do, if a save "
    "was cut off",
    "many-checkpoints": "there are more checkpoints than are told, so some stand for all: nothing to do",
    "neighbour": "another run's processes write this log: give each run a file of its own",
    "other-job": "the file says that another Slurm job wrote it: give each run a folder of its own",
    "other-writer": "the file's name says that a process outside the run wrote it: give each run a folder "
    "of its own",
    "same-checkpoint": "several names lead to one file, which counts once: nothing to do",
    "shared-log": "several runs of one time have this file: give each a file and folder of its own",
}
PROBLEMS = {**_OPENING, **_READING, **_CONTENT, **_MODELS, **_RUNS}


def slug_of(problem: str) -> str:
    """The word that a problem begins with: `slug: words`, or the slug alone."""
    return problem.partition(":")[0]


def meaning_of(slug: str) -> str | None:
    """A sentence on a flag or a problem; null: an unknown one."""
    if slug.startswith(_UNREADABLE):
        return "lines look like this format's and hold no number that can be used: print whole plain numbers"
    return PROBLEMS.get(slug) or FLAGS.get(slug)
