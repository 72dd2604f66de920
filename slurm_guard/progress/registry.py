"""Every progress source, in the order in which they are asked."""

from collections.abc import Sequence

from slurm_guard.progress.amber import AmberLines
from slurm_guard.progress.clearml import ClearmlSource
from slurm_guard.progress.csvlog import CsvSource
from slurm_guard.progress.database import DatabaseSource
from slurm_guard.progress.deepspeed import DeepspeedSource
from slurm_guard.progress.dvclive import DvcliveSource
from slurm_guard.progress.espresso import EspressoLines
from slurm_guard.progress.gromacs import GromacsLines
from slurm_guard.progress.guard import GuardSource
from slurm_guard.progress.hf import HfLines
from slurm_guard.progress.hfstate import HfStateSource
from slurm_guard.progress.jsonl import JsonLines
from slurm_guard.progress.keras import KerasLines
from slurm_guard.progress.keyvalue import KeyValueLines
from slurm_guard.progress.lammps import LammpsLines
from slurm_guard.progress.megatron import MegatronLines
from slurm_guard.progress.mlflow import MlflowSource
from slurm_guard.progress.mllog import MllogLines
from slurm_guard.progress.monitor import MonitorLines
from slurm_guard.progress.namd import NamdLines
from slurm_guard.progress.openmm import OpenmmLines
from slurm_guard.progress.patterns import makers_of
from slurm_guard.progress.protocol import ProgressSource
from slurm_guard.progress.text import TextSource
from slurm_guard.progress.tfevents import TfeventsSource
from slurm_guard.progress.tqdm import TqdmLines
from slurm_guard.progress.trainers import TrainerLines
from slurm_guard.progress.vasp import VaspLines
from slurm_guard.progress.vllm import VllmLines
from slurm_guard.progress.wandb import WandbSource
from slurm_guard.progress.wandbmeta import WandbMetaSource
from slurm_guard.progress.wrf import WrfLines

GUARD = GuardSource()
# The named formats before the generic ones: the first line source that claims a line keeps it.
SIMULATIONS = (
    GromacsLines, LammpsLines, OpenmmLines, NamdLines, AmberLines, EspressoLines, VaspLines, WrfLines,
)  # fmt: skip
TRAININGS = (MegatronLines, MllogLines, VllmLines, HfLines, KerasLines, TrainerLines)
TEXT = TextSource("text", (*TRAININGS, *SIMULATIONS, MonitorLines, JsonLines, KeyValueLines, TqdmLines))
SOURCES: tuple[ProgressSource, ...] = (
    TfeventsSource(), WandbSource(), WandbMetaSource(), HfStateSource(), MlflowSource(), DeepspeedSource(),
    ClearmlSource(), DvcliveSource(), DatabaseSource(), GUARD, CsvSource(), TEXT,
)  # fmt: skip

# How well a source's clock is known, for the choice between two that speak of the same bytes (judgement).
STRENGTH = {
    "guard": 1.0,
    "megatron": 0.9,
    "mllog": 0.9,
    "tfevents": 0.9,
    "wandb": 0.9,
    "mlflow": 0.9,
    "clearml": 0.9,
    "dvclive": 0.9,
    "mlflowdb": 0.9,
    "trackio": 0.9,
    "deepspeed": 0.9,
    "hfstate": 0.85,
    "hf": 0.8,
    "csv": 0.8,
    "monitor": 0.8,
    **{lines.name: 0.9 for lines in SIMULATIONS},
    "trainers": 0.8,
    "jsonl": 0.8,
    "keras": 0.8,
    "keyvalue": 0.7,
    "vllm": 0.5,
    "checkpoint": 0.3,  # no file that is read: names of files
    "tqdm": 0.1,
}


def choose(head: bytes, path: str, how: str, patterns: Sequence[str] = ()) -> ProgressSource | None:
    """The surest source for a file; null when none claims it. `how` "guard": made by the prolog.

    `patterns`, the site's own, are tried before the text formats that we know.
    """
    if how == "guard":
        return GUARD
    best: ProgressSource | None = None
    surest = 0.0
    for source in SOURCES:
        sure = source.claims(head, path)
        if sure > surest:
            best, surest = source, sure
    return TEXT.extended(makers_of(patterns, frozenset(STRENGTH))) if patterns and best is TEXT else best
