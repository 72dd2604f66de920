"""What a user's job may do to the watcher of the node, and what has to say so afterwards."""

from typing import NamedTuple


class Flood(NamedTuple):
    """One flood. `words`: of flood.c, but for its seconds; `told`: one of these has to be there."""

    name: str
    does: str
    words: tuple[str, ...]
    told: tuple[str, ...]


FLOODS = (
    Flood(
        "forks",
        "80 processes a second, each with 4,000 control characters as its name",
        ("forks", "80"),
        (),
    ),
    Flood(
        "crowd",
        "3,900 processes, paths and command lines of 4,000 bytes beyond ASCII",
        ("crowd", "3900"),
        ("processes-truncated", "held-truncated"),
    ),
    Flood(
        "files",
        "500 processes with 4,000 descriptors each, a new listener every 0.4 s",
        ("files", "500", "4000"),
        ("held-truncated", "flows-truncated"),
    ),
    Flood(
        "mounts",
        "300 mount namespaces of 1,100 mounts, a file called nvidia0 on tmpfs",
        ("mounts", "300", "1100"),
        ("held-truncated",),
    ),
    Flood(
        "churn",
        "10,000 connections a second, opened, used and closed",
        ("churn", "10000"),
        ("flows-truncated",),
    ),
    Flood(
        "sockets",
        "100,000 sockets: 20 processes with 2,500 connections to themselves",
        ("sockets", "20", "2500"),
        ("flows-truncated",),
    ),
    Flood(
        "spaces",
        "network namespaces that are made and gone within 0.1 s, eight at a time",
        ("spaces", "8"),
        (),
    ),
    Flood(
        "scan",
        "10,000 connections a second to 65,000 addresses, in a network namespace of its own",
        ("scan", "10000"),
        ("10,000 addresses counted",),
    ),
    Flood(
        "headless",
        "20 processes whose first thread ended: nothing to read in /proc/PID/fd, one holds a GPU's file",
        ("headless", "20"),
        ("20 listeners",),
    ),
    Flood(
        "threads",
        "20 processes whose second thread has descriptors of its own, a listener among them",
        ("threads", "20"),
        ("flows-truncated",),
    ),
)
