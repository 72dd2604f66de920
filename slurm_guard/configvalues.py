"""What makes a value of the configuration wrong although its type is right."""

import math
import posixpath
import re
from collections.abc import Callable
from typing import Any

from slurm_guard.configmail import EXAMPLES as MAIL_EXAMPLES
from slurm_guard.configmail import MAY_BE_EMPTY as MAIL_MAY_BE_EMPTY
from slurm_guard.networks import QUALIFIERS, Place, is_loopback, parse_net, parse_place, parse_rule

_ZERO_MEANS = frozenset(
    {"alarm_budget", "history_days", "processes", "idle_exit_s", "least_gpu_h", "least_share"}
    | {"memory_mib", "nice", "slack_s", "nights", "shards", "drop_mib", "min_free_mib"}
    | {"lake_days", "quarantine_days", "reports_days", "mail_days", "views_days"}
)


# Texts for which empty means something, or nothing is wrong with it; every other one must name something.
_MAY_BE_EMPTY = frozenset(
    {
        "disabled",
        "disabled_everywhere",
        "textfile",
        "cluster",
        "site",
        "reply_to",
        "history",
        "store",
        "store_endpoint",
        "own",
        "views",
        "method_url",
        "page_url",
    }
    | {"url", "match", "node_label", "token_file", "user", "password_file", "ca_file"}
    | {"gres_devices", "services", "to", "patterns", "egress", "tunnels", "resolver_log"}
    | {"enforce_partitions", "intent_partitions", "burn_in", "maintenance_admins"}
    | {"folder", "sbatch", "program"}
    | MAIL_MAY_BE_EMPTY
)
# Options of sbatch that the audit gives itself, or with which it could not follow its jobs (engine/jobs.py).
_OWN_LONG = {"--array", "--job-name", "--wrap", "--wait", "--test-only", "--hold", "--clusters"}
_OWN_SHORT = ("-a", "-J", "-W", "-H", "-M")
_LEAST = {32: 8, 128: 7}  # bits of a prefix: fc00::/7 is a site's own. Judgement
# What a letter can be addressed to (report/letter.py): RFC 5322's dot-atoms, and a host's labels.
_BARE = r"[\w!#$%&'*+/=?^`{|}~-]+(?:\.[\w!#$%&'*+/=?^`{|}~-]+)*@[A-Za-z0-9_-]+(?:\.[A-Za-z0-9_-]+)*"
_ADDRESS = re.compile(rf"{_BARE}|[^<>\n\r]*<{_BARE}>", re.ASCII)
_SITE = r"https?://[A-Za-z0-9._~\[\]:-]+"  # a host, perhaps a port, and nobody's password
_URLS = {  # a night's folder is put behind the first
    "page_url": re.compile(rf"{_SITE}(?:/[^\s?#<>\"'\\]*)?", re.ASCII),
    "method_url": re.compile(rf"{_SITE}(?:/[^\s<>\"'\\]*)?", re.ASCII),
    "store_endpoint": re.compile(rf"{_SITE}(?:/[^\s?#<>\"'\\]*)?", re.ASCII),
}
# A bucket's name by S3's rules; below it what is a plain name everywhere.
STORE = re.compile(
    r"s3://([a-z0-9][a-z0-9.-]{1,61}[a-z0-9])((?:/[A-Za-z0-9_=-][A-Za-z0-9._=-]{0,199})*)/?", re.ASCII
)


# What a value of each type is called, and whether one is of it.
NOUNS: dict[Any, str] = {
    float: "a number",
    int: "a whole number",
    str: "a text in quotes",
    bool: "true or false",
    list[str]: "a list of texts",
}
FITS: dict[Any, Callable[[Any], bool]] = {
    float: lambda v: isinstance(v, (int, float)) and not isinstance(v, bool),
    int: lambda v: isinstance(v, int) and not isinstance(v, bool),
    str: lambda v: isinstance(v, str),
    bool: lambda v: isinstance(v, bool),
    list[str]: lambda v: isinstance(v, list) and all(isinstance(part, str) for part in v),
}

EXAMPLES = {  # where the default shows nothing
    **MAIL_EXAMPLES,
    "engine.folder": 'folder = "/shared/slurm-guard/parts"',
    "engine.program": 'program = "/shared/slurm-guard/bin/slurm-guard"',
    "engine.sbatch": 'sbatch = ["--partition=cpu", "--mem=4G", "--time=60"]',
    "audit.enforce_partitions": 'enforce_partitions = ["gpu-test"]',
    "audit.burn_in": 'burn_in = ["account=acceptance", "user=ann,bob partition=burnin"]',
    "audit.maintenance_admins": 'maintenance_admins = ["ann", "1042"]',
    "audit.intent_partitions": 'intent_partitions = ["gpu-large"]',
    "lake.store": 'store = "s3://slurm-guard/cluster1"',
    "lake.store_endpoint": 'store_endpoint = "https://s3.example.org"',
    "network.egress": 'egress = ["140.82.112.0/20:443", "198.51.100.0/24 account=lab,chem"]',
    "network.tunnels": 'tunnels = ["203.0.113.0/28:443 user=alice,bob", "/usr/bin/code partition=dev"]',
}


_CHOICES = {"slurm.accounting": ("sacct", "pyslurm"), "engine.kind": ("local", "slurm")}


