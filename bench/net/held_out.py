"""Left out: the authors of what judges them had not seen these four when it was frozen.

Once they have been told of, they are known: they go to `once_held_out_too.py`, and others come here.
"""

from bench.net.hosts import OUTSIDE
from bench.net.programs import PYTHON, path_of
from bench.net.shape import BRIDGE, NONE, Situation
from bench.net.stage import Stage


def sshd_outwards(stage: Stage) -> None:
    """The job's own SSH server on a connection that the job opened, whose client outside forwards to it."""
    inner, up, door = stage.service(), stage.port(), stage.port()
    keep_s = stage.rng.choice((0, 3, 15))
    # The one waits for the job as an SSH client whose proxy listens; the other serves as under inetd.
    wait = f"ProxyCommand=socat - TCP-LISTEN:{up},reuseaddr"
    given = ("-N", "-L", f"127.0.0.1:{door}:127.0.0.1:{inner}", "-o", wait, *stage.options)
    words = " ".join(f"'{word}'" for word in ("ssh", *given, f"{stage.account}@job"))
    stage.far("sh", "-c", f"while :; do {words}; sleep 0.3; done")
    # The connection is the server's own, or a socat's before it.
    joined = stage.rng.choice((",nofork", ""))
    given = (path_of("dropbear"), "-i", "-s", "-K", str(keep_s), "-r", str(stage.folder / "host"))
    stage.shell(
        f"mkdir -p -m 700 ~/.ssh && cat '{stage.hosts.folder}/key.pub' >~/.ssh/authorized_keys\n"
        f"{path_of('dropbearkey')} -t ed25519 -f '{stage.folder}/host'\n"
        f"while :; do socat TCP:{OUTSIDE}:{up} EXEC:'{' '.join(given)}'{joined}; sleep 0.3; done"
    )
    stage.use_outside("127.0.0.1", door, stage.rng.choice(("keep", "once")))


def remote_calls(stage: Stage) -> None:
    """RPyC: outside runs Python in the job, which asks the service there; each piece is a call."""
    inner, up, door = stage.service(), stage.port(), stage.port()
    program, how = str(stage.folder / "remote_calls.py"), stage.rng.choice(("call", "cast"))
    stage.far(PYTHON, "-I", program, "far", OUTSIDE, str(up), str(door), str(inner), how)
    stage.job_later(PYTHON, "-I", program, "job", OUTSIDE, str(up))
    stage.use_outside("127.0.0.1", door, stage.rng.choice(("keep", "once")))


def agent_with_tools(stage: Stage) -> None:
    """A model outside (OpenAI's client) says which local tools (MCP) to call, and is told their answers."""
    rng, service, local = stage.rng, stage.port(), stage.port()
    program, cert = str(stage.folder / "agent.py"), str(stage.hosts.folder / "cert.pem")
    stage.far(PYTHON, "-I", program, "model", OUTSIDE, str(service), cert, stage.seed)
    stage.job(PYTHON, "-I", program, "tools", str(local), stage.seed, rng.choice(("events", "json")))
    how = (str(rng.choice((1, 1, 2, 4))), rng.choice(("streamed", "whole")), rng.choice(("keep", "once")))
    url = f"https://{OUTSIDE}:{service}/v1"
    stage.job_later(PYTHON, "-I", program, "work", url, str(local), stage.seed, *how)


def metrics_outwards(stage: Stage) -> None:
    """Prometheus collects from the trainer and the node's exporter on loopback, and writes to one outside."""
    rng, there, here, trainer, node = stage.rng, *(stage.port() for _ in range(4))
    program, prometheus = str(stage.folder / "metrics.py"), path_of("prometheus")
    store = ("--web.enable-remote-write-receiver", f"--storage.tsdb.path={stage.folder}/there")
    config = stage.file("there.yml", "{}\n")
    listen = f"--web.listen-address={OUTSIDE}:{there}"
    stage.far(prometheus, f"--config.file={config}", listen, *store)
    seen = "sum(count_over_time(trainer_steps_total[1h]))"
    far = f"http://{OUTSIDE}:{there}"
    stage.far(PYTHON, "-I", program, "look", far, "0.5", seen, "note")
    stage.job(PYTHON, "-I", program, "train", str(trainer), stage.seed)
    exporter = path_of("prometheus-node-exporter")
    stage.job(exporter, f"--web.listen-address=127.0.0.1:{node}", "--log.level=error")
    text = _SCRAPES.format(
        every=rng.choice(("500ms", "1s", "1s", "5s")),
        trainer=trainer,
        node=node,
        url=f"{far}/api/v1/write",
        late=rng.choice(("500ms", "2s", "5s")),
        most=rng.choice((100, 500, 2000)),
        shards=rng.choice((1, 1, 4)),
    )
    config = stage.file("here.yml", text)
    words = [f"--config.file={config}", f"--web.listen-address=127.0.0.1:{here}", "--log.level=error"]
    if rng.random() < 0.5:
        words += ["--enable-feature=agent", f"--storage.agent.path={stage.folder}/here"]
    else:
        # With a store of its own, which something of the job's asks as well: a dashboard, a scaler.
        words.append(f"--storage.tsdb.path={stage.folder}/here")
        rate = "sum(rate(trainer_steps_total[1m]))"
        asked = (f"http://127.0.0.1:{here}", f"{rng.uniform(0.5, 4):.1f}", rate)
        stage.job_later(PYTHON, "-I", program, "look", *asked)
    stage.job_later(prometheus, *words)


_SCRAPES = """
global: {{scrape_interval: {every}, scrape_timeout: {every}}}
scrape_configs:
  - {{job_name: trainer, static_configs: [{{targets: ['127.0.0.1:{trainer}']}}]}}
  - {{job_name: node, static_configs: [{{targets: ['127.0.0.1:{node}']}}]}}
remote_write:
  - url: {url}
    queue_config: {{batch_send_deadline: {late}, max_samples_per_send: {most}, min_shards: {shards}}}
"""

_METRICS = ("pypi:python", "prometheus", "prometheus-node-exporter")

SITUATIONS = (
    Situation(sshd_outwards, BRIDGE, ("dropbear", "dropbearkey"), held_out=True),
    Situation(remote_calls, BRIDGE, ("pypi:python",), held_out=True),
    Situation(agent_with_tools, NONE, ("pypi:python",), held_out=True),
    Situation(
        metrics_outwards, NONE, ("pypi:python", "prometheus", "prometheus-node-exporter"), held_out=True
    ),
)
