"""The tables that have a few rows a run or node and night: marks, streams, processes, connections, boards."""

import polars as pl

from slurm_guard import __version__
from slurm_guard.lake.schema import TABLES
from slurm_guard.simulate.scale.draw import Seed
from slurm_guard.simulate.scale.plan import BEGIN_AT, DAY_S, Size
from slurm_guard.simulate.scale.stints import BOOT_S, CLUSTER, WINDOW_S
from slurm_guard.simulate.scale.windows import rank_pid, ticks

SEGMENT_S = 3600.0
PROCESS_AFTER_S = 4.0
FIRST_UID = 20_000


def select(table: str, rows: pl.DataFrame, mine: dict[str, pl.Expr]) -> pl.DataFrame:
    """The table's columns; what is not given is null."""
    given = {"cluster": pl.lit(CLUSTER), "node": pl.col("node_name"), "run": pl.col("run"), **mine}
    return rows.select(
        (given[name].cast(dtype) if name in given else pl.lit(None, dtype)).alias(name)
        for name, dtype in TABLES[table].items()
    )


def uid() -> pl.Expr:
    """The user's number."""
    return FIRST_UID + pl.col("user_no")


def node_list() -> pl.Expr:
    """As Slurm writes it: one name, or a range in brackets."""
    first, last = (
        (pl.col(name) + add).cast(pl.String).str.zfill(5)
        for name, add in (("first", pl.lit(1)), ("first", pl.col("n_nodes")))
    )
    return (
        pl.when(pl.col("n_nodes") == 1)
        .then(pl.format("gpu{}", first))
        .otherwise(pl.format("gpu[{}-{}]", first, last))
    )


def tickets(held: pl.DataFrame) -> pl.DataFrame:
    """One a run, from the prolog a second before the start."""
    home = pl.format("/home/{}/{}", "user", "name")
    mine = {
        "at": pl.col("ticket_at"),
        "job_id": pl.col("job_id"),
        "boot_id": pl.col("boot_id"),
        "uid": uid(),
        "gid": uid(),
        "user": pl.col("user"),
        "account": pl.col("account"),
        "partition": pl.col("model"),
        "gpus": pl.col("slots"),
        "nodelist": node_list(),
        "restart_count": pl.lit(0),
        "slurm_start_at": pl.col("start"),
        "work_dir": home,
        "stdout": pl.concat_str(home, pl.lit("/slurm.out")),
        "progress_path": pl.when(pl.col("how") == "guard").then(
            pl.format("/var/spool/slurm-guard/client/{}.{}/progress.jsonl", "job_id", pl.col("start") * 1000)
        ),
        "why": pl.lit('{"net":"not simulated","sluid":"not in this release of Slurm"}'),
        "boot_s": pl.col("ticket_at") - (BEGIN_AT - BOOT_S),
    }
    return select("tickets", held, mine)


def ends(held: pl.DataFrame) -> pl.DataFrame:
    """One a run that ended."""
    mine = {
        "at": pl.col("end"),
        "job_id": pl.col("job_id"),
        "boot_id": pl.col("boot_id"),
        "uid": uid(),
        "restart_count": pl.lit(0),
        "alive": pl.lit("[]"),
        "why": pl.lit('{"exit_code":"not in the epilog\'s environment","net":"not simulated"}'),
        "boot_s": pl.col("end") - (BEGIN_AT - BOOT_S),
        "slurm_start_at": pl.col("start"),
    }
    return select("ends", held, mine)


def streams(held: pl.DataFrame, nodes: pl.DataFrame, size: Size) -> pl.DataFrame:
    """A row for each hourly segment of the runs' streams and of the nodes' own: the table's columns with
    the key of its stream. `nodes`: as boots() has them."""
    own = nodes.select(
        "node_name",
        "boot_id",
        pl.lit(None, pl.String).alias("run"),
        (pl.col("node") * 2**30).cast(pl.UInt64).alias("stream"),
        pl.lit(BEGIN_AT).alias("seen_at"),
        pl.lit(size.until_at).alias("ended"),
        pl.lit(8, pl.Int64).alias("n_gpus"),
        pl.lit(value=False).alias("over"),
    )
    of_runs = held.select(
        "node_name",
        "boot_id",
        "run",
        (pl.col("job_id") * 8192 + pl.col("node") - pl.col("first") + 2**50).cast(pl.UInt64).alias("stream"),
        "seen_at",
        "ended",
        pl.col("slots").list.len().cast(pl.Int64).alias("n_gpus"),
        (pl.col("end") <= size.until_at).alias("over"),
    )
    n = ((pl.col("ended") - pl.col("seen_at")) / SEGMENT_S).ceil().cast(pl.Int64)
    rows = (
        pl.concat([own, of_runs])
        .with_columns(pl.int_ranges(0, n).alias("seq"))
        .explode("seq")
        .drop_nulls("seq")
    )
    return rows.with_columns(
        (pl.col("seen_at") + SEGMENT_S * pl.col("seq")).alias("opened_at"),
        pl.min_horizontal(pl.col("seen_at") + SEGMENT_S * (pl.col("seq") + 1), "ended").alias("closed_at"),
        _digest(pl.col("seq"), size).alias("sha256"),
        pl.when(pl.col("seq") > 0).then(_digest(pl.col("seq") - 1, size)).alias("prev_sha256"),
    ).with_columns(
        (((pl.col("closed_at") - pl.col("opened_at")) / WINDOW_S).ceil() * pl.col("n_gpus"))
        .cast(pl.Int64)
        .alias("n")
    )