def wrong_choice(key: str, value: Any) -> str:
    """What is wrong with a value that must be one of a few words; empty: nothing, or any will do."""
    known = _CHOICES.get(key)
    if known is None or value in known:
        return ""
    return f"must be {' or '.join(known)}, not {value!a}"


def wrong_number(name: str, value: Any) -> str:
    """What is wrong with a number; empty: nothing, or it is none."""
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        return ""
    if not math.isfinite(value):
        return f"must be a finite number, not {value}"
    if value < 0 or (value == 0 and name not in _ZERO_MEANS):
        return f"must be {'zero or ' if name in _ZERO_MEANS else ''}above zero, not {value}"
    if name.endswith("_share") and value > 1:
        return f"is a share between 0 and 1, not {value}"
    return f"must be at most 65535, not {value}" if name == "port" and value > 65535 else ""


def wrong_text(name: str, value: Any) -> str:
    """What is wrong with a text or a list of texts; empty: nothing, or it is neither."""
    if name == "resolver_log" and value and not str(value).startswith("/"):
        return f"({value!a}) must be a full path"
    parts = [value] if isinstance(value, str) else value if isinstance(value, list) else None
    if parts is None:
        return ""
    if not parts and name not in _MAY_BE_EMPTY:
        return "must name at least one"
    blank = isinstance(value, list) or name not in _MAY_BE_EMPTY
    if blank and any(not part.strip() for part in parts):
        return "must not be empty"
    if name in ("to", "sender", "reply_to", "contact"):
        bad = [part for part in parts if part and not _ADDRESS.fullmatch(part)]
        return f"holds {bad[0]!a}, which is no user@host" if bad else ""
    if name == "sbatch":
        bad = [part for part in parts if part.partition("=")[0] in _OWN_LONG or part.startswith(_OWN_SHORT)]
        return f"holds {bad[0]!a}, which an audit gives itself or cannot do with" if bad else ""
    if name in _URLS and value and not _URLS[name].fullmatch(str(value)):
        return f"({value!a}) must be https://host/path or http://host/path" + (
            ", with nothing behind it" if name == "page_url" else ""
        )
    if name == "store" and value and not STORE.fullmatch(str(value)):
        return f"({value!a}) must be s3://bucket or s3://bucket/prefix, of plain letters"
    if isinstance(value, list) and name in ("cluster", "egress", "tunnels"):
        said = [f"holds {part!a}: {why}" for part in parts if (why := _wrong_rule(part, name))]
        return said[0] if said else ""
    return ""


def _wrong_rule(text: str, name: str) -> str:
    """Why it is no network, for whom it is meant where that may be said, and no path where one may stand;
    empty: it is one. A path holds no blank: what follows one would be a name that nobody has."""
    try:
        what = parse_rule(text).what
        if name == "cluster" and what != text.strip():
            return "networks of the cluster are for everybody"
        if name != "tunnels" or not what.startswith("/"):
            port = parse_net(what).port
            if port is not None and name == "cluster":
                return "a network of the cluster has no port"
            return "port 0 is nobody's" if port == 0 else ""
    except ValueError as error:
        return str(error)
    if what != posixpath.normpath(what) or what.startswith("//"):
        return (
            f"no program is at that path: the kernel names it {posixpath.normpath(what).replace('//', '/')!a}"
        )
    word = what.split()[-1] if len(what.split()) > 1 or "=" in what else ""
    keys = "=, ".join(QUALIFIERS)
    return f"{word!a} is no path without '=' and blanks, nor {keys}= with names by commas" if word else ""


def wide_networks(values: list[str]) -> list[str]:
    """Those of the rules whose prefix is below /8 (IPv6: /7): they allow, or take for the cluster, more than
    anybody may have meant. `values`: as a right configuration has them."""
    whats = [(text, parse_rule(text).what) for text in values]
    nets = [(text, parse_net(what)) for text, what in whats if not what.startswith("/")]
    return [text for text, net in nets if net.length < _LEAST[net.bits]]


def idle_rules(cluster: list[str], rules: list[str]) -> list[tuple[str, str]]:
    """(rule, why) of rules for tunnels or destinations that allow nothing, or another amount than they seem
    to. As a right configuration has them."""
    near = [parse_net(text) for text in cluster]
    said: list[tuple[str, str]] = []
    for text in rules:
        what, who = parse_rule(text)
        upper = [name for name in who.get("account", ()) if name != name.lower()]
        if upper:
            said.append((text, f"Slurm keeps accounts in lower case, not {upper[0]!a}"))
        if what.startswith("/"):
            continue
        net = parse_net(what)
        first = net.prefix << (net.bits - net.length)
        if (net.length == net.bits and first == 0) or is_loopback(Place(net.bits, first, 0)):
            said.append((text, "nobody outside has such an address"))
        elif any(
            n.bits == net.bits and n.length <= net.length and n.holds(Place(n.bits, first, 0)) for n in near
        ):
            said.append((text, "it lies in network.cluster, and to there nothing need be allowed"))
        elif _host_of(what) not in (None, first):
            said.append((text, f"it is a network of {2 ** (net.bits - net.length):,} addresses, not one"))
    return said


def _host_of(what: str) -> int | None:
    """The address as it is written before the prefix length; null: it has none."""
    host = what.strip().removeprefix("[")
    address, slash, _ = (host.partition("]")[0] if what.startswith("[") else host).partition("/")
    return parse_place(f"[{address}]:1" if ":" in address else f"{address}:1").address if slash else None
