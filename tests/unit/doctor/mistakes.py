"""What an admin may have done, one fact of a healthy cluster spoilt at a time; also what only looks wrong."""

from dataclasses import replace
from typing import Any

from slurm_guard.config import AuditConfig, Config
from slurm_guard.configmaintenance import MaintenanceConfig
from slurm_guard.doctor.checks.bare import MADE
from slurm_guard.doctor.facts import (
    Accounting,
    Auditor,
    Control,
    Database,
    Gres,
    Leftover,
    Library,
    MailTry,
    NodeData,
    Nvml,
    Quarantine,
    SamplerState,
    Skew,
    SlurmNode,
    Spool,
    StuckLetter,
    Switch,
    Unsafe,
)
from slurm_guard.doctor.finding import Level, Unseen
from slurm_guard.doctor.fromstore import StoreState
from slurm_guard.doctor.shut import Shut
from slurm_guard.doctor.timer import Timer
from slurm_guard.model import NodeCoverage
from tests.unit.doctor import builders as b

GONE = Unseen("the disk does not answer")
P, W, U, OK = Level.PROBLEM, Level.WARNING, Level.UNSEEN, Level.OK
S3 = "s3://b/c"
FAR = b.NOW_AT - 5 * 86_400
OTHERS = (Unsafe("/opt/x", "may be written by everybody"),)

SHIM = f"{b.LIBEXEC}/slurm-guard-prolog"
SEEN = b.heard("n1", b.NOW_AT - 3600)
RAN = b.NOW_AT - 4 * 3600  # a job with GPUs began, long enough before the last collection
UNIT = Control(True, False, "/etc/systemd/system/multi-user.target.wants/slurm-guardd.service", "")
NO_LIMIT = b.running(PrologEpilogTimeout="65534")
INSTALLED = f"{b.LIBEXEC}/site/prolog"  # calls ours, becomes the site's
SITES_OWN: list[dict[str, Any]] = [  # programs of the site's that a limit could end: install sets none
    {"hooks": b.hooks(b.line("Prolog", "/etc/slurm/prolog.sh", b.file("/etc/slurm/prolog.sh", shim=SHIM)))},
    {
        "hooks": b.hooks(
            b.line(
                "Prolog",
                INSTALLED,
                b.file(INSTALLED, shim=SHIM),
                b.file("/etc/slurm/prolog.sh", inner=True, ours=False, shim=""),
            )
        )
    },
    {"running": b.running(PrologEpilogTimeout="65534", PrologSlurmctld="/etc/slurm/ctld.sh")},
]
FOLDER = b.file("/etc/slurm/prolog.d/zz-slurm-guard", shim=SHIM)  # ours alone, in a folder of the site's
WINDOW = MaintenanceConfig("n[1-2]", "2027-01-10", "2027-01-17", "firmware")


def _kept(*windows: MaintenanceConfig) -> dict[str, Any]:
    return {"guard": b.guard(config=replace(b.CONFIG, maintenance=list(windows)))}


