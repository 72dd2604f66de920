"""What ends is counted as what it was: real sockets, in a network namespace of the test's own."""

import json
import subprocess
import sys

import pytest

_PROGRAM = """
import json, os, socket, struct, subprocess, sys, time
sys.path.insert(0, os.getcwd())
from slurm_guard.sampler.tally import text_of
from slurm_guard.sampler.tcpdiag import TRYING, Passed, tcp_diag
from slurm_guard.sampler.tcpends import Wanted
subprocess.run("ip link set lo up; ip route add local 203.0.113.0/24 dev lo", shell=True, check=True)
door = socket.create_server(("0.0.0.0", 7000))
diag = tcp_diag("/proc")
rows, _ = diag.dump(set())
wanted = Wanted(lambda ident: False, {})
wanted.doors = {(7000).to_bytes(2, "big")}
HARD = struct.pack("ii", 1, 0)

def pair(host):
    one = socket.create_connection((host, 7000))
    return one, door.accept()[0]

def taken(least=1):  # the kernel tells of them by and by
    until = time.monotonic() + (10 if least else 0.3)
    while time.monotonic() < until and (not least or wanted.tally.n < least):
        time.sleep(0.05)
        diag.hear(wanted, 1.0)
    _, tally, _ = wanted.take()
    return {text_of(key): counts for key, counts in tally.places.items()}

found = {}
one, other = pair("203.0.113.1"); one.sendall(b"x" * 9); other.sendall(b"y" * 70); one.recv(70); other.recv(9)
one.close(); other.close(); found["client closes"] = taken()
one, other = pair("203.0.113.1"); other.close(); one.recv(1); one.close(); found["server closes"] = taken()
one, other = pair("203.0.113.1"); other.setsockopt(1, 13, HARD); other.close(); time.sleep(0.05); one.close()
found["server cuts off"] = taken()
one, other = pair("203.0.113.1"); one.setsockopt(1, 13, HARD); one.close(); other.close()
found["client cuts off"] = taken()
try: socket.create_connection(("203.0.113.2", 7001), timeout=1)
except OSError: pass
found["refused"] = taken()
try: socket.create_connection(("203.0.113.2", 7001))
except OSError: pass
found["refused while it waited"] = taken()
one, other = pair("127.0.0.1"); one.close(); other.close(); found["within"] = taken(0)
socket.socket().close(); socket.create_server(("203.0.113.1", 0)).close(); found["never connected"] = taken(0)
lost = diag.lost
for k in range(20_000):
    one = socket.socket(); one.setblocking(False)
    one.connect_ex((f"203.0.113.{k % 250 + 1}", 7001)); one.close()
n, places, until = 0, set(), time.monotonic() + 20
while n + diag.lost - lost < 20_000 and time.monotonic() < until:
    more = taken()
    n += sum(counts[0] for counts in more.values())
    places |= more.keys()
found["burst"] = [n, len(places), diag.lost - lost]
print(json.dumps(found))
"""


@pytest.mark.root
def test_connections_that_ended_unseen_are_counted_as_what_they_were() -> None:
    said = subprocess.run(
        ["unshare", "--net", sys.executable, "-c", _PROGRAM], check=True, capture_output=True, text=True
    ).stdout
    found = json.loads(said)
    n, n_places, lost = found.pop("burst")

    assert found == {
        "client closes": {"203.0.113.1:7000": [1, 0, 9, 71]},  # an end that came counts one
        "server closes": {"203.0.113.1:7000": [1, 0, 0, 1]},
        "server cuts off": {"203.0.113.1:7000": [1, 0, 0, 0]},
        "client cuts off": {"203.0.113.1:0": [1, 0, 0, 0]},
        "refused": {"203.0.113.2:7001": [1, 1, 0, 0]},
        "refused while it waited": {"203.0.113.2:0": [1, 1, 0, 0]},
        "within": {},
        "never connected": {},
    }
    assert n + lost == 20_000  # what there was no room for is known in number
    assert n_places == 250
