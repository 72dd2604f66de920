"""What an audit leaves for later ones: rows of the history store. No I/O, no Polars.

Format history
    1  2026-11: `costs`, a row for each audited run and channel that has a cost of progress; `grounds` (it
       came later), a row for each audited run and training that it logged; `traces` (later still), a row for
       each audited run and log that has losses to be known by.

One class is one table; a field is a column of the type that its annotation says (`lake/history.py`).
"""

from dataclasses import dataclass

FORMAT = 1


@dataclass(frozen=True, slots=True)
class PastCost:
    """What one unit of progress cost one run in one channel, as the run itself showed it, and how far that
    can be relied on. Null: not known.

    `settings` and `code` are digests: of the command line without what differs between runs of one training
    (seeds, ports, names, folders), and of the program alone. Texts of users are not kept.
    """

    cluster: str
    run: str  # published id
    from_at: float  # the audited window
    until_at: float
    uid: int | None
    account: str
    partition: str
    gpu_model: str
    n_gpus: int
    n_nodes: int
    settings: str | None
    code: str | None
    source: str  # format of the log
    unit: str  # tokens, samples, step
    channel: str  # cycles, energy, busy
    theta: float  # centre of the run's cheap stretches
    rel_error: float
    rel_noise: float
    n_blocks: int
    mean_cost: float  # all work of training over all its units
    levels: str  # lasting rises of its cost, `counter:times` each (audit/levels.py); empty: none
    mem_mib: int | None  # of the run's processes on one GPU, at most
    coverage_pct: float
    verdict: str
    trust: str  # the log word
    families: str  # letters of the families that spoke against the run, but for the comparison with peers
    is_dear: bool  # its cost lay above what comparable runs leave room for
    is_split: bool  # other processes worked beside it
    hidden_share: float  # of its training work, what its own upper bound leaves open


@dataclass(frozen=True, slots=True)
class PastGround:
    """The counters that one training had passed by the end of one run's log, with the runs before it that it
    goes on from, and by what a later run may be known to go on with it. Null: not known.

    `log` and `line` are digests: of the track's name, and of user, job name, folder and command line without
    what differs between runs of one training. Texts of users are not kept.
    """

    cluster: str
    run: str  # published id
    from_at: float  # the audited window
    until_at: float
    uid: int | None
    job_id: int
    unit: str  # tokens, samples, step
    chain: str  # the training: the run that it began in, as far as is known, and its number there
    log: str
    line: str | None
    low: float  # the lowest counter that was seen
    high: float  # the highest
    last_at: float  # its last record in this run


@dataclass(frozen=True, slots=True)
class PastTrace:
    """What the losses of one log of one run are known by again (audit/traces.py). Null: not known.

    `log` and `recipe` are digests: of the log's name, and of the command line without folders and what
    differs between runs of one training. Neither losses nor texts of users are kept.
    """

    cluster: str
    run: str  # published id
    from_at: float  # the audited window
    until_at: float
    uid: int | None
    job_id: int
    log: str
    gpu_model: str
    n_gpus: int
    recipe: str | None
    n: int  # losses that reached the disk during the run
    prints: str  # hashes of stretches at even places, at most 64 words of 16 digits; `-`: too little in it