# check, what is spoilt, level, words of the sentence
MISTAKES: list[tuple[str, dict[str, Any], Level, str]] = [
    ("installed", b.BARE, P, "not installed on this machine"),
    ("installed", {**b.BARE, "hooks": GONE}, P, "not installed on this machine"),
    *((check, b.BARE, U, "is not installed here") for check in sorted(MADE)),
    ("slurmctld", {"running": GONE}, P, "the disk does not answer"),
    ("slurm-version", {"running": b.running("20.11.9")}, P, "older than 22.05"),
    ("slurm-version", {"running": b.running("27.05.1")}, W, "newer than 26.05"),
    ("slurm-version", {"running": b.running("master")}, W, "none of Slurm's"),
    ("prolog-flags", {"running": b.running(PrologFlags="")}, P, "PrologFlags=Alloc"),
    ("prolog-flags", {"running": b.running(PrologFlags="Serial,DeferBatch")}, P, "some nodes"),
    ("prolog-flags", {"running": b.running("22.05.8", PrologFlags="ForceRequeueOnFail")}, P, "some nodes"),
    ("prolog-timeout", {"running": b.running(PrologEpilogTimeout="65534")}, W, "no time limit"),
    ("prolog-timeout", {"running": b.running(PrologEpilogTimeout="2")}, P, "after 2 s"),
    (
        "prolog-timeout",
        {"running": NO_LIMIT, "hooks": b.hooks(b.line("Prolog", "/etc/slurm/prolog.d/*", FOLDER))},
        W,
        "no time limit",
    ),
    ("maintenance", _kept(replace(WINDOW, since="2026-09-01", until="2026-09-02")), W, "ended 135 days ago"),
    ("maintenance", _kept(replace(WINDOW, until="2027-12-31")), W, "in which silent nodes are not missed"),
    ("maintenance", _kept(replace(WINDOW, nodes="n[2-4]")), W, "names n3, n4, which Slurm does not know"),
    ("maintenance", {**_kept(WINDOW), "slurm_nodes": GONE, "now_at": FAR + 1e8}, W, "days ago"),
    ("maintenance", {"guard": b.guard(config=None, error="config-value: maintenance")}, U, "not right"),
    ("node-data", {**_kept(replace(WINDOW, nodes="n1")), "data": (SEEN, b.heard("n2", FAR))}, P, "01-10"),
    (
        "node-data",
        {**_kept(replace(WINDOW, until="2027-01-11")), "data": (SEEN, b.heard("n2", FAR))},
        P,
        "01-10",
    ),
    (
        "prolog-timeout",
        {"running": b.running("25.05.1", PrologEpilogTimeout="", PrologTimeout="30", EpilogTimeout="")},
        W,
        "Epilogs have no time limit",
    ),
    ("run-in-job", {"running": b.running("24.05.1", PrologFlags="Alloc,RunInJob")}, P, "dies with its job"),
    (
        "slurm-conf-read",
        {"running": b.running(HASH_VAL="Different Ours=0x1"), "conf": GONE},
        W,
        "was changed",
    ),
    (
        "slurm-conf-read",
        {
            "running": b.running(HASH_VAL="Different"),
            "conf": b.conf("Prolog=/other\nEpilog=/rig/libexec/slurm-guard-epilog\n"),
        },
        P,
        "another Prolog, PrologFlags",
    ),
    ("slurm-conf-read", {"running": b.running(HASH_VAL="")}, U, "did not say"),
    ("job-ids", {"running": b.running(NEXT_JOB_ID="67000000")}, W, "43,328 more jobs"),
    ("job-ids", {"running": b.running(NEXT_JOB_ID="")}, U, "which job ids"),
    ("accounting-type", {"running": b.running(AccountingStorageType="")}, P, "unset"),
    ("accounting-tres", {"running": b.running(AccountingStorageTRES="cpu,mem")}, P, "lacks gres/gpu"),
    ("accounting-tres", {"conf": b.conf("AccountingStorageTRES=cpu\n")}, P, "until it is restarted"),
    ("accounting-tres", {"conf": b.conf("ClusterName=rig\n")}, P, "until it is restarted"),
    ("slurm-conf-safe", {"conf_unsafe": OTHERS}, P, "by everybody, and slurm.conf says"),
    ("slurm-conf-safe", {"conf_unsafe": (Unsafe("/etc/slurm", "belongs to uid 7"),)}, P, "uid 7"),
    ("accounting-flags", {"running": b.running(AccountingStoreFlags="")}, W, "lacks job_comment:"),
    ("accounting-flags", {"running": b.running("23.02.1")}, W, "lacks job_extra:"),
    ("extra-constraints", {"running": b.running(SchedulerParameters="bf_x,extra_constraints")}, W, "--extra"),
    ("slurmdbd", {"database": GONE}, P, "does not answer sgaudit"),
    ("slurmdbd", {"database": Database(("other",), ("gres/gpu",), "")}, P, "no cluster rig"),
    ("slurmdbd", {"database": Database(("rig",), ("cpu",), "")}, P, "knows no gres/gpu"),
    ("sacct", {"accounting": GONE}, P, "cannot be read"),
    ("sacct", {"accounting": Accounting(40, 3, "x")}, W, "3 of sacct"),
    (
        "private-data",
        {
            "running": b.running(PrivateData="jobs,usage"),
            "database": Database(("rig",), ("gres/gpu",), "none"),
        },
        P,
        "from sgaudit",
    ),
    ("gres-types", {"running": b.running(GresTypes="")}, P, "no GPU on this cluster"),
    ("gres-files", {"gres": Gres("/etc/slurm/gres.conf", None)}, P, "there is no"),
    ("gres-files", {"gres": b.gres("Name=gpu Count=4\n")}, P, "names no File="),
    ("gres-files", {"gres": b.gres("AutoDetect=off\n")}, P, "no line Name=gpu"),
    ("gres-devices", {"gres": b.gres("Name=gpu File=/dev/nothing[0-1]\n")}, P, "/dev/nothing0 is not there"),
    ("gres-devices", {"gres": b.gres("Name=gpu File=/etc/passwd\n")}, P, "is no device"),
    (
        "drained-nodes",
        {"slurm_nodes": (SlurmNode("n7", "gpu:1", "drained", "Prolog error"),)},
        P,
        "its prolog",
    ),
    ("prolog-hook", {"hooks": ()}, P, "no Prolog= line"),
    ("epilog-hook", {"hooks": b.hooks(b.line("Epilog", "/x", b.file("/x", ours=False)))}, P, "does not run"),
    ("prolog-hook", {"hooks": b.hooks(b.line("Prolog", "/x", b.file("/x", ours=None)))}, U, "not readable"),
    (
        "task-prolog-hook",
        {"hooks": b.hooks(b.line("TaskProlog", "/x", b.file("/x", ours=False)))},
        W,
        "does not",
    ),
    ("second-line", {"conf": b.conf("Prolog=/site\nProlog=/ours\n")}, P, "replaces line 1's Prolog=/site"),
    (
        "second-line",
        {"conf": b.conf("TaskProlog=/a\nTaskProlog=/b\n"), "running": b.running("25.05.1")},
        P,
        "TaskProlog",
    ),
    (
        "hook-globs",
        {"hooks": b.hooks(replace(b.line("Prolog", "/etc/p.d/*"), files=()))},
        P,
        "matches no file",
    ),
    (
        "hook-globs",
        {"hooks": b.hooks(b.line("Prolog", "/etc/p.d/*", b.file("/etc/p.d/README", executable=False)))},
        P,
        "README, which cannot be run",
    ),
    ("hook-files", {"hooks": b.hooks(b.line("Epilog", "/x", b.file("/x", exists=False)))}, P, "is not there"),
    (
        "hook-files",
        {
            "hooks": b.hooks(
                b.line("Prolog", "/w", b.file("/w"), b.file("/s", exists=False, ours=False, inner=True))
            )
        },
        P,
        "calls /s, which is not there: the node is drained",
    ),
    (
        "hook-files",
        {"hooks": b.hooks(b.line("Prolog", "/w", b.file("/w"), b.file("/s", exists=False, inner=True)))},
        P,
        "our hook does not run",
    ),
    (
        "hook-files",
        {"hooks": b.hooks(b.line("Epilog", "/x", b.file("/x", executable=False)))},
        P,
        "cannot be run",
    ),
    (
        "hook-files",
        {"hooks": b.hooks(b.line("Prolog", "/x", b.file("/x", unsafe=OTHERS)))},
        P,
        "by everybody",
    ),
    (
        "hook-files",
        {"hooks": b.hooks(b.line("TaskProlog", "/x", b.file("/x", world_runs=False)))},
        P,
        "users may not",
    ),
    ("hook-files", {"hooks": b.hooks(b.line("Prolog", "x", b.file("x")))}, U, "no full path"),
    (
        "site-kills",
        {"hooks": b.hooks(b.line("Epilog", "/x", b.file("/x", kills="killall -u root")))},
        W,
        "killall",
    ),
    ("hook-settings", {"settings": replace(b.settings(), refused="others may write it")}, P, "ignore"),
    ("hook-settings", {"settings": replace(b.settings(), odd=("PYTHN=/x",))}, W, "PYTHN"),
    ("hook-settings", {"settings": replace(b.settings(), n_cr=3)}, W, "3 lines with a CR at the end"),
    ("hook-settings", {"settings": b.settings(LIB="lib")}, P, "no full path"),
    ("settings-agree", {"settings": b.settings(SPOOL_DIR="/elsewhere")}, P, "two spools"),
    ("settings-agree", {"settings": b.settings(DISABLED="/x")}, W, "not the hooks"),
    ("hook-python", {"hook_python": b.python(exists=False)}, P, "is not there"),
    ("hook-python", {"hook_python": b.python(executable=False)}, P, "cannot be run"),
    ("hook-python", {"hook_python": b.python(version=(3, 6), failure="SyntaxError")}, P, "Python 3.6"),
    ("hook-python", {"hook_python": b.python(unsafe=OTHERS, tried=False)}, P, "by everybody"),
    ("hook-python", {"hook_python": b.python(tried=False)}, U, "was not started"),
    ("hook-python", {"hook_python": b.python(script=True)}, W, "50 ms"),
    ("sampler-python", {"sampler_python": b.python(failure="No module named 'pynvml'")}, P, "pynvml"),
    ("hook-package", {"library": Library("/usr/lib/x", "", ())}, P, "does not hold"),
    ("hook-package", {"library": Library("/usr/lib/x", "1.2.3", OTHERS)}, P, "by everybody"),
    ("releases", {"release": "1.5.0"}, P, "more than one apart"),
    ("releases", {"samplers": (SamplerState("n1", None, "", "1.1.9"),)}, W, "still of release 1.1.9"),
    ("driver", {"nvml": {"n1": Nvml(0, "", "Driver Not Loaded")}}, P, "Not Loaded"),
    ("driver", {"nvml": {"n1": Nvml(0, "580")}}, P, "no GPU"),
    ("sampler", {"samplers": (SamplerState("n1", "stopped yesterday: SIGTERM", "", "1"),)}, P, "SIGTERM"),
    ("sampler", {"samplers": (SamplerState("n1", None, "", "1", ("bytes",)),)}, W, "does not see bytes"),
    ("sampler", {"samplers": (), "settings": b.settings(START_SAMPLER="no")}, P, "nobody starts"),
    ("sampler", {"samplers": ()}, W, "since the boot"),
    ("switched-off", {"switches": (Switch("/etc/slurm-guard/disabled", 0.0),)}, W, "since 1970-01-01"),
    ("run-folder", {"folders": b.folders(run=b.folder("/r", 0o777))}, P, "others may change tickets"),
    ("run-folder", {"folders": b.folders(run=b.folder("/r", 0o711, uid=7, owner="eve"))}, P, "eve's"),
    ("spool-folder", {"folders": b.folders(spool=b.folder("/s", 0o2755))}, P, "everybody may look"),
    ("spool-folder", {"folders": b.folders(spool=b.folder("/s", 0o750))}, P, "set-group-id"),
    ("spool-folder", {"folders": b.folders(spool=b.folder("/s", 0o2750, gid=0))}, W, "group root"),
    ("spool-folder", {"folders": b.folders(spool=b.folder("/s", 0o2750, is_dir=False))}, P, "is no folder"),
    ("progress-folder", {"folders": b.folders(progress=b.folder("/p", 0o750))}, P, "users cannot enter"),
    (
        "progress-folder",
        {"folders": b.folders(progress=replace(b.folder("/p", 0), exists=False))},
        W,
        "not there yet",
    ),
    ("node-room", {"folders": b.folders(spool=b.folder("/s", 0o2750, free_b=1 << 20))}, P, "all that fits"),
    ("node-room", {"folders": b.folders(spool=b.folder("/s", 0o2750, n_free=10))}, P, "10 files"),
    ("node-room", {"folders": b.folders(spool=b.folder("/s", 0o2750, free_b=1 << 30))}, W, "nearly full"),
    ("clocks", {"skews": (Skew("n2", -200.0, 5),)}, P, "200 s behind"),
    ("clocks", {"skews": (Skew("n2", -8.0, 5),)}, W, "8 s behind"),
    ("clocks", {"skews": (Skew("n2", 400.0, 5),)}, P, "400 s ahead of"),
    ("clocks", {"skews": ()}, U, "no ticket"),
    ("cgroups", {"running": b.running(ProctrackType="proctrack/pgid")}, P, "process groups"),
    ("cgroups", {"running": b.running(ProctrackType="proctrack/linuxproc")}, W, "leave their parents"),
    ("cgroups", {"control": Control(False, False, "", "")}, P, "no control groups"),
    ("cgroups", {"running": b.running("26.05.1"), "control": Control(False, True, "", "")}, OK, "SLUID"),
    ("parser-user", {"control": Control(True, False, "", "this machine does not know it")}, P, "nobody"),
    ("half-installed", {"leftovers": (Leftover("/j", "applying"),)}, P, "stopped half-way"),
    ("half-installed", {"leftovers": (Leftover("/j", "undoing"),)}, P, "not taken off wholly"),
    ("half-installed", {"leftovers": (Leftover("/j", "unreadable"),)}, P, "cannot be read"),
    ("guard-toml", {"guard": b.guard(config=None, error="config-key: unknown key x")}, P, "unknown key"),
    ("guard-toml", {"guard": b.guard(warnings=("network.cluster holds all",))}, W, "holds all"),
    ("guard-toml", {"guard_as_auditor": b.guard(config=None, error="config-unreadable: no")}, P, "sgaudit"),
    ("time-zone", {"guard": b.guard(zone_error="no zone Mars/Base")}, P, "Mars"),
    ("lake-folder", {"stores": b.stores(lake=b.folder("/l", 0o755, uid=999))}, P, "everybody may read"),
    ("lake-folder", {"stores": b.stores(lake=b.folder("/l", 0o770, uid=999))}, W, "may change"),
    ("lake-folder", {"stores": b.stores(lake=b.folder("/l", 0o750))}, W, "root's"),
    (
        "lake-folder",
        {"stores": b.stores(lake=replace(b.folder("/l", 0), exists=False))},
        P,
        "there is no lake",
    ),
    ("reports-folder", {"stores": b.stores(reports=b.folder("/r", 0o755, uid=999))}, P, "verdicts"),
    ("reports-folder", {"stores": b.stores(reports=b.folder("/r", 0o750, uid=5))}, W, "who audits"),
    ("lake-folder", {"shut": {"lake": Shut(3, "/l/a"), "reports": Shut()}}, P, "3 files in"),
    ("lake-folder", {"shut": {"lake": Shut(3, "/l/a", all_seen=False), "reports": Shut()}}, P, "at least 3"),
    ("reports-folder", {"shut": {"lake": Shut(), "reports": Shut(1, "/r/a")}}, P, "1 file in"),
    ("own-folder", {"stores": b.stores(own=b.folder("/o", 0o711, uid=7))}, P, "writes no users' own"),
    ("own-folder", {"stores": b.stores(own=b.folder("/o", 0o700, uid=999))}, P, "cannot reach"),
    ("own-folder", {"stores": b.stores(own=b.folder("/o", 0o755, uid=999))}, W, "may list"),
    ("head-room", {"stores": b.stores(lake=b.folder("/l", 0o750, free_b=0))}, P, "all that fits"),
    ("quarantine", {"quarantine": Quarantine(4, 3, "/q/a.reason", "torn: no end")}, W, "3 files"),
    ("quarantine", {"quarantine": Quarantine(4, 0, "/q/a.reason", "torn")}, OK, "none of the last week"),
    ("store", {"store": StoreState(S3, has_library=False)}, P, "boto3 is not installed"),
    ("store", {"store": StoreState(S3, kind="source")}, W, "was sent to s3://b/c as a whole"),
    ("store", {"store": StoreState(S3, kind="source", last_at=FAR)}, W, "as a whole 5 days ago"),
    ("store", {"store": StoreState(S3, kind="copy", last_at=FAR)}, W, "fetched from s3://b/c as a whole 5"),
    ("store", {"store": StoreState(S3, kind="source", last_at=b.NOW_AT - 7200)}, OK, "sent to s3://b/c 2 h"),
    ("store", {"store": GONE}, U, "the disk does not answer"),
    ("node-data", {"data": (SEEN,)}, P, "nothing of it was ever"),
    ("node-data", {"data": (SEEN, NodeData("n2", None))}, P, "nothing of it was ever"),
    ("node-data", {"data": (SEEN, b.heard("n2", FAR))}, P, "is of 2027-01-10"),
    ("node-data", {"data": (b.heard("n2", FAR),), "slurm_nodes": GONE}, P, "is of 2027-01-10"),
    ("node-data", {"data": (SEEN,), "accounting": GONE}, U, "whether n2 had a job"),
    (
        "node-data",
        {"data": (NodeData("n1", FAR, FAR, FAR), b.heard("n2", b.NOW_AT))},
        P,
        "is of 2027-01-10",
    ),
    (
        "node-data",  # collecting itself stopped: what ran since counts all the same
        {"data": (NodeData("n1", FAR, FAR, FAR),), "accounting": b.accounting(n1=b.NOW_AT - 900)},
        P,
        "is of 2027-01-10",
    ),
    (
        "node-data",  # n1 is this machine
        {"data": (b.heard("n2", RAN),), "accounting": b.accounting(), "control": UNIT, "samplers": ()},
        P,
        "systemd runs its sampler, which does not beat",
    ),
    ("node-data", {"data": ()}, W, "of any node yet"),
    ("spools", {"spools": (Spool("/nowhere", False),)}, P, "names /nowhere, which is no folder"),
    ("spools", {"spools": (Spool("/s", True, "/s/n1", "sgship"),)}, P, "sgaudit, who collects, may not read"),
    ("last-night", {"night": b.night(until_at=FAR)}, P, "5 days ago"),
    ("last-night", {"night": b.night(release="1.1.0")}, W, "by release 1.1.0"),
    ("last-night", {"night": None}, W, "no night"),
    ("coverage", {"night": b.night(nodes=(NodeCoverage("n3", 0, 0, None, ""),))}, P, "heard of n3"),
    (
        "coverage",
        {"night": b.night(nodes=(NodeCoverage("n3", 4, 9, 1.0, "silent from 3 to 5"),))},
        W,
        "from 3 to 5",
    ),
    ("coverage", {"night": b.night(nodes=(NodeCoverage("n3", 0, 0, None, "heard, but"),))}, W, "heard, but"),
    ("gres-devices", {"gres": b.gres("NodeName=n[1-2] Name=gpu File=/dev/nothing\n")}, P, "is not there"),
    ("coverage", {"night": None}, U, "no night"),
    ("schedule", {"schedule": (Timer("/etc/cron.d/a.b", (), "cron passes over it", "mv"),)}, P, "no night"),
    ("audit-program", {"barred": (("/opt/x/bin/slurm-guard", "/opt/x"),)}, P, "/opt/x bars him"),
    ("schedule", {"schedule": (Timer("/etc/cron.d/a", as_root=True),)}, P, "as-root"),
    ("schedule", {"schedule": ()}, W, "neither cron nor systemd"),
    ("mail-readers", {"guard": b.guard(config=Config())}, W, "mail.to is empty"),
    ("mail-server", {"mail": MailTry("mail-login: 535 no", "look")}, P, "535 no"),
    ("chat", {"chat": MailTry("secret-unsafe: others may read it", "chmod")}, P, "others may read it"),
    ("letters", {"letters": (StuckLetter("n/a", "unclear", "x@y", "?"),)}, W, "is unclear"),
]


