"""What one GPU's driver gives and what it refuses for good, probed by asking. pynvml is handed in."""

from __future__ import annotations

from slurm_guard.light import Any, Callable, NamedTuple

_NOT_SUPPORTED, _NO_PERMISSION, _FUNCTION_NOT_FOUND, _VERSION_MISMATCH = 3, 4, 13, 25  # nvml.h
_INVALID_ARGUMENT = 2
_LASTING = (_NOT_SUPPORTED, _NO_PERMISSION, _FUNCTION_NOT_FOUND, _VERSION_MISMATCH)
ALL_LINKS = 0xFFFFFFFF  # scope of a link's counter: the sum over all links (documented in nvml.h)

# Field values (NVML_FI_DEV_*): name here -> (id, scope). The byte counters avoid nvmlDeviceGetPcieThroughput,
# which blocks for 20 ms (documented).
FIELD_VALUES = {
    "power_average_mw": (185, 0),
    "power_inst_mw": (186, 0),
    "pcie_tx_b": (197, 0),
    "pcie_rx_b": (198, 0),
    "nvlink_tx_kib": (138, ALL_LINKS),  # DATA_TX, DATA_RX: without the protocol's own bytes
    "nvlink_rx_kib": (139, ALL_LINKS),
}


class Why(NamedTuple):
    """Why there is no value. `code` is NVML's; null: the library or its binding is too old for the symbol."""

    text: str
    code: int | None

    @property
    def lasting(self) -> bool:
        """Whether asking again cannot help while this driver is loaded."""
        return self.code is None or self.code in _LASTING


Ask = Callable[..., tuple[Any, Why | None]]


class FieldSet:
    """Asks for one GPU's fields and remembers lasting refusals, so that each costs one call per driver."""

    def __init__(self, nvml: Any, ask: Ask, handle: Any) -> None:
        self._nvml, self._ask, self._handle = nvml, ask, handle
        self.refused: dict[str, str] = {}

    def call(self, why: dict[str, str], name: str, symbols: tuple[str, ...], *args: Any) -> Any:
        """The value of the first symbol that there is; null with the reason in `why`."""
        if name in self.refused:
            why[name] = self.refused[name]
            return None
        reason: Why | None = None
        for symbol in symbols:
            value, reason = self._ask(lambda s=symbol: getattr(self._nvml, s)(self._handle, *args))
            if reason is None:
                return value
            if not reason.lasting:
                break
        if reason is not None:
            self._refuse(why, name, reason.text, reason.lasting)
        return None

    def values(self, why: dict[str, str]) -> dict[str, int | None]:
        """All field values in one call; an id that the driver does not know costs only itself."""
        names = [name for name in FIELD_VALUES if name not in self.refused]
        found: dict[str, int | None] = dict.fromkeys(FIELD_VALUES)
        why.update((name, self.refused[name]) for name in FIELD_VALUES if name in self.refused)
        if not names:
            return found
        ids = [FIELD_VALUES[name] for name in names]
        answers, reason = self._ask(lambda: self._nvml.nvmlDeviceGetFieldValues(self._handle, ids))
        for place, name in enumerate(names):
            if reason is not None:
                self._refuse(why, name, reason.text, reason.lasting)
                continue
            code = answers[place].nvmlReturn
            if code == 0:
                found[name] = self._number(answers[place])
            else:
                text = str(self._nvml.NVMLError(code))
                self._refuse(why, name, text, code in _LASTING or code == _INVALID_ARGUMENT)
        return found

    def _refuse(self, why: dict[str, str], name: str, text: str, lasting: bool) -> None:
        why[name] = text
        if lasting:
            self.refused[name] = text

    def _number(self, value: Any) -> int:
        """A field value's number by its declared type."""
        kinds = {
            self._nvml.NVML_VALUE_TYPE_UNSIGNED_INT: "uiVal",
            self._nvml.NVML_VALUE_TYPE_UNSIGNED_LONG: "ulVal",
            self._nvml.NVML_VALUE_TYPE_UNSIGNED_LONG_LONG: "ullVal",
            self._nvml.NVML_VALUE_TYPE_DOUBLE: "dVal",
        }
        return int(getattr(value.value, kinds.get(value.valueType, "sllVal")))
