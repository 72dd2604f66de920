"""The node half's records of the network, apart from the others for their length alone (see wire.py)."""

from __future__ import annotations

from slurm_guard.light import NamedTuple


class Socket(NamedTuple):
    """One socket of a network snapshot. `state` as in the kernel's table: LISTEN, ESTABLISHED, …"""

    proto: str  # tcp, tcp6, udp, udp6
    local: str  # address:port, IPv6 in brackets
    peer: str
    state: str
    uid: int | None
    inode: int | None


class NetChain(NamedTuple):
    """One chain of nf_tables. Null counts and digests: the rules were not read to the chain's end."""

    table: str  # family and name: "inet filter"
    chain: str
    hook: str | None  # where packets come to it, its priority and device: "input 0"; null: others jump to it
    policy: str | None  # drop, accept
    n_rules: int | None
    digest: str | None  # of the rules in their order, without handles and counters


class Firewall(NamedTuple):
    """Packet filters as a hook saw them; members of sets and the rules of legacy tables are not looked at."""

    generation: int | None  # of the nf_tables ruleset: counts its changes since boot; null: not loaded
    tables: list[str]  # "inet filter", sorted; " (dormant)" after one that is switched off
    chains: list[NetChain]  # those with a hook first
    n_chains: int | None  # null: left off
    n_rules: int | None
    legacy: list[str] | None  # tables of the older iptables: "ip filter"; null: not readable


class NetState(NamedTuple):
    """The network as a hook saw it. Lists are bounded; `truncated`: more sockets existed. Counts are whole.

    `why` also holds parts of which not everything was kept, with how many there were. Null in the fields with
    a default: not told, by an older hook or for the reason in `why`.
    """

    at: float
    n_listen: int | None
    n_established: int | None
    listen: list[Socket]
    established: list[Socket]
    interfaces: list[str]  # name, sorted
    routes: list[str]  # as `ip route` words them, v4 and v6, all tables but local, sorted
    nameservers: list[str]
    truncated: bool
    why: dict[str, str]  # part -> reason it is missing
    kinds: dict[str, str] | None = None  # device -> tun, tap, wireguard, veth, bridge …; hardware has none
    rules: list[str] | None = None  # "inet 32766: from all lookup main": which table routes which packets
    firewall: Firewall | None = None


class FlowSeen(NamedTuple):
    """A TCP connection of a run's process, written when it is first seen and when it is gone."""

    run: str
    pid: int | None
    exe: str | None
    proto: str
    local: str
    peer: str
    state: str
    inode: int | None
    first_seen_at: float
    last_seen_at: float
    gone: bool
    mono_s: float | None = None  # of last_seen_at
    uid: int | None = None  # of the socket
    cookie: int | None = None  # the kernel's own number of the socket; never used twice while it is up
    opened: bool | None = None  # this end opened the connection; false: it accepted; null: not known
    out_b: int | None = None  # bytes that the far end acknowledged
    in_b: int | None = None  # bytes received
    min_rtt_us: int | None = None
    netns: int | None = None  # inode of the network namespace; null: the node's own
    how: str | None = None  # cgroup, inode, both: what says that it is the run's; null: an older release


class PlaceCount(NamedTuple):
    """Connections to one far end."""

    peer: str  # port 0: the kernel no longer told it (refused while the program waited, or cut off by it)
    n: int
    n_failed: int  # never answered, or refused
    out_b: int
    in_b: int


class BriefSeen(NamedTuple):
    """Connections opened outwards that were not followed one by one, counted: they came and went between two
    looks, or were more than are followed. To loopback addresses they are not counted.

    The kernel does not tell whose a connection was that has ended. `how` says by what it is known: `kernel`,
    each was seen open, with its user or control group, or lay in the run's own network namespace; `alike`,
    every connection that was seen open to the same place, or port, was the run's; `alone`, no other user was
    on the node: it may be the node's own services' all the same. With `run` null nobody knows.
    """

    run: str | None
    how: str | None
    pid: int | None  # a process that held such ones when it was looked at; null: none was met
    exe: str | None
    netns: int | None
    first_seen_at: float
    last_seen_at: float
    n: int
    n_failed: int
    out_b: int
    in_b: int
    n_addresses: int  # different ones; about, beyond some hundred
    n_places: int  # with their ports; likewise
    n_unheard: int  # ends of connections on the node, anybody's, that there was no room for meanwhile
    places: list[PlaceCount]  # at most 32: those with most connections, and some of the others
    mono_s: float | None = None  # of last_seen_at


class RelaySeen(NamedTuple):
    """A process, or several joined by pipes, that hands bytes on between an outer connection and inner ones.

    Inner connections are the same processes' to nearer places (loopback before the cluster's networks before
    everything else). Bytes count from first to last look at both; `coupled`: what appeared on one and, in the
    same look, on the other. Written when bytes were first seen to reappear in both directions, and again with
    the last word.
    """

    run: str | None
    pids: list[int]  # the owner of the outer connection first
    exe: str | None  # of the outer connection's owner
    outer_local: str
    outer_peer: str
    outer_opened: bool | None
    outer_cookie: int | None
    inner_local: str  # of the inner connection with most bytes
    inner_peer: str
    inner_opened: bool | None  # true: every inner one was opened here; false: none; null: both, or not known
    n_inner: int  # inner connections that bytes came by, 64 at most
    outer_in_b: int
    outer_out_b: int
    inner_in_b: int
    inner_out_b: int
    coupled_in_b: int  # from the far end on to an inner connection
    coupled_out_b: int  # from an inner connection to the far end
    n_busy: int  # looks in which bytes moved on either side
    n_coupled: int  # of these, looks in which what moved reappeared
    first_seen_at: float
    last_seen_at: float
    gone: bool
    mono_s: float | None = None  # of last_seen_at
    inner_owned: bool | None = None  # false: in no look was it known of all inner ones whose they were
    led: bool | None = None  # the far end was seen to ask, and to be there first; false: not seen
