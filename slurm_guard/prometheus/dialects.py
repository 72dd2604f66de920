"""Names under which exporters tell of GPUs, with their units: the one place that knows them.

Sources: NVIDIA/dcgm-exporter (etc/default-counters.csv, internal/pkg/transformation/hpc.go); jobstats
(docs/setup/gpu_node_scripts.md, docs/setup/summaries.md: plazonic/nvidia_gpu_prometheus_exporter); CEEMS
(exporter's ceems_compute_unit_gpu_index_flag; its own GPU values are dcgm-exporter's, with UUID as gpuuuid).
"""

from dataclasses import dataclass

DCGM, JOBSTATS, CEEMS = "dcgm-exporter", "jobstats", "CEEMS"
SOURCES = (DCGM, JOBSTATS)  # whose values are taken, the better one first

# DCGM's words for "no value", as doubles; those of its integers lie above every bound below.
BLANK_FP64, N_BLANKS = 140_737_488_355_328.0, 16


@dataclass(frozen=True, slots=True)
class Metric:
    """A series of values. `scale` makes the column's unit; more than `most` of it is no reading."""

    name: str
    source: str
    field: str
    scale: float
    most: float


# field: unit. busy, sm, tensor, int, dram: share 0..1; power, limit: mW; energy: mJ, a counter; mem: MiB.
# Bounds: what no board draws or has (20 kW, 16 TiB). 1.4e14 mJ are six years at 700 W. Judgement.
_SHARE, _MW, _MIB = 1.0, 2e7, float(1 << 24)
VALUES: tuple[Metric, ...] = (
    Metric("DCGM_FI_DEV_GPU_UTIL", DCGM, "busy", 0.01, _SHARE),
    Metric("DCGM_FI_DEV_POWER_USAGE", DCGM, "power", 1000.0, _MW),
    Metric("DCGM_FI_DEV_TOTAL_ENERGY_CONSUMPTION", DCGM, "energy", 1.0, 1.4e14),
    Metric("DCGM_FI_DEV_FB_USED", DCGM, "mem", 1.0, _MIB),
    Metric("DCGM_FI_DEV_POWER_MGMT_LIMIT", DCGM, "limit", 1000.0, _MW),
    Metric("DCGM_FI_PROF_SM_ACTIVE", DCGM, "sm", 1.0, _SHARE),
    Metric("DCGM_FI_PROF_PIPE_TENSOR_ACTIVE", DCGM, "tensor", 1.0, _SHARE),
    Metric("DCGM_FI_PROF_PIPE_INT_ACTIVE", DCGM, "int", 1.0, _SHARE),
    Metric("DCGM_FI_PROF_DRAM_ACTIVE", DCGM, "dram", 1.0, _SHARE),
    Metric("nvidia_gpu_duty_cycle", JOBSTATS, "busy", 0.01, _SHARE),
    Metric("nvidia_gpu_power_usage_milliwatts", JOBSTATS, "power", 1.0, _MW),
    Metric("nvidia_gpu_memory_used_bytes", JOBSTATS, "mem", 1 / (1 << 20), _MIB),
)
# Where nothing was told of the first, the second is asked for: newer CEEMS has the instant power alone.
INSTEAD = {
    "DCGM_FI_DEV_POWER_USAGE": Metric("DCGM_FI_DEV_POWER_USAGE_INSTANT", DCGM, "power", 1000.0, _MW),
    "DCGM_FI_DEV_GPU_UTIL": Metric("DCGM_FI_PROF_GR_ENGINE_ACTIVE", DCGM, "busy", 1.0, _SHARE),
}


@dataclass(frozen=True, slots=True)
class Holding:
    """A series that says whose a GPU is. `label`: the job's number stands there; empty: it is the value."""

    name: str
    source: str
    label: str


HOLDINGS: tuple[Holding, ...] = (
    Holding("nvidia_gpu_jobId", JOBSTATS, ""),
    Holding("ceems_compute_unit_gpu_index_flag", CEEMS, "uuid"),
)

# Labels, the first that fits counts. A job's number on the values themselves: dcgm-exporter writes hpc_job
# (--hpc-job-mapping-dir), jobstats' exporter jobid (since September 2025).
NODE_LABELS = ("Hostname", "hostname", "instance", "nodename", "host")
GPU_LABELS = ("UUID", "gpuuuid", "uuid")
INDEX_LABELS = ("gpu", "minor_number", "ordinal", "index")
MODEL_LABELS = ("modelName", "name")
JOB_LABELS = {DCGM: "hpc_job", JOBSTATS: "jobid"}
TARGET_LABELS = ("job", "instance", "prometheus", "prometheus_replica", "replica")
MIG_LABEL = "GPU_I_ID"
