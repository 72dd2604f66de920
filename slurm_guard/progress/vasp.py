"""VASP: electronic iterations (`DAV:`, `RMM:`) and ionic steps (`N F= …`) of OSZICAR and of stdout."""

import re

from slurm_guard.progress.climb import Climb
from slurm_guard.progress.protocol import Claim
from slurm_guard.progress.values import to_count

_SCF = re.compile(
    r"(?:DAV|RMM|CGA|CG |SDA|DMP|EIG|DIA|ROT):[ \t]{1,6}(\d{1,6})[ \t]{1,8}"
    r"(?:-?\d{0,6}\.\d{4,16}E[-+]\d{2,3}|\*{4,24})[-+ \t]",
    re.ASCII,
)
# `   1 F= -.52636024E+03 E0= …`, in dynamics `   1 T=   300. E= … F= … E0= … EK= …`
_IONIC = re.compile(
    r"[ \t]{0,8}(\d{1,9}) (?:T= {0,8}[\d.]{1,12} E= {0,4}[-+.\dE]{4,20} )?"
    r"F= {0,4}-?\d{0,6}\.\d{4,16}E[-+]\d{2,3} E0= ",
    re.ASCII,
)


class VaspLines:
    """The electronic iterations speak, counted through; a learnt force field has ionic steps only."""

    name = "vasp"
    needles: tuple[bytes, ...] = (
        b"DAV:", b"RMM:", b" F= ", b"CGA:", b"CG :", b"SDA:", b"DMP:", b"EIG:", b"DIA:", b"ROT:",
    )  # fmt: skip

    def __init__(self) -> None:
        self._climb = Climb()

    def read(self, text: str, offset: int) -> Claim | None:
        scf = _SCF.match(text)
        if scf is not None:
            return Claim(offset, "scf", step=self._climb.add(int(scf[1])))
        ionic = _IONIC.match(text)
        return None if ionic is None else Claim(offset, "ionic", step=to_count(ionic[1]))

    def settle(self, claims: list[Claim]) -> list[Claim]:
        return claims
