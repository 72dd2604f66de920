"""[prometheus] of the configuration: a server that already measures the GPUs, for `slurm-guard import`."""

from dataclasses import dataclass

from slurm_guard.configkey import key as _key


@dataclass(frozen=True, slots=True)
class PrometheusConfig:
    """[prometheus]: where and how it is asked; nothing is unless `slurm-guard import prometheus` runs."""

    url: str = _key("", "the server's address (https://…); empty: --url names it")
    match: str = _key("", 'label matchers that every series must fit, as in PromQL: cluster="gpu1"')
    node_label: str = _key(
        "", "label that holds Slurm's name of the node; empty: Hostname, hostname, instance are tried"
    )
    token_file: str = _key("", "file of a bearer token, mode 0600, of root or who imports; empty: none")
    user: str = _key("", "user for basic authentication; empty: none")
    password_file: str = _key("", "file of that user's password, as token_file")
    ca_file: str = _key("", "certificates that the server's is checked against; empty: the system's")
    answer_s: float = _key(60.0, "longest that one answer may take")
    total_s: float = _key(1800.0, "longest that one import may take; hours not asked by then are named")
