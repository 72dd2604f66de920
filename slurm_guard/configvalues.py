"""What makes a value of the configuration wrong although its type is right."""

import math
import re
from typing import Any

from slurm_guard.networks import parse_net, parse_rule

_ZERO_MEANS = frozenset({"idle_exit_s", "least_gpu_h", "least_share", "memory_mib", "nice", "slack_s"})


# Texts for which empty means something, or nothing is wrong with it; every other one must name something.
_MAY_BE_EMPTY = frozenset(
    {"disabled", "disabled_everywhere", "textfile", "cluster", "site", "reply_to"}
    | {"gres_devices", "services", "to", "patterns", "egress", "tunnels", "resolver_log"}
)
_ADDRESS = re.compile(r"[^@\s<>]+@[^@\s<>]+|[^<>\n\r]*<[^@\s<>]+@[^@\s<>]+>")


def wrong_number(name: str, value: Any) -> str:
    """What is wrong with a number; empty: nothing, or it is none."""
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        return ""
    if not math.isfinite(value):
        return f"must be a finite number, not {value}"
    if value < 0 or (value == 0 and name not in _ZERO_MEANS):
        return f"must be above zero, not {value}"
    if name.endswith("_share") and value > 1:
        return f"is a share between 0 and 1, not {value}"
    return f"must be at most 65535, not {value}" if name == "port" and value > 65535 else ""


def wrong_text(name: str, value: Any) -> str:
    """What is wrong with a text or a list of texts; empty: nothing, or it is neither."""
    parts = [value] if isinstance(value, str) else value if isinstance(value, list) else None
    if parts is None:
        return ""
    if not parts and name not in _MAY_BE_EMPTY:
        return "must name at least one"
    blank = isinstance(value, list) or name not in _MAY_BE_EMPTY
    if blank and any(not part.strip() for part in parts):
        return "must not be empty"
    if name in ("to", "sender", "reply_to"):
        bad = [part for part in parts if part and not _ADDRESS.fullmatch(part)]
        return f"holds {bad[0]!a}, which is no user@host" if bad else ""
    if isinstance(value, list) and name in ("cluster", "egress", "tunnels"):
        bad = [part for part in parts if not _is_rule(part, name)]
        return f"holds {bad[0]!a}, which is no network" if bad else ""
    return ""


def _is_rule(text: str, name: str) -> bool:
    """A network, for whom it is meant where that may be said, or a path where one may stand."""
    try:
        what = text if name == "cluster" else parse_rule(text).what
        if name != "tunnels" or not what.startswith("/"):
            parse_net(what)
    except ValueError:
        return False
    return True
