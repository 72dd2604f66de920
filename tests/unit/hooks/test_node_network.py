"""Real changes in a network namespace of the test's own: what the hook sees, what the audit makes of it."""

import json
import shlex
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from slurm_guard.audit.net.nodewide import differences

ROOT = Path(__file__).resolve().parents[3]
SNAPSHOT = f"""
import sys
sys.path.insert(0, {str(ROOT)!r})
from slurm_guard.hooks import apart, netstate
from slurm_guard.light import to_json
apart.MAX_ANSWER_S = 20.0  # the machine may be busy; what it costs is measured elsewhere
print(to_json(netstate.read_netstate(0.0, netstate.ask_apart())))
"""
LOOK = f"{sys.executable} -IS -c {shlex.quote(SNAPSHOT)}"
NETWORK = """
ip link set lo up
ip link add v1 type veth peer name v2
ip link set v1 up
ip link set v2 up
ip addr add 10.1.0.1/24 dev v1
ip -6 addr add fd00::1/64 dev v1 nodad
ip route add default via 10.1.0.2
ip -6 route add default via fd00::2
"""
FILTERS = """
nft -f - <<X
table inet filter {
    chain input { type filter hook input priority 0; policy drop; tcp dport 22 counter accept; }
    chain own { counter; }
}
X
"""

pytestmark = pytest.mark.root


def _play(*steps: str) -> list[dict[str, Any]]:
    """The steps in a namespace of their own; a snapshot wherever LOOK stands."""
    for program in ("unshare", "ip", *(["nft"] if any("nft " in step for step in steps) else [])):
        if shutil.which(program) is None:
            pytest.skip(f"{program} is not installed (tools/bootstrap rig)")
    done = subprocess.run(
        ["unshare", "-n", "sh", "-ec", "\n".join(steps)], capture_output=True, text=True, timeout=120
    )
    if "unshare" in done.stderr or "Unable to initialize Netlink" in done.stderr:
        pytest.skip(f"no network namespace here: {done.stderr.strip()}")
    assert done.returncode == 0, done.stderr
    return [json.loads(line) for line in done.stdout.splitlines() if line.startswith("{")]


def _differences(*steps: str) -> list[tuple[str, str]]:
    before, after = _play(*steps)
    assert differences(before, before) == []
    return [(change.how, change.shown) for change in differences(before, after)]


def test_routes_of_both_families_and_all_tables_are_told_as_ip_words_them() -> None:
    (state,) = _play(
        NETWORK,
        "ip route add blackhole 10.9.0.0/16 metric 7",
        "ip -6 route add unreachable fd99::/64",
        "ip route add 10.7.0.0/16 nexthop via 10.1.0.3 nexthop via 10.1.0.4",
        "ip route add default dev v1 table 51820",
        LOOK,
    )

    routes = [route for route in state["routes"] if not route.startswith("fe80::")]
    assert routes == [
        "0.0.0.0/0 dev v1 table 51820",
        "0.0.0.0/0 via 10.1.0.2 dev v1",
        "10.1.0.0/24 dev v1",
        "10.7.0.0/16 via 10.1.0.3 dev v1 via 10.1.0.4 dev v1",
        "::/0 via fd00::2 dev v1 metric 1024",
        "blackhole 10.9.0.0/16 metric 7",
        "fd00::/64 dev v1 metric 256",
        "unreachable fd99::/64 dev lo metric 1024",
    ]
    assert state["kinds"] == {"v1": "veth", "v2": "veth"}
    assert not {"routes", "kinds", "rules"} & state["why"].keys()


def test_rules_are_told_with_what_they_select() -> None:
    (state,) = _play(
        NETWORK,
        "ip rule add not fwmark 0xca6c table 51820 prio 70",
        "ip rule add table main suppress_prefixlength 0 prio 71",
        "ip rule add from 10.0.0.0/8 to 192.0.2.0/24 iif lo uidrange 7-9 ipproto tcp dport 22 "
        "lookup 100 prio 72",
        "ip -6 rule add from fd00::/64 blackhole prio 73",
        LOOK,
    )

    assert [rule for rule in state["rules"] if " 7" in rule] == [
        "inet 70: not from all fwmark 0xca6c lookup 51820",
        "inet 71: from all lookup main suppress_prefixlength 0",
        "inet 72: from 10.0.0.0/8 to 192.0.2.0/24 iif lo uidrange 7-9 ipproto 6 dport 22-22 lookup 100",
        "inet6 73: from fd00::/64 blackhole",
    ]


