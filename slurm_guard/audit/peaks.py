"""How much arithmetic a GPU can do: peak rates by the model's name, as its vendor states them.

`dense` is the 16-bit rate of the tensor cores (BF16 or FP16, no sparsity): what shares of peak are counted
in. `most` is the highest rate of any mode in which networks are trained or served (INT8 and FP8, FP4 on
Blackwell) with the 2:4 sparsity that data sheets count twice: nothing that the board does for a network is
faster. Documented: NVIDIA's data sheets of the named boards (TFLOP/s and TOPS; "with sparsity" halved for
`dense`). On Ampere `most` is also the dense INT4 rate. Boards that are not listed are not known, and nothing
is said of their runs.
"""

import re
from dataclasses import dataclass

T = 1e12


@dataclass(frozen=True, slots=True)
class Peak:
    """Operations a second of one board, or of one instance of MIG."""

    dense: float
    most: float


# Names as NVML gives them, the first that matches; the vendor's family words before them do not matter.
_BOARDS: tuple[tuple[str, float, float], ...] = (
    # Blackwell. HGX B300/GB300 and DGX B200/GB200 NVL72 data sheets, per GPU; FP4 with sparsity.
    ("GB300", 2500, 20_000),
    ("B300", 2250, 18_000),
    ("GB200", 2500, 20_000),
    ("B200", 2250, 18_000),
    ("B100", 1750, 14_000),
    ("RTX PRO 6000", 504, 4000),  # Workstation, Server and Max-Q editions: the fastest of them
    ("RTX 5090", 419, 3352),  # 16-bit sums
    # Hopper. H100 data sheet (SXM, NVL), PCIe by its first edition; FP8 with sparsity. H800: the links
    # differ.
    ("H[18]00 NVL", 835, 3341),
    ("H[18]00 PCIe", 756, 3026),
    ("H[18]00", 989, 3958),
    ("GH200", 990, 3958),
    ("H200 NVL", 836, 3341),
    ("H200", 989, 3958),
    ("H20", 148, 592),
    # Ada. L4, L40, L40S, RTX 6000 Ada data sheets and the Ada white paper; FP8 with sparsity.
    ("L40S", 362, 1466),
    ("L40", 181, 724),
    ("L4", 121, 485),
    ("RTX 6000 Ada", 364, 1457),
    ("RTX 4090", 330, 1321),  # 16-bit sums
    # Ampere. A100, A30, A40, A10 data sheets, RTX A6000 and the GA102 white paper; INT8 with sparsity. A800
    # likewise.
    ("A[18]00", 312, 1248),
    ("A30", 165, 661),
    ("A40", 150, 599),
    ("A10", 125, 500),
    ("RTX A6000", 155, 619),
    ("RTX A5000", 111, 444),
    ("RTX 3090", 142, 569),  # 16-bit sums
    # Turing: T4 data sheet and the Turing white paper; INT8 dense twice, which is INT4. Volta has FP16 alone.
    ("T4", 65, 260),
    ("RTX [68]000", 130, 522),
    ("TITAN RTX", 130, 522),
    ("V100S?", 125, 130),  # the S: 130
    ("P100", 21, 21),  # no tensor cores
)
_KNOWN = tuple((re.compile(rf"\b{name}\b"), Peak(d * T, m * T)) for name, d, m in _BOARDS)
# Parts of boards and boards that share a name with a faster one.
_OTHER = re.compile(r"\bGRID\b|-\d+[ABCQ]\b|\bLaptop\b|\bMobile\b|\bMax-Q Design\b")
FASTEST = max(peak.most for _, peak in _KNOWN)  # for boards that nobody saw

# Compute slices of a whole board. Documented (NVIDIA MIG user guide).
_SLICES = (("A30", 4), ("RTX PRO", 4), ("", 7))


def peak_of(model: str, mig: str | None = None) -> Peak | None:
    """The peaks of a board by NVML's name of it, of an instance by its profile (`3g.40gb`); null: unknown."""
    name = model.partition(" MIG ")[0]
    if _OTHER.search(name):
        return None
    found = next((peak for pattern, peak in _KNOWN if pattern.search(name)), None)
    if found is None or mig is None:
        return found
    share = _share(name, mig)
    return None if share is None else Peak(found.dense * share, found.most * share)


def _share(name: str, mig: str) -> float | None:
    """What part of the board an instance has at most: by its compute slices, and one more where there are
    seven, as slices of an H100 have 16 to 26 of its 132 SMs (documented: NVIDIA MIG user guide)."""
    slices = re.match(r"(?:\d+c\.)?([1-7])g\.", mig)
    if slices is None:
        return None
    whole = next(n for prefix, n in _SLICES if re.search(rf"\b{prefix}", name))
    n = int(slices[1]) + (1 if whole == 7 else 0)
    return min(1.0, n / whole)
