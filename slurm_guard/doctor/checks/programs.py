"""What the hooks start: their settings, interpreters and package, and the driver behind them."""

from collections.abc import Iterator
from shlex import quote

from slurm_guard.doctor.checks.hooks import own
from slurm_guard.doctor.checks.values import count
from slurm_guard.doctor.facts import Facts, Interpreter
from slurm_guard.doctor.finding import NODE, Check, Said, ok, problem, seen, unseen, warning

_LEAST = (3, 10)
_PATHS = ("PYTHON", "LIB", "RUN_DIR", "SPOOL_DIR", "CLIENT_DIR", "CONFIG", "SAMPLER_PYTHON")
_WHERE = "/etc/slurm-guard/slurm-guard-hooks.conf"


def _settings(facts: Facts) -> Iterator[Said]:
    settings = seen(facts.settings)
    if settings.refused:
        yield problem(
            f"the hooks ignore {settings.path}, and take their own defaults: {settings.refused}",
            f"chown root:root {quote(settings.path)} && chmod 644 {quote(settings.path)}",
        )
        return
    if settings.n_cr:
        yield warning(
            f"{settings.path} has {count(settings.n_cr, 'line')} with a CR at the end, as of Windows: "
            "these hooks take it off, those of another release took it for a part of the path",
            f"sed -i 's/\\r$//' {quote(settings.path)}",
        )
    for line in settings.odd[:1]:
        yield warning(
            f"{settings.path} has a line that is no setting, and is ignored: {line}",
            "NAME=value   # the names stand in `man slurm-guard-install`",
        )
    for name in _PATHS:
        value = settings.values.get(name, "")
        if not value.startswith("/"):
            yield problem(
                f"{name}={value} is no full path, and the hooks start in another folder",
                f"{name}=/…   # in {settings.path or _WHERE}",
            )


def _agree(facts: Facts) -> Iterator[Said]:
    settings, config = seen(facts.settings), facts.config()
    pairs = (
        ("RUN_DIR", "node.run_dir", config.node.run_dir, "the sampler never sees the tickets"),
        ("SPOOL_DIR", "node.spool_dir", config.node.spool_dir, "tickets and windows lie in two spools"),
        ("CLIENT_DIR", "progress.client_dir", config.progress.client_dir, "progress files are not found"),
    )
    for name, key, wanted, harm in pairs:
        value = settings.values.get(name, "")
        if value.rstrip("/") != wanted.rstrip("/"):
            yield problem(
                f"the hooks have {name}={value} and guard.toml {key} = {wanted}: {harm}",
                f"{name}={wanted}   # in {settings.path or _WHERE}",
            )
    if config.node.disabled not in settings.values.get("DISABLED", "").split(":"):
        yield warning(
            f"{config.node.disabled} switches the sampler off, and not the hooks",
            f"DISABLED={config.node.disabled}   # in {settings.path or _WHERE}",
        )


def _interpreter(found: Interpreter, name: str, harm: str, install: str) -> Iterator[Said]:
    if not found.exists:
        usual = "/usr/bin/python3" if name == "PYTHON" else "/opt/slurm-guard/bin/python3"
        yield problem(f"{name}={found.path} is not there: {harm}", f"{name}={usual}   # in {_WHERE}")
    elif not found.executable:
        yield problem(f"{name}={found.path} cannot be run: {harm}", f"chmod 755 {quote(found.path)}")
    elif found.unsafe:
        yield problem(
            f"{found.unsafe[0].path} {found.unsafe[0].why}, and root runs {found.path}", own(found.unsafe[0])
        )
    elif not found.tried:
        yield unseen(
            f"{found.path} was not started, because others may change the package that it loads",
            "slurm-guard doctor --check hook-package   # says which place",
        )
    elif found.version is not None and found.version < _LEAST:
        told = ".".join(map(str, found.version))
        yield problem(
            f"{name}={found.path} is Python {told}, and 3.10 is the least: {harm}",
            f"{name}=/usr/bin/python3.11   # in {_WHERE}: an interpreter that is new enough",
        )
    elif found.failure:
        yield problem(f"{name}={found.path} cannot do its work: {found.failure}", install)
    elif found.script:
        yield warning(
            f"{name}={found.path} is a script that starts a Python, which costs each job some 50 ms",
            f"{name}=…   # what `{found.path} -c 'import sys; print(sys.executable)'` prints",
        )


def _hook_python(facts: Facts) -> Iterator[Said]:
    lib = seen(facts.settings).values.get("LIB", "")
    yield from _interpreter(
        seen(facts.hook_python),
        "PYTHON",
        "no hook does anything",
        f"ls {quote(lib)}/slurm_guard   # install it there",
    )


