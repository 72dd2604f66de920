"""A trainer's measurements, for Prometheus to collect, and who looks at them elsewhere. Run as a file.

python metrics.py train PORT SEED       steps, with as many series as a trainer with so many layers has
python metrics.py look URL EVERY_S QUERY [NOTE]   asks a Prometheus; NOTE: its news is a use
"""

import contextlib
import json
import os
import random
import sys
import time
import urllib.parse
import urllib.request
from pathlib import Path


def train(port: str, seed: str) -> None:
    """Steps for ever."""
    from prometheus_client import Counter, Gauge, Histogram, start_http_server

    rng = random.Random(seed)
    steps = Counter("trainer_steps", "Steps done")
    loss = Gauge("trainer_loss", "Loss of the last step")
    step_s = Histogram("trainer_step_seconds", "Duration of a step", ["rank"])
    norms = Gauge("trainer_gradient_norm", "Norm of a layer's gradient", ["layer", "part"])
    n_layers, n_ranks, mean_s = rng.choice((4, 24, 80)), rng.randrange(1, 9), rng.uniform(0.1, 1.0)
    start_http_server(int(port), addr="127.0.0.1")
    while True:
        last_s = rng.uniform(0.7, 1.3) * mean_s
        time.sleep(last_s)
        steps.inc()
        loss.set(rng.lognormvariate(0, 0.2))
        for rank in range(n_ranks):
            step_s.labels(str(rank)).observe(last_s * rng.uniform(0.95, 1.05))
        for layer in range(n_layers):
            for part in ("attention", "mlp", "norm"):
                norms.labels(str(layer), part).set(rng.lognormvariate(0, 1))


def look(url: str, every_s: str, query: str, note: str = "") -> None:
    """Looks for ever; an answer is news if it says otherwise than the last one."""
    # Not by a proxy that the machine may have for the world outside.
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    asked, last = f"{url}/api/v1/query?{urllib.parse.urlencode({'query': query})}", ""
    while True:
        with contextlib.suppress(OSError, ValueError, KeyError, IndexError):
            with opener.open(asked, timeout=10) as answer:
                said = json.load(answer)["data"]["result"][0]["value"][1]
            if said != last and note:
                with Path(os.environ["GUARD_USES"]).open("ab", 0) as uses:
                    uses.write(b".")
            last = said
        time.sleep(float(every_s))


if __name__ == "__main__":
    if sys.argv[1] == "train":
        train(*sys.argv[2:])
    else:
        look(*sys.argv[2:])