def test_a_vpn_that_stays_shows_as_device_default_route_and_rule() -> None:
    found = _differences(
        NETWORK,
        LOOK,
        "ip tuntap add t9 mode tun",
        "ip link set t9 up",
        "ip link add br0 type bridge",
        "ip route replace default via 10.1.0.9",
        "ip -6 route add blackhole 2000::/3",
        "ip route add default dev t9 table 51820",
        "ip rule add not fwmark 0xca6c table 51820 prio 70",
        LOOK,
    )

    assert sorted(found) == [
        ("gone", "default route 0.0.0.0/0 via 10.1.0.2 dev v1"),
        ("new", "blackhole route 2000::/3 dev lo metric 1024"),
        ("new", "default route 0.0.0.0/0 dev t9 table 51820"),
        ("new", "default route 0.0.0.0/0 via 10.1.0.9 dev v1"),
        ("new", "device t9 (tun)"),
        ("new", "policy rule inet 70: not from all fwmark 0xca6c lookup 51820"),
    ]


def test_changed_filters_are_told_chain_by_chain() -> None:
    found = _differences(
        NETWORK,
        FILTERS,
        LOOK,
        "nft 'add rule inet filter input accept'",
        "nft 'add chain inet filter input { policy accept; }'",
        "nft 'add rule inet filter own tcp dport 5 drop'",
        "nft 'add table ip late'",
        "nft 'add chain ip late out { type filter hook output priority 5; }'",
        LOOK,
    )

    assert found == [
        ("new", "packet filter ip late out (at output 5, policy accept, 0 rules)"),
        ("changed", "packet filter inet filter input (policy drop, then accept; 1 rule, then 2)"),
        ("changed", "packet filter inet filter own (1 rule, then 2)"),
    ]


def test_filters_that_were_used_or_loaded_anew_are_the_same() -> None:
    connect = 's = socket.socket(); s.settimeout(0.2); s.connect_ex(("127.0.0.1", 22))'
    use = f"python3 -c 'import socket; {connect}'"
    again = "(echo flush ruleset; nft list ruleset) >/tmp/$$.nft; nft -f /tmp/$$.nft; rm /tmp/$$.nft"

    before, after = _play(NETWORK, FILTERS, LOOK, use, "nft list ruleset | grep -q 'packets 1'", again, LOOK)

    assert differences(before, after) == []
    assert before["firewall"]["generation"] < after["firewall"]["generation"]
    assert before["firewall"]["n_rules"] == 2


def test_many_routes_and_rules_are_bounded_and_said_to_be() -> None:
    (state,) = _play(
        "ip link set lo up",
        "for i in $(seq 6000); do echo route add 10.$((i / 250)).$((i % 250)).0/24 dev lo; done "
        "| ip -batch -",
        "(echo 'table ip t { chain first {'; for i in $(seq 6000); do echo tcp dport $i counter accept; done",
        "echo '}'; echo 'chain last { }'; echo '}') | nft -f -",
        LOOK,
    )

    assert len(state["routes"]) == 256
    assert "left off after" in state["why"]["routes"] or "256 of 6000 kept" in state["why"]["routes"]
    wall = state["firewall"]
    assert (wall["n_rules"], wall["n_chains"]) == (None, 2)
    assert "left off after" in state["why"]["rules of chains"]
    assert [(chain["chain"], chain["n_rules"], chain["digest"]) for chain in wall["chains"]] == [
        ("first", None, None),
        ("last", None, None),
    ]
    assert differences(state, state) == []


def test_who_may_not_ask_for_the_filters_is_told_why() -> None:
    (state,) = _play(FILTERS, f"setpriv --bounding-set -all {LOOK}")

    assert state["firewall"] is None or state["firewall"]["chains"] == []
    assert state["why"]["firewall"] == "Operation not permitted"
    assert state["rules"]