def _sampler_python(facts: Facts) -> Iterator[Said]:
    found = seen(facts.sampler_python)
    install = f"{found.path} -m pip install nvidia-ml-py"
    yield from _interpreter(found, "SAMPLER_PYTHON", "no sampler starts", install)


def _library(facts: Facts) -> Iterator[Said]:
    library = seen(facts.library)
    if not library.release:
        yield problem(
            f"LIB={library.path} does not hold the package slurm_guard: no hook does anything",
            f"LIB=…   # in {_WHERE}: python -c 'import sysconfig; print(sysconfig.get_path(\"purelib\"))'",
        )
    for unsafe in library.unsafe[:1]:
        yield problem(f"{unsafe.path} {unsafe.why}, and root runs what lies in it", own(unsafe))


def parse_release(text: str) -> tuple[int, int] | None:
    """Of 0.2.1 the first two numbers, which tell the formats; null: none."""
    parts = text.split(".")
    if len(parts) < 2 or not (parts[0].isdigit() and parts[1].isdigit()):
        return None
    return int(parts[0]), int(parts[1])


def _versions(facts: Facts) -> Iterator[Said]:
    mine = parse_release(facts.release)
    library = seen(facts.library)
    told = [("the hooks' package", library.release)] if library.release else []
    samplers = () if not isinstance(facts.samplers, tuple) else facts.samplers
    told += [(f"the sampler of {s.node}", s.release) for s in samplers if s.release and s.silence is None]
    for what, text in told:
        other = parse_release(text)
        if mine is None or other is None:
            yield unseen(f"{what} is of release {text}, which is no release's number")
        elif mine[0] != other[0] or abs(mine[1] - other[1]) > 1:
            yield problem(
                f"{what} is of release {text} and this program of {facts.release}, more than one apart",
                "install the same release on nodes and head node",
            )
        elif text != facts.release:
            yield warning(
                f"{what} is still of release {text}, and this program of {facts.release}",
                "install the same release, and restart the sampler: systemctl restart slurm-guardd",
            )


def _driver(facts: Facts) -> Iterator[Said]:
    for node, nvml in sorted(seen(facts.nvml).items()):
        if nvml.failure:
            yield problem(
                f"the driver does not answer the sampler's Python: {nvml.failure}",
                "nvidia-smi   # as root; in a container: is the driver's library there?",
                node,
            )
        elif nvml.n_gpus == 0:
            yield problem("the driver knows of no GPU", "nvidia-smi -L; lspci | grep -i nvidia", node)
        else:
            yield ok(f"driver {nvml.driver} answers with {nvml.n_gpus} GPUs", node)


CHECKS = (
    Check(
        "hook-settings",
        "slurm-guard-hooks.conf: a plain file of root's alone to write, of settings, without a CR",
        "The hooks run as root and read no other file; one that others may write they ignore.",
        "`chown root:root` and `chmod 644`",
        NODE,
        "the hooks' settings are read and right",
        _settings,
    ),
    Check(
        "settings-agree",
        "folders in the hooks' settings beside those in guard.toml",
        "Hooks and sampler meet in these folders; each has its own file.",
        "the same paths in both",
        NODE,
        "hooks and sampler use the same folders",
        _agree,
    ),
    Check(
        "hook-python",
        "`PYTHON` of the hooks: there, root's, 3.10 or later, and it loads the hooks",
        "A hook that does not start leaves one line in syslog and a run without a ticket.",
        "the system's own Python, and `LIB` with the package",
        NODE,
        "the hooks' Python loads them",
        _hook_python,
    ),
    Check(
        "sampler-python",
        "`SAMPLER_PYTHON`: there, root's, 3.10 or later, and it loads the sampler and pynvml",
        "Without a sampler all GPU time of the node is unobserved.",
        "`pip install nvidia-ml-py` into its environment",
        NODE,
        "the sampler's Python loads it",
        _sampler_python,
    ),
    Check(
        "hook-package",
        "`LIB`: the package is in it, and it and its folders are root's",
        "It is run as root at each job's start and end.",
        "`LIB=` with the folder that holds slurm_guard",
        NODE,
        "the hooks' package is there and root's",
        _library,
    ),
    Check(
        "releases",
        "releases of the hooks' package and of the running sampler beside this program's",
        "Node half and head may differ by one release either way; beyond that files may not be understood.",
        "install the same release everywhere",
        NODE,
        "hooks, sampler and this program are of one release",
        _versions,
    ),
    Check(
        "driver",
        "whether NVML answers the sampler's Python, with at least one GPU",
        "The sampler reads everything about GPUs there.",
        "`nvidia-smi` as root",
        NODE,
        "the driver answers",
        _driver,
        "run it as root on a GPU node",
    ),
)