# check, what is otherwise than usual and yet right
NEAR_MISSES: list[tuple[str, dict[str, Any]]] = [
    ("installed", {"traces": ()}),  # by hand, with a call in the site's prolog and places of its own
    ("installed", {"hooks": (), "traces": ("/srv/lake",)}),  # a head node whose slurm.conf lies elsewhere
    ("prolog-flags", {"running": b.running("26.05.1", PrologFlags="DeferBatch")}),
    ("prolog-flags", {"running": b.running("24.05.1", PrologFlags="RunInJob")}),
    ("prolog-flags", {"running": GONE, "conf": b.conf("PrologFlags=Contain\n")}),
    (
        "prolog-timeout",
        {"running": b.running("25.05.1", PrologEpilogTimeout="", PrologTimeout="30", EpilogTimeout="30")},
    ),
    ("prolog-timeout", {"running": b.running("25.05.1")}),
    *(("prolog-timeout", {"running": NO_LIMIT, **site}) for site in SITES_OWN),
    (
        "run-in-job",
        {"running": b.running(PrologFlags="RunInJob"), "settings": b.settings(START_SAMPLER="no")},
    ),
    ("second-line", {"conf": b.conf("Prolog=/a\nProlog=/b\n"), "running": b.running("24.05.1")}),
    ("accounting-tres", {"conf": b.conf("ClusterName=x\n"), "running": b.running(HASH_VAL="Different")}),
    ("accounting-tres", {"conf": b.conf("AccountingStorageTRES=GRES/gpu:h100,gres/gpu\n")}),
    (
        "slurm-conf-safe",
        {
            "running": b.running(SlurmUser="slurm(64030)"),
            "conf_unsafe": (Unsafe("/etc/slurm", "belongs to uid 64030"),),
        },
    ),
    ("private-data", {"running": b.running(PrivateData="jobs")}),
    ("private-data", {"running": b.running(PrivateData="accounts"), "database": GONE}),
    ("gres-files", {"gres": b.gres("AutoDetect=nvml\n")}),
    ("gres-devices", {"gres": b.gres("NodeName=other Name=gpu File=/dev/nothing\n")}),
    ("drained-nodes", {"slurm_nodes": (SlurmNode("n1", "gpu:1", "drained", "broken fan"),)}),
    ("task-prolog-hook", {"hooks": b.hooks(b.line("TaskProlog", "/x", b.file("/x", ours=True)))}),
    (
        "hook-files",
        {
            "running": b.running(SlurmUser="slurm(64030)"),
            "hooks": b.hooks(
                b.line("Prolog", "/x", b.file("/x", unsafe=(Unsafe("/etc/slurm", "belongs to uid 64030"),)))
            ),
        },
    ),
    ("node-data", {"slurm_nodes": (*b.NODES, SlurmNode("n3", "(null)", "idle", ""))}),
    ("node-data", {"slurm_nodes": (*b.NODES, SlurmNode("n3", "gpu:1", "down*", ""))}),
    ("node-data", {"slurm_nodes": (*b.NODES, SlurmNode("n3", "gpu:1", "idle~", ""))}),
    ("node-data", {"slurm_nodes": (*b.NODES, SlurmNode("n3", "gpu:1", "maint", ""))}),
    ("node-data", {**_kept(WINDOW), "data": (SEEN, b.heard("n2", FAR))}),
    ("node-data", {"data": (SEEN,), "accounting": b.accounting(n1=RAN)}),  # n2 had no job yet
    ("node-data", {"data": (SEEN, b.heard("n2", FAR)), "accounting": b.accounting(n1=RAN)}),  # booted since
    ("node-data", {"data": (b.heard("n1", b.NOW_AT, RAN + 60),), "accounting": b.accounting(n2=RAN)}),
    ("node-data", {"data": (SEEN,), "accounting": b.accounting(n2=b.NOW_AT - 900)}),  # not collected since
    ("node-data", {"data": (b.heard("n2", RAN),), "accounting": b.accounting(), "control": UNIT}),
    ("spools", {"spools": (Spool(b.CONFIG.node.spool_dir, False),)}),  # nodes send theirs by ssh
    ("coverage", {"night": b.night(nodes=(NodeCoverage("n3", 0, 0, None, "in maintenance: x"),))}),
    ("maintenance", _kept(WINDOW, replace(WINDOW, since="2027-03-01", until="2027-03-02"))),
    ("maintenance", {**_kept(replace(WINDOW, nodes="n[2-4]")), "slurm_nodes": GONE}),
    ("gres-devices", {"gres": b.gres("NodeName=n1[0-9] Name=gpu File=/dev/nothing\n")}),
    (
        "coverage",
        {
            "slurm_nodes": (*b.NODES, SlurmNode("c1", "(null)", "idle", "")),
            "night": b.night(nodes=(NodeCoverage("c1", 0, 0, None, "nothing was heard"),)),
        },
    ),
    ("schedule", {"schedule": (Timer("/etc/cron.d/a.bak", (), "passed over", "mv"), Timer("/x.timer"))}),
    ("schedule", {"schedule": (Timer("/etc/cron.d/a", as_root=True),), "auditor": Auditor("root", 0)}),
    ("mail-server", {"guard": b.guard(config=Config()), "mail": MailTry("mail-server: no")}),
    ("own-folder", {"stores": b.stores(own=replace(b.folder("/o", 0), exists=False))}),
    (
        "clocks",
        {
            "skews": (Skew("n1", 30.0, 2),),
            "guard": b.guard(config=replace(b.CONFIG, audit=AuditConfig(slack_s=3))),
        },
    ),
]