def _digest(seq: pl.Expr, size: Size) -> pl.Expr:
    """64 digits for a segment: nothing was digested, the chain holds all the same."""
    key = Seed(size.seed).bits(pl.col("stream"), "stream")
    return Seed(size.seed).digits(key // 65536 + seq.cast(pl.UInt64), "segment", 64)


def segments(rows: pl.DataFrame) -> pl.DataFrame:
    """The table `segments` of rows of streams()."""
    last = pl.col("closed_at") == pl.col("ended")
    why = pl.when(last & pl.col("over")).then(pl.lit("run-ended")).otherwise(pl.lit("rotate"))
    same = ("boot_id", "seq", "prev_sha256", "sha256", "opened_at", "closed_at", "n")
    mine = {name: pl.col(name) for name in same}
    mine |= {"reason": why, "window_s": pl.lit(WINDOW_S), "sample_interval_s": pl.lit(1.0)}
    return select("segments", rows, {**mine, "sampler": pl.lit(__version__)})


def seals(rows: pl.DataFrame) -> pl.DataFrame:
    """The table `seals`: of runs that ended, with all their segments."""
    entry = pl.format('[{},{},"{}"]', "seq", "n", "sha256")
    listed = (
        rows.filter(pl.col("over"))
        .group_by("run", maintain_order=True)
        .agg(
            pl.col("node_name").first(),
            pl.col("ended").first(),
            pl.len().alias("n_segments"),
            pl.col("n").sum().alias("n_windows"),
            entry.str.join(",").alias("list"),
        )
    )
    mine = {
        "at": pl.col("ended"),
        "ended_by": pl.lit("epilog"),
        "n_segments": pl.col("n_segments"),
        "n_windows": pl.col("n_windows"),
        "segments": pl.format("[{}]", "list"),
        "mono_s": pl.col("ended") - (BEGIN_AT - BOOT_S),
    }
    return select("seals", listed, mine)


def processes(held: pl.DataFrame, boards: pl.DataFrame, size: Size) -> pl.DataFrame:
    """Each job's process on each GPU when it was first seen and when it was gone, and what is planted."""
    each = (
        held.explode("slots")
        .rename({"slots": "index"})
        .join(boards.select("node", "index", "gpu"), on=["node", "index"], maintain_order="left")
    )
    script = pl.when(pl.col("logs")).then(pl.lit("train.py")).otherwise(pl.format("{}.py", "kind"))
    own = each.with_columns(
        pl.col("run").alias("whose"),
        rank_pid(pl.col("index")).alias("pid"),
        (pl.col("start") + PROCESS_AFTER_S).alias("born_at"),
        uid().alias("uid"),
        rank_pid(pl.lit(15)).alias("ppid"),
        pl.lit(["torchrun", "bash", "slurmstepd"], pl.List(pl.String)).alias("parents"),
        pl.lit("/usr/bin/python3.11").alias("exe"),
        pl.lit([], pl.List(pl.String)).alias("exe_flags"),
        pl.format("/usr/bin/python3.11 -u {}", script).alias("cmdline"),
    )
    foreign = pl.col("scenario") == "foreign"
    second = each.filter(pl.col("scenario").is_in(["beside", "foreign"])).with_columns(
        pl.when(foreign).then(None).otherwise("run").alias("whose"),
        rank_pid(pl.col("index") + 16 * 100_003).alias("pid"),
        (pl.col("start") + pl.col("onset_s").floor()).alias("born_at"),
        pl.when(foreign).then(uid() + 7).otherwise(uid()).alias("uid"),
        rank_pid(pl.lit(14)).alias("ppid"),
        pl.lit(["bash", "slurmstepd"], pl.List(pl.String)).alias("parents"),
        pl.lit("/tmp/.cache/x/python").alias("exe"),  # noqa: S108  # a word in a table, no file of ours
        pl.lit(["tmp"], pl.List(pl.String)).alias("exe_flags"),
        pl.lit("python train.py").alias("cmdline"),
    )
    both = pl.concat([own, second])
    both = both.filter(pl.col("born_at") < pl.col("ended")).with_columns(
        pl.max_horizontal("born_at", "seen_at").alias("first_at")
    )
    over = both.filter(pl.col("end") <= size.until_at)
    seen = [
        both.with_columns(pl.col("first_at").alias("last_at"), pl.lit(value=False).alias("gone")),
        over.with_columns(pl.col("ended").alias("last_at"), pl.lit(value=True).alias("gone")),
    ]
    return _told(pl.concat(seen))


def _told(rows: pl.DataFrame) -> pl.DataFrame:
    inside = pl.col("whose").is_not_null()
    group = pl.format("/system.slice/slurmstepd.scope/job_{}/step_batch/user/task_0", "job_id")
    outer = pl.format("/user.slice/user-{}.slice/session-3.scope", "uid")
    mine = {
        "run": pl.col("whose"),
        "how": pl.when(inside).then(pl.lit("cgroup")),
        "start_ticks": ticks(pl.col("born_at")),
        "start_at": pl.col("born_at"),
        "comm": pl.lit("python"),
        "cgroup": pl.when(inside).then(group).otherwise(outer),
        "gpus": pl.concat_list("gpu"),
        "first_seen_at": pl.col("first_at"),
        "last_seen_at": pl.col("last_at"),
        "mono_s": pl.col("last_at") - (BEGIN_AT - BOOT_S),
    }
    same = ("pid", "uid", "ppid", "parents", "exe", "exe_flags", "cmdline", "gone")
    return select("processes", rows, {**{name: pl.col(name) for name in same}, **mine})


def flows(held: pl.DataFrame, size: Size) -> pl.DataFrame:
    """The connections of jobs over several nodes to the first one: seen early, and again at the end."""
    some = held.filter(
        (pl.col("n_nodes") > 1) & (pl.col("node") != pl.col("first")) & (pl.col("kind") != "notebook")
    )
    some = some.with_columns((pl.col("seen_at") + 30.0).alias("first_at"))
    some = some.filter(pl.col("first_at") < pl.col("ended"))
    over = some.filter(pl.col("end") <= size.until_at)
    rows = pl.concat(
        [
            some.with_columns(pl.col("first_at").alias("last_at"), pl.lit(value=False).alias("gone")),
            over.with_columns(pl.col("ended").alias("last_at"), pl.lit(value=True).alias("gone")),
        ]
    )
    here, there = _address(pl.col("node")), _address(pl.col("first"))
    bytes_out = ((pl.col("last_at") - pl.col("first_at") + 1.0) * 2_000_000).cast(pl.Int64)
    mine = {
        "pid": rank_pid(pl.col("slots").list.first()),
        "exe": pl.lit("/usr/bin/python3.11"),
        "proto": pl.lit("tcp"),
        "local": pl.format("{}:{}", here, pl.col("job_id") % 20_000 + 40_000),
        "peer": pl.format("{}:29500", there),
        "state": pl.lit("ESTABLISHED"),
        "inode": pl.col("job_id") * 16 + pl.col("node"),
        "first_seen_at": pl.col("first_at"),
        "last_seen_at": pl.col("last_at"),
        "gone": pl.col("gone"),
        "mono_s": pl.col("last_at") - (BEGIN_AT - BOOT_S),
        "uid": uid(),
        "cookie": pl.col("job_id") * 16_384 + pl.col("node"),
        "opened": pl.lit(value=True),
        "out_b": bytes_out,
        "in_b": bytes_out,
        "min_rtt_us": pl.lit(40),
    }
    return select("flows", rows, mine)


def _address(node: pl.Expr) -> pl.Expr:
    return pl.format("10.20.{}.{}", node // 250, node % 250 + 1)


def gpus(boards: pl.DataFrame, nodes: pl.DataFrame) -> pl.DataFrame:
    """Each board as the node's sampler found it when the first night began."""
    rows = boards.join(nodes, on="node", maintain_order="left")
    mine = {
        "run": pl.lit(None, pl.String),
        "at": pl.lit(BEGIN_AT),
        "mono_s": pl.lit(BOOT_S),
        "gpu": pl.col("gpu"),
        "gpu_index": pl.col("index"),
        "minor": pl.col("index"),
        "pci": pl.format("00000000:{}:00.0", (pl.col("index") * 10 + 10).cast(pl.String).str.zfill(2)),
        "model": pl.col("board"),
        "driver": pl.lit("580.95.05"),
        "answers": pl.lit([], pl.List(pl.String)),
        "why": pl.lit("{}"),
    }
    return select("gpus", rows, mine)


def day_of(at: pl.Expr) -> pl.Expr:
    """The first night is day 0."""
    return ((at - BEGIN_AT) / DAY_S).floor().cast(pl.Int64)
