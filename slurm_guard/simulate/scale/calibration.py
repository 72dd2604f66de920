"""What the wide nights are calibrated to: published aggregates of real clusters, and what is judgement.

Sources, by the names used below (docs/scale.md has the table):
    Helios   aggregates in HeliosArtifact `helios_cluster_summary.csv`, AcmeTrace `cluster_summary.csv`
    Philly   aggregates of the 82,248 jobs in ElasticFlow's copy of the trace, and AcmeTrace's row of it
    Seren    AcmeTrace `cluster_summary.csv`
    Alibaba  `spot_hourly_concurrency.csv` of the 2026 trace
    MLPerf   v5.0 logs; AlgoPerf measurements
Nothing here is known to the audit (rulings 27).
"""

from typing import NamedTuple

# Helios: 1,580,464 GPU jobs, 206 s at the median, 6,652 s in the mean: a log-normal of this spread has both.
RUN_MEDIAN_S = 206.0
RUN_SIGMA = 2.64
RUN_MAX_S = 50 * 86_400.0  # Helios: 4,320,009 s, which is 50 days
RUN_LEAST_S = 5.0  # judgement
# Jobs of s GPUs run s**this longer: a Helios job takes 49,351 GPU-seconds, twice what mean GPUs times mean
# run time make.
RUN_BY_SIZE = 0.25
# Helios: 78.0e9 GPU-seconds on 6,220 GPUs in its 181 days. (Alibaba's demand is 0.91 of capacity.)
ALLOCATED = 0.80
GAP_LEAST_S = 3.0  # a GPU is not given away within the second: judgement
# A night, where nothing else is asked for. Helios: 1,580,464 GPU jobs in 181 days on 6,220 GPUs.
JOBS_PER_GPU = 1.4

# GPUs of a job: the share of jobs. Helios: 1 at the median, 3.7 in the mean, 2,048 at most.
# Philly: 93 % ask for one. Rows from 16 on are judgement between those.
SIZES: tuple[tuple[int, float], ...] = (
    (1, 0.70),
    (2, 0.09),
    (4, 0.09),
    (8, 0.09),
    (16, 0.015),
    (32, 0.008),
    (64, 0.004),
    (128, 0.0016),
    (256, 0.0008),
    (512, 0.0003),
    (1024, 0.0001),
    (2048, 0.00005),
)
GIANT = 11_616  # accelerators of the largest single run in public logs (MLPerf v3.0 to v5.0)
GIANT_FROM = 2 * GIANT  # GPUs of the cluster from which on it has such a job: judgement
GIANT_AFTER_S = 4 * 3600.0  # it starts so long after the first night begins: judgement
LONGEST_AGE_S = 45 * 86_400.0  # the 50-day job is so old when the first night begins: judgement

# Helios: 22.1 % of GPU jobs cancelled with 39.4 % of GPU time, 15.5 % failed with 9.3 %. Two classes of
# length, short of an hour (86 % of jobs) and longer, reproduce all four.
SHORT_S = 3600.0
CANCELLED = (0.19, 0.40)
FAILED = (0.17, 0.08)
TIMED_OUT = (0.0, 0.06)  # judgement

# Helios: 0 s in the queue at the median, 862 s in the mean. Half start at once; the rest log-normal.
WAIT_NONE = 0.5
WAIT_MEDIAN_S = 190.0
WAIT_SIGMA = 2.05
BURST_S = 600.0  # Helios, Venus: 3,475 submits within ten minutes, of 9,990 that day
BURST_JOBS = 3_475
BURST_SHARE = 0.35  # at most this part of a night's jobs
BURST_SPREAD_S = 5 * 3600.0  # what is submitted at once starts within so long after: judgement

# What programs do. Shares of recipes: judgement (no trace says which jobs log progress). A recipe is one
# program of one user, run again and again.
RECIPES = 6  # a user
JOBS_PER_USER = 150.0
KINDS: tuple[tuple[str, float], ...] = (
    ("train", 0.80),
    ("opaque", 0.10),
    ("serve", 0.05),
    ("notebook", 0.05),
)
# MLPerf: from start to first progress 5 % of wall time at the median, 40 % at p90: log-normal.
STARTUP_MEDIAN, STARTUP_SIGMA = 0.05, 1.62
STARTUP_MOST, STARTUP_MOST_S = 0.8, 1800.0
# AlgoPerf: 2 % of wall time and more goes to evaluation; the upper end is judgement.
EVAL_SHARE = (0.0, 0.10)
EVAL_EVERY_S = (1200.0, 7200.0)
STEP_S = (0.4, 12.0)  # judgement, drawn evenly in the logarithm, as are the two below
LOG_EVERY_S = (60.0, 420.0)
LINES_LEAST, LOG_LEAST_S = 12.0, 10.0  # who tries something for minutes has it print often: judgement
TIME_NOISE = 0.01  # of the distance of two lines, in their times; MLPerf's records spread 2e-3 to 2e-2
# Guard (arXiv 2605.17879): 1 % from run to run on healthy fleets.
COST_SIGMA = 0.01
WOBBLE = (0.01, 0.05)  # the rate sways by so much, slowly: judgement
WOBBLE_S = (900.0, 6000.0)
STALL = (0.0, 0.25)  # of wall time lost to data and waiting: 71 % busy on a checkpointing node is published
METER_NOISE = 0.012  # of a window's dynamic energy: judgement, between 0.2 and 2.4 % of MLPerf's power runs


class Band(NamedTuple):
    """A GPU model's share of nodes (judgement) and how far its nodes reach in each size class."""

    key: str
    share: float


MODELS: tuple[Band, ...] = (
    Band("h100", 0.45),
    Band("a100", 0.25),
    Band("h200", 0.15),
    Band("b200", 0.10),
    Band("v100", 0.05),
)
GPUS_PER_NODE = 8

# Diversions, of trainings that are at least this long within the nights. Planted, not published: no trace
# has a labelled one.
PLANTED = 0.004
PLANTED_LEAST_S = 2.5 * 3600.0
SCENARIOS = ("beside", "tail", "foreign")
DIVERTED = (0.25, 0.55)  # of the GPU's work, from the onset on
ONSET = (0.25, 0.6)  # of the run's part within the nights
