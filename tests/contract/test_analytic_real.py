"""Real trainings of known size and boards lie far from impossible, and within the band.

Sizes, boards and lengths of sequences as the logs and the system descriptions beside them have them; where a
log's own word on its size is read, it is that one. None of the logs counts tokens in a way that is read: each
record's steps or samples are multiplied here.
"""

import itertools
from typing import NamedTuple

import pytest

from slurm_guard.audit.analytic import LEAST_SHARE, MOST_SHARE, RECOMPUTED, THROUGH
from slurm_guard.audit.checks import impossible_rate
from slurm_guard.audit.peaks import peak_of
from slurm_guard.audit.sustained import faster_than
from slurm_guard.audit.track import Arc
from tests.contract.test_conformance import read

pytestmark = pytest.mark.shared_data


class Real(NamedTuple):
    """A training: tokens in one unit of its counter, parameters in millions, boards."""

    path: str
    unit: str
    tokens: int
    params_m: float
    board: str
    n_gpus: int


def lora(path: str, which: tuple[int, ...], board: str, n_gpus: int) -> list[Real]:
    """Llama 2 70B with adapters, sequences of 8,192 tokens."""
    return [
        Real(f"{path}/llama2_70b_lora/{system}result_{k}.txt", "samples", 8192, 70_000, board, n_gpus)
        for path, system in [path.split(" ")]
        for k in which
    ]


H100, V100 = "NVIDIA H100 80GB HBM3", "Tesla V100-SXM2-32GB"
RESULTS, SHELF = "progress/mlperf_v5.0", "progress/bigscience_slurm_out"
REAL = [
    *lora("paired/mlperf_power ", (0, 1, 2), "NVIDIA B200", 8),
    *lora(f"{RESULTS} Dell__1xXE7745x4H200-NVL-141GB/", (0, 1, 2), "NVIDIA H200 NVL", 4),
    *lora(f"{RESULTS} Supermicro__AS-4125GS-TNHR2-LCC/", (1, 2, 10), "NVIDIA H200", 8),
    *lora(f"{RESULTS} NVIDIA__tyche_ngpu512_ngc25.04_nemo/", (0, 1, 2), "NVIDIA GB200", 512),
    Real(f"{SHELF}/meg_ds_3d_gpt2_perf_n16-ds-on.out", "step", 1024 * 1024, 52_000, V100, 64),
    # The boards are not named; one of those that do that many tokens a second.
    Real("progress/olmo/OLMo-150M-tied-emb-1000.train.log", "step", 128 * 4096, 151.9, H100, 1),
    Real("progress/olmo/OLMo-1B-grad-provenance-1000.train.log", "step", 8 * 4096, 1176.8, H100, 1),
]


def claims(real: Real) -> list[Arc]:
    """Tokens between neighbouring records by the log's own clock, or by what it says a step took."""
    marks = [m for m in read(real.path)[1] if m.phase == "train"]
    found: list[Arc] = []
    now = 0.0
    for a, b in itertools.pairwise([m for m in marks if getattr(m, real.unit) is not None]):
        gain = getattr(b, real.unit) - getattr(a, real.unit)
        told = a.at is None or b.at is None
        length = (b.took_s or 0.0) * gain if told else (b.at or 0.0) - (a.at or 0.0)
        if gain > 0 and length > 0:
            found.append(Arc(now, now + length, float(gain * real.tokens), None))
            now += length
    return found


@pytest.mark.parametrize("real", REAL, ids=lambda real: real.path)
def test_a_real_training_is_neither_beyond_its_gpus_nor_below_a_hundredth_of_them(real: Real) -> None:
    peak, claimed = peak_of(real.board), claims(real)
    assert peak is not None
    assert len(claimed) >= 5
    said = read(real.path)[0].params
    assert said is None or said / 1e6 == pytest.approx(real.params_m, rel=0.05)
    needs = THROUGH * 1e6 * real.params_m  # none of them has experts
    most = real.n_gpus * peak.most

    tokens_s = sum(a.units for a in claimed) / claimed[-1].until_at

    assert faster_than(claimed, (0.0, 1e9), impossible_rate.CHECK.params.margin * most / needs) is None
    # At full power, so that the band holds it at half of it as well.
    assert needs * tokens_s < MOST_SHARE * most
    assert needs * tokens_s > LEAST_SHARE * real.n_gpus * peak.dense * THROUGH / RECOMPUTED
