/* libnvidia-ml.so.1 for the test rig: NVML's names, answered from boards.state beside this library.
 * Written from nvml.h's public signatures as nvidia-ml-py 13 calls them; nothing of NVIDIA's is copied.
 * What is not here is reported as missing (pynvml: FUNCTION_NOT_FOUND), what a model lacks as NOT_SUPPORTED. */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>
#include "knobs.h"
#include "state.h"

enum { OK = 0, UNINITIALIZED = 1, INVALID = 2, UNSUPPORTED = 3, NOT_FOUND = 6, TOO_SMALL = 7, NO_DRIVER = 9,
       LOST = 15, RM_MISMATCH = 18, VERSION_MISMATCH = 25, UNKNOWN = 999 };
#define API __attribute__((visibility("default")))
typedef struct handle { uint32_t index; } *dev_t_;

static struct handle handles[MAX_BOARDS];
static struct handle parts[MAX_BOARDS][8]; /* MIG instances; [0] is not used, instance ids begin at 1 */
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static const struct state *map;
static ino_t map_ino;
static int users;

/* The folder of this library, with its slash. */
static const char *folder(void) {
    static char path[4096];
    Dl_info info;
    if (path[0] || !dladdr((void *)folder, &info) || !info.dli_fname) return path;
    snprintf(path, sizeof path, "%s", info.dli_fname);
    char *slash = strrchr(path, '/');
    if (slash) slash[1] = 0; else path[0] = 0;
    return path;
}

static const struct knobs *knobs(void) { return knobs_now(folder()); }

/* Map the file, or map it anew when the board process replaced it. The old map is left: readers may hold it. */
static int open_state(void) {
    char path[4200];
    struct stat st;
    snprintf(path, sizeof path, "%sboards.state", folder());
    if (knobs()->absent) return NO_DRIVER;
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
    if (fd < 0) return NO_DRIVER;
    int bad = fstat(fd, &st) || !S_ISREG(st.st_mode) || (size_t)st.st_size < sizeof(struct state);
    if (!bad && map && st.st_ino == map_ino) { close(fd); return OK; }
    void *p = bad ? MAP_FAILED : mmap(NULL, sizeof(struct state), PROT_READ, MAP_SHARED, fd, 0);
    close(fd);
    if (p == MAP_FAILED) return NO_DRIVER;
    if (((const struct state *)p)->head.magic != STATE_MAGIC ||
        ((const struct state *)p)->head.board_bytes != sizeof(struct board)) { munmap(p, sizeof(struct state)); return NO_DRIVER; }
    map = p;
    map_ino = st.st_ino;
    return OK;
}

static uint64_t now_us(void) {
    struct timespec t;
    clock_gettime(CLOCK_REALTIME, &t);
    return (uint64_t)t.tv_sec * 1000000u + (uint64_t)t.tv_nsec / 1000u;
}

/* A consistent copy under the seqlock; LOST when the writer fell silent. */
static int copy_once(struct header *head, uint32_t index, struct board *out) {
    for (int tries = 0; tries < 2000; tries++) {
        uint64_t before = __atomic_load_n(&map->head.seq, __ATOMIC_ACQUIRE);
        if (!(before & 1u)) {
            *head = map->head;
            if (out) { *out = map->boards[index]; out->wall_us = head->at_us; }
            __atomic_thread_fence(__ATOMIC_ACQUIRE);
            if (__atomic_load_n(&map->head.seq, __ATOMIC_RELAXED) == before) {
                uint64_t now = now_us();
                return now > head->at_us + (uint64_t)head->stale_ms * 1000u ? LOST : OK;
            }
        }
        usleep(50);
    }
    return LOST;
}

static int look(uint32_t index, struct header *head, struct board *out) {
    pthread_mutex_lock(&lock);
    const struct knobs *k = knobs();
    int rc = !users ? UNINITIALIZED : !map || k->absent ? NO_DRIVER : k->mismatch ? RM_MISMATCH : copy_once(head, index, out);
    if (rc == LOST && open_state() == OK) rc = copy_once(head, index, out);
    pthread_mutex_unlock(&lock);
    return rc;
}

/* Which board a handle is of, and which instance of it (0: the whole board); -1: no handle of ours. */
static int place_of(dev_t_ device, unsigned *instance) {
    *instance = 0;
    if (device >= handles && device < handles + MAX_BOARDS) return (int)(device - handles);
    struct handle *first = &parts[0][0];
    if (device < first || device >= first + MAX_BOARDS * 8) return -1;
    *instance = (unsigned)((device - first) % 8);
    return (int)((device - first) / 8);
}

/* Counters as if they had begun when the knob was seen first. */
static void begin_anew(uint32_t index, struct board *out) {
    static struct board zero[MAX_BOARDS];
    static uint8_t set[MAX_BOARDS];
    if (!knobs()->counters[index]) { set[index] = 0; return; }
    if (!set[index]) { zero[index] = *out; set[index] = 1; }
    out->energy_mj -= zero[index].energy_mj;
    out->sm_cycles -= zero[index].sm_cycles;
    out->pcie_tx_b -= zero[index].pcie_tx_b;
    out->pcie_rx_b -= zero[index].pcie_rx_b;
}

static int see_as(dev_t_ device, struct board *out, const char *function) {
    struct header head;
    unsigned instance;
    if (!users) return UNINITIALIZED;
    int index = place_of(device, &instance);
    if (index < 0) return INVALID;
    while (knobs()->hang[index]) usleep(20000);
    const struct knobs *k = knobs();
    if (k->slow_ms[index]) usleep(k->slow_ms[index] * 1000);
    nap_like(function, k);
    int rc = look((uint32_t)index, &head, out);
    if (rc != OK) return rc;
    if ((uint32_t)index >= head.n_boards) return INVALID;
    if (k->lost[index]) return LOST;
    if (instance > k->mig[index]) return NOT_FOUND; /* an instance that was destroyed */
    begin_anew((uint32_t)index, out);
    return out->flags & FLAG_LOST ? LOST : OK;
}
static int see(dev_t_ device, struct board *out) { return see_as(device, out, "other"); }
static int is_part(dev_t_ device) { unsigned instance; return place_of(device, &instance) >= 0 && instance; }
static int is_split(dev_t_ device) { unsigned i; int at = place_of(device, &i); return at >= 0 && knobs()->mig[at]; }

#define LOOK(device) struct board b; { int rc_ = see_as(device, &b, __func__); if (rc_ != OK) return rc_; }
#define WHOLE(device) if (is_split(device)) return UNSUPPORTED; /* not with MIG, on either handle */
#define NEED(pointer) if (!(pointer)) return INVALID

static int text(char *out, unsigned n, const char *from) {
    NEED(out);
    if (strlen(from) + 1 > n) return TOO_SMALL;
    strcpy(out, from);
    return OK;
}

/* ---- library and system ---- */
API int nvmlInitWithFlags(unsigned flags) {
    (void)flags;
    pthread_mutex_lock(&lock);
    int rc = open_state();
    if (rc == OK) users++;
    pthread_mutex_unlock(&lock);
    return rc;
}
API int nvmlInit_v2(void) { return nvmlInitWithFlags(0); }
API int nvmlInit(void) { return nvmlInitWithFlags(0); }
API int nvmlShutdown(void) {
    pthread_mutex_lock(&lock);
    int rc = users > 0 ? (users--, OK) : UNINITIALIZED;
    pthread_mutex_unlock(&lock);
    return rc;
}
API const char *nvmlErrorString(int rc) {
    switch (rc) {
    case OK: return "The operation was successful";
    case UNINITIALIZED: return "Uninitialized";
    case INVALID: return "Invalid Argument";
    case UNSUPPORTED: return "Not Supported";
    case NOT_FOUND: return "Not Found";
    case TOO_SMALL: return "Insufficient Size";
    case NO_DRIVER: return "Driver Not Loaded";
    case LOST: return "GPU is lost";
    case RM_MISMATCH: return "RM has detected an NVML/RM version mismatch.";
    case VERSION_MISMATCH: return "Argument version mismatch";
    default: return "Unknown Error";
    }
}
API int nvmlSystemGetDriverVersion(char *out, unsigned n) {
    struct header head;
    int rc = look(0, &head, NULL);
    return rc != OK ? rc : text(out, n, knobs()->driver[0] ? knobs()->driver : head.driver);
}
API int nvmlSystemGetNVMLVersion(char *out, unsigned n) { return text(out, n, "13.590.48"); }
API int nvmlSystemGetCudaDriverVersion_v2(int *out) { NEED(out); *out = 13010; return users ? OK : UNINITIALIZED; }
API int nvmlSystemGetCudaDriverVersion(int *out) { return nvmlSystemGetCudaDriverVersion_v2(out); }
API int nvmlSystemGetProcessName(unsigned pid, char *out, unsigned n) {
    char path[64], name[64] = "";
    snprintf(path, sizeof path, "/proc/%u/comm", pid);
    FILE *f = fopen(path, "re");
    if (!f) return NOT_FOUND;
    if (!fgets(name, sizeof name, f)) name[0] = 0;
    fclose(f);
    name[strcspn(name, "\n")] = 0;
    return text(out, n, name);
}

/* ---- devices ---- */
API int nvmlDeviceGetCount_v2(unsigned *out) {
    struct header head;
    NEED(out);
    int rc = look(0, &head, NULL);
    if (rc == OK) *out = head.n_boards;
    return rc;
}
API int nvmlDeviceGetCount(unsigned *out) { return nvmlDeviceGetCount_v2(out); }
API int nvmlDeviceGetHandleByIndex_v2(unsigned index, dev_t_ *out) {
    unsigned n;
    NEED(out);
    int rc = nvmlDeviceGetCount_v2(&n);
    if (rc != OK) return rc;
    if (index >= n) return INVALID;
    struct board b;
    *out = &handles[index];
    return see(*out, &b); /* a lost board has no handle */
}
API int nvmlDeviceGetHandleByIndex(unsigned index, dev_t_ *out) { return nvmlDeviceGetHandleByIndex_v2(index, out); }
static int find(const char *what, int by_bus, dev_t_ *out) {
    unsigned n;
    if (!what || !out) return INVALID;
    int rc = nvmlDeviceGetCount_v2(&n);
    for (unsigned i = 0; rc == OK && i < n; i++) {
        struct board b;
        char bus[32];
        if (see(&handles[i], &b) != OK) continue;
        snprintf(bus, sizeof bus, "00000000:%02X:00.0", b.pci_bus);
        if (!strcasecmp(what, by_bus ? bus : b.uuid)) { *out = &handles[i]; return OK; }
    }
    return rc == OK ? NOT_FOUND : rc;
}
API int nvmlDeviceGetHandleByUUID(const char *uuid, dev_t_ *out) { return find(uuid, 0, out); }
API int nvmlDeviceGetHandleByPciBusId_v2(const char *bus, dev_t_ *out) { return find(bus, 1, out); }
API int nvmlDeviceGetIndex(dev_t_ d, unsigned *out) {
    unsigned instance;
    NEED(out);
    LOOK(d);
    *out = (unsigned)place_of(d, &instance);
    return instance ? UNSUPPORTED : OK;
}
API int nvmlDeviceGetName(dev_t_ d, char *out, unsigned n) {
    char name[128];
    LOOK(d);
    snprintf(name, sizeof name, "%s%s", b.name, is_part(d) ? " MIG 1g.10gb" : "");
    return text(out, n, name);
}
API int nvmlDeviceGetUUID(dev_t_ d, char *out, unsigned n) {
    unsigned instance;
    char uuid[128];
    LOOK(d);
    int at = place_of(d, &instance);
    if (!instance) return text(out, n, b.uuid);
    snprintf(uuid, sizeof uuid, "MIG-%.24s%08x%04x", b.uuid + 4, knobs()->mig_seed[at], instance);
    return text(out, n, uuid);
}
API int nvmlDeviceGetMinorNumber(dev_t_ d, unsigned *out) { NEED(out); LOOK(d); *out = b.minor; return OK; }
API int nvmlDeviceGetArchitecture(dev_t_ d, unsigned *out) { NEED(out); LOOK(d); *out = b.arch; return OK; }
API int nvmlDeviceGetCudaComputeCapability(dev_t_ d, int *major, int *minor) {
    NEED(major && minor);
    LOOK(d);
    *major = (int)b.cc / 10; *minor = (int)b.cc % 10;
    return OK;
}
struct pci { char legacy[16]; unsigned domain, bus, device, device_id, subsystem_id; char id[32]; };
API int nvmlDeviceGetPciInfo_v3(dev_t_ d, struct pci *out) {
    NEED(out);
    LOOK(d);
    memset(out, 0, sizeof *out);
    out->bus = b.pci_bus; out->device_id = b.pci_device_id; out->subsystem_id = b.pci_subsystem_id;
    snprintf(out->legacy, sizeof out->legacy, "0000:%02X:00.0", b.pci_bus);
    snprintf(out->id, sizeof out->id, "00000000:%02X:00.0", b.pci_bus);
    return OK;
}

/* ---- memory, power, clocks ---- */
struct memory { unsigned long long total, free, used; };
struct memory_v2 { unsigned version; unsigned long long total, reserved, free, used; };
API int nvmlDeviceGetMemoryInfo(dev_t_ d, struct memory *out) {
    NEED(out);
    LOOK(d);
    out->total = b.mem_total_b; out->used = b.mem_used_b + b.mem_reserved_b;
    if (is_part(d)) { out->total /= 8; out->used = 0; }
    out->free = out->total - out->used;
    return OK;
}
API int nvmlDeviceGetMemoryInfo_v2(dev_t_ d, struct memory_v2 *out) {
    NEED(out);
    LOOK(d);
    if (out->version != 0x02000028u) return VERSION_MISMATCH;
    out->total = b.mem_total_b; out->reserved = b.mem_reserved_b; out->used = b.mem_used_b;
    out->free = out->total - out->reserved - out->used;
    return OK;
}
#define READ(function, type, expression) \
    API int function(dev_t_ d, type *out) { NEED(out); LOOK(d); *out = (type)(expression); return OK; }
#define READ_WHOLE(function, type, expression) \
    API int function(dev_t_ d, type *out) { NEED(out); LOOK(d); if (is_part(d)) return UNSUPPORTED; *out = (type)(expression); return OK; }
READ_WHOLE(nvmlDeviceGetPowerUsage, unsigned, b.flags & FLAG_AVERAGED ? b.power_average_mw : b.power_mw)
READ(nvmlDeviceGetPowerManagementLimit, unsigned, b.limit_mw)
READ(nvmlDeviceGetEnforcedPowerLimit, unsigned, b.limit_mw)
READ(nvmlDeviceGetPowerManagementDefaultLimit, unsigned, b.limit_default_mw)
READ_WHOLE(nvmlDeviceGetTotalEnergyConsumption, unsigned long long, b.energy_mj)
READ(nvmlDeviceGetCurrentClocksEventReasons, unsigned long long, b.reasons)
READ(nvmlDeviceGetCurrentClocksThrottleReasons, unsigned long long, b.reasons)
READ(nvmlDeviceGetSupportedClocksEventReasons, unsigned long long, 0x1ffu + 0 * b.reasons)
READ(nvmlDeviceGetPersistenceMode, unsigned, 1u + 0 * b.flags)
READ(nvmlDeviceGetComputeMode, unsigned, 0 * b.flags)
READ(nvmlDeviceGetPerformanceState, unsigned, b.n_procs ? 0 : 8)
API int nvmlDeviceGetPowerManagementLimitConstraints(dev_t_ d, unsigned *lo, unsigned *hi) {
    NEED(lo && hi);
    LOOK(d);
    *lo = b.limit_default_mw * 2 / 7; *hi = b.limit_default_mw;
    return OK;
}
struct utilisation { unsigned gpu, memory; };
API int nvmlDeviceGetUtilizationRates(dev_t_ d, struct utilisation *out) {
    NEED(out);
    LOOK(d);
    WHOLE(d)
    out->gpu = b.util_pct; out->memory = b.mem_util_pct;
    return OK;
}
API int nvmlDeviceGetTemperature(dev_t_ d, unsigned sensor, unsigned *out) {
    NEED(out);
    LOOK(d);
    if (sensor != 0) return INVALID;
    *out = b.temp_c;
    return OK;
}
struct temperature { unsigned version, sensor; int temperature; };
API int nvmlDeviceGetTemperatureV(dev_t_ d, struct temperature *t) {
    NEED(t);
    return t->version != 0x100000Cu ? VERSION_MISMATCH : nvmlDeviceGetTemperature(d, t->sensor, (unsigned *)&t->temperature);
}
static int clock_of(dev_t_ d, unsigned type, int max, unsigned *out) {
    NEED(out);
    LOOK(d);
    if (type > 3) return INVALID;
    *out = type == 2 ? (max ? b.max_mem_clock_mhz : b.mem_clock_mhz) : (max ? b.max_sm_clock_mhz : b.sm_clock_mhz);
    return OK;
}
API int nvmlDeviceGetClockInfo(dev_t_ d, unsigned type, unsigned *out) { return clock_of(d, type, 0, out); }
API int nvmlDeviceGetMaxClockInfo(dev_t_ d, unsigned type, unsigned *out) { return clock_of(d, type, 1, out); }
API int nvmlDeviceGetClock(dev_t_ d, unsigned type, unsigned id, unsigned *out) {
    return id == 0 || id == 3 ? clock_of(d, type, id == 3, out) : UNSUPPORTED;
}
API int nvmlDeviceGetPcieThroughput(dev_t_ d, unsigned counter, unsigned *out) {
    NEED(out);
    LOOK(d);
    if (counter > 1) return INVALID;
    *out = counter ? b.pcie_rx_kbs : b.pcie_tx_kbs;
    return OK;
}
API int nvmlDeviceGetMigMode(dev_t_ d, unsigned *current, unsigned *pending) {
    NEED(current && pending);
    LOOK(d);
    *current = *pending = is_split(d) ? 1 : 0;
    return b.flags & FLAG_MIG_CAPABLE ? OK : UNSUPPORTED;
}
API int nvmlDeviceGetMaxMigDeviceCount(dev_t_ d, unsigned *out) { NEED(out); LOOK(d); *out = b.flags & FLAG_MIG_CAPABLE ? 7 : 0; return OK; }
API int nvmlDeviceGetMigDeviceHandleByIndex(dev_t_ d, unsigned place, dev_t_ *out) {
    unsigned instance;
    NEED(out);
    LOOK(d);
    int at = place_of(d, &instance);
    if (instance || !knobs()->mig[at]) return INVALID;
    if (place >= knobs()->mig[at]) return NOT_FOUND;
    *out = &parts[at][place + 1];
    return OK;
}
API int nvmlDeviceGetGpuInstanceId(dev_t_ d, unsigned *out) {
    NEED(out);
    LOOK(d);
    place_of(d, out);
    return *out ? OK : UNSUPPORTED;
}
#define REFUSE(function, ...) API int function(dev_t_ d, ##__VA_ARGS__) { LOOK(d); return UNSUPPORTED; }
REFUSE(nvmlDeviceGetSamples, unsigned type, unsigned long long since, unsigned *value_type, unsigned *n, void *out)
REFUSE(nvmlDeviceGetSerial, char *out, unsigned n)

/* ---- accounting: the mode is a file beside the library, as a driver keeps it beyond one process ---- */
static void path_of_mode(unsigned index, char *out, size_t n) { snprintf(out, n, "%saccounting.%u", folder(), index); }
static int mode_of(dev_t_ d) {
    char path[4200];
    unsigned instance;
    path_of_mode((unsigned)place_of(d, &instance), path, sizeof path);
    return access(path, F_OK) == 0;
}
API int nvmlDeviceGetAccountingMode(dev_t_ d, unsigned *out) { NEED(out); LOOK(d); WHOLE(d) *out = (unsigned)mode_of(d); return OK; }
API int nvmlDeviceSetAccountingMode(dev_t_ d, unsigned mode) {
    char path[4200];
    unsigned instance;
    LOOK(d);
    WHOLE(d)
    path_of_mode((unsigned)place_of(d, &instance), path, sizeof path);
    if (!mode) return unlink(path) ? UNKNOWN : OK;
    int fd = open(path, O_CREAT | O_WRONLY | O_CLOEXEC, 0644);
    return fd < 0 ? UNKNOWN : (close(fd), OK);
}
API int nvmlDeviceGetAccountingBufferSize(dev_t_ d, unsigned *out) { NEED(out); LOOK(d); *out = MAX_ROWS; return OK; }
API int nvmlDeviceGetAccountingPids(dev_t_ d, unsigned *n, unsigned *pids) {
    unsigned instance, found = 0;
    NEED(n);
    LOOK(d);
    WHOLE(d)
    if (!mode_of(d)) return UNSUPPORTED;
    unsigned at = (unsigned)place_of(d, &instance);
    const struct knobs *k = knobs();
    for (int i = 0; i < k->n_acct; i++)
        if (k->acct[i].gpu == at && found < *n && pids) pids[found++] = k->acct[i].pid;
    *n = found;
    return OK;
}
struct stats { unsigned gpu, mem; unsigned long long max_mem, time_ms, start_us; unsigned running, reserved[5]; };
API int nvmlDeviceGetAccountingStats(dev_t_ d, unsigned pid, struct stats *out) {
    unsigned instance;
    NEED(out);
    LOOK(d);
    unsigned at = (unsigned)place_of(d, &instance);
    const struct knobs *k = knobs();
    for (int i = 0; mode_of(d) && i < k->n_acct; i++)
        if (k->acct[i].gpu == at && k->acct[i].pid == pid) {
            const struct acct *a = &k->acct[i];
            *out = (struct stats){a->sm, a->mem, a->max_mib << 20, a->time_ms, a->start_us, a->running, {0}};
            return OK;
        }
    return NOT_FOUND;
}

/* ---- processes ---- */
static int is_hidden(unsigned pid) {
    const struct knobs *k = knobs();
    for (int i = 0; i < k->n_hidden; i++)
        if (k->hidden[i] == pid) return 1;
    return 0;
}
struct process { unsigned pid; unsigned long long mem; unsigned gi, ci; };
API int nvmlDeviceGetComputeRunningProcesses_v3(dev_t_ d, unsigned *n, struct process *out) {
    NEED(n);
    LOOK(d);
    unsigned room = *n;
    if (is_split(d) && !is_part(d)) b.n_procs = 0;
    unsigned found = 0;
    for (unsigned i = 0; i < b.n_procs; i++) {
        if (is_hidden(b.procs[i].pid)) continue;
        if (out && found < room)
            out[found] = (struct process){b.procs[i].pid, b.procs[i].mem_b, 0xFFFFFFFFu, 0xFFFFFFFFu};
        found++;
    }
    *n = found;
    return found && (!out || found > room) ? TOO_SMALL : OK;
}
API int nvmlDeviceGetComputeRunningProcesses_v2(dev_t_ d, unsigned *n, struct process *out) {
    return nvmlDeviceGetComputeRunningProcesses_v3(d, n, out);
}
API int nvmlDeviceGetGraphicsRunningProcesses_v3(dev_t_ d, unsigned *n, struct process *out) {
    unsigned instance, found = 0, room;
    NEED(n);
    LOOK(d);
    room = *n;
    unsigned at = (unsigned)place_of(d, &instance);
    const struct knobs *k = knobs();
    for (int i = 0; i < k->n_graphics; i++) {
        if (k->graphics[i].gpu != at) continue;
        if (out && found < room)
            out[found] = (struct process){k->graphics[i].pid, k->graphics[i].mib << 20, 0xFFFFFFFFu, 0xFFFFFFFFu};
        found++;
    }
    *n = found;
    return found && (!out || found > room) ? TOO_SMALL : OK;
}
API int nvmlDeviceGetMPSComputeRunningProcesses_v3(dev_t_ d, unsigned *n, struct process *out) {
    (void)out;
    NEED(n);
    LOOK(d);
    *n = 0;
    return OK;
}
struct sample { unsigned pid; unsigned long long at_us; unsigned sm, mem, enc, dec; };
/* As nvml.h says: one sample for each process "that had some non-zero utilization during the last sample
 * period", newer than `since`; NOT_FOUND when there is none. */
#define SAMPLE_PERIOD_US 1000000u /* its longest, documented for the utilisation rates */
API int nvmlDeviceGetProcessUtilization(dev_t_ d, struct sample *out, unsigned *n, unsigned long long since) {
    NEED(n);
    LOOK(d);
    WHOLE(d)
    unsigned room = *n, found = 0;
    for (unsigned i = 0; i < b.n_uses; i++) {
        if (is_hidden(b.uses[i].pid) || b.uses[i].at_us <= since || b.uses[i].at_us + SAMPLE_PERIOD_US < b.wall_us) continue;
        if (out && found < room)
            out[found] = (struct sample){b.uses[i].pid, b.uses[i].at_us, b.uses[i].sm, b.uses[i].mem, 0, 0};
        found++;
    }
    if (!found) return NOT_FOUND;
    *n = out && found > room ? room : found;
    return !out || found > room ? TOO_SMALL : OK;
}
struct sample_v1 { unsigned long long at_us; unsigned pid, sm, mem, enc, dec, jpg, ofa; };
struct samples_v1 { unsigned version, n; unsigned long long since; struct sample_v1 *out; };
API int nvmlDeviceGetProcessesUtilizationInfo(dev_t_ d, struct samples_v1 *ask) {
    NEED(ask);
    if (ask->version != 0x01000018u) return VERSION_MISMATCH;
    struct sample got[MAX_PROCS];
    unsigned n = MAX_PROCS;
    int rc = nvmlDeviceGetProcessUtilization(d, got, &n, ask->since);
    if (rc != OK) return rc;
    if (!ask->out || ask->n < n) { ask->n = n; return TOO_SMALL; }
    for (unsigned i = 0; i < n; i++)
        ask->out[i] = (struct sample_v1){got[i].at_us, got[i].pid, got[i].sm, got[i].mem, 0, 0, 0, 0};
    ask->n = n;
    return OK;
}

/* ---- field values ---- */
struct field { uint32_t id, scope; int64_t at_us, latency_us; unsigned type; int rc;
               union { double d; unsigned u; unsigned long long ull; } value; };
static int field_of(const struct board *b, struct field *f) {
    f->type = 1;
    switch (f->id) {
    case 83: case 191: f->type = 3; f->value.ull = b->energy_mj; return OK;
    case 185: f->value.u = b->power_average_mw; return b->flags & FLAG_AVERAGED ? OK : UNSUPPORTED;
    case 186: f->value.u = b->power_mw; return OK;
    case 187: f->value.u = b->limit_default_mw * 2 / 7; return OK;
    case 188: case 189: f->value.u = b->limit_default_mw; return OK;
    case 190: case 192: f->value.u = b->limit_mw; return OK;
    case 138: case 140: f->type = 3; f->value.ull = b->nvlink_tx_b / 1024; break;
    case 139: case 141: f->type = 3; f->value.ull = b->nvlink_rx_b / 1024; break;
    case 91: f->value.u = 18; break;
    default: return UNSUPPORTED;
    }
    return b->flags & FLAG_NVLINK ? OK : UNSUPPORTED;
}
API int nvmlDeviceGetFieldValues(dev_t_ d, int n, struct field *fields) {
    NEED(fields && n > 0);
    LOOK(d);
    for (int i = 0; i < n; i++) {
        fields[i].at_us = (int64_t)now_us();
        fields[i].latency_us = 20;
        fields[i].value.ull = 0;
        fields[i].rc = is_part(d) ? UNSUPPORTED : field_of(&b, &fields[i]);
    }
    return OK;
}

/* ---- GPM: Hopper and later ---- */
struct gpm_support { unsigned version, supported; };
struct gpm_metric { unsigned id; int rc; double value; const char *info[3]; };
struct gpm_get { unsigned version, n; struct board *one, *two; struct gpm_metric metrics[]; };
API int nvmlGpmQueryDeviceSupport(dev_t_ d, struct gpm_support *out) {
    NEED(out);
    LOOK(d);
    out->supported = b.flags & FLAG_GPM ? 1 : 0;
    return OK;
}
API int nvmlGpmSampleAlloc(struct board **out) { NEED(out); *out = calloc(1, sizeof **out); return *out ? OK : UNKNOWN; }
API int nvmlGpmSampleFree(struct board *sample) { free(sample); return OK; }
API int nvmlGpmSampleGet(dev_t_ d, struct board *out) {
    NEED(out);
    LOOK(d);
    if (!(b.flags & FLAG_GPM)) return UNSUPPORTED;
    *out = b;
    return OK;
}
static int metric_of(const struct board *a, const struct board *b, unsigned id, double *out) {
    double ns = (double)(b->at_ns - a->at_ns);
#define SHARE(field) (*out = ns > 0 ? 100.0 * (double)(b->field - a->field) / ns : 0.0, *out > 100.0 ? (*out = 100.0) : *out)
#define RATE(field) (*out = ns > 0 ? (double)(b->field - a->field) / 1048576.0 / ns * 1e9 : 0.0)
    switch (id) {
    case 1: SHARE(graphics_ns); return OK;
    case 2: case 3: SHARE(sm_ns); if (id == 3) *out *= 0.6; return OK;
    case 4: SHARE(integer_ns); return OK;
    case 5: case 7: SHARE(tensor_ns); return OK;
    case 6: case 8: case 9: case 13: *out = 0.0; return OK;
    case 10: SHARE(dram_ns); return OK;
    case 11: SHARE(fp64_ns); return OK;
    case 12: SHARE(fp32_ns); return OK;
    case 20: RATE(pcie_tx_b); return OK;
    case 21: RATE(pcie_rx_b); return OK;
    case 60: RATE(nvlink_rx_b); return OK;
    case 61: RATE(nvlink_tx_b); return OK;
    case 248: *out = (double)b->cycles_elapsed; return OK;
    case 249: *out = (double)b->sm_cycles; return OK;
    case 250: case 252: *out = (double)b->tensor_cycles; return OK;
    case 255: *out = (double)b->pcie_tx_b; return OK;
    case 256: *out = (double)b->pcie_rx_b; return OK;
    case 257: *out = (double)b->integer_cycles; return OK;
    case 170: *out = (double)b->cycles_elapsed; return OK;
    case 171: *out = b->n_procs > 1 ? 0.01 * (double)b->cycles_elapsed : 0.0; return OK;
    case 172: *out = b->n_procs > 1 ? (double)b->at_ns / 2e6 : 0.0; return OK; /* slices of 2 ms */
    default: return UNSUPPORTED;
    }
}
API int nvmlGpmMigSampleGet(dev_t_ d, unsigned instance, struct board *out) {
    unsigned i;
    NEED(out);
    LOOK(d);
    int at = place_of(d, &i);
    if (!(b.flags & FLAG_GPM)) return UNSUPPORTED;
    if (!instance || instance > knobs()->mig[at]) return INVALID;
    *out = b;
    return OK;
}
API int nvmlGpmMetricsGet(struct gpm_get *ask) {
    NEED(ask && ask->one && ask->two);
    if (ask->version != 1) return VERSION_MISMATCH;
    if (ask->n > 1024) return INVALID;
    const struct knobs *k = knobs();
    for (unsigned i = 0; i < ask->n; i++)
        for (int j = 0; j < k->n_refused; j++)
            if (ask->metrics[i].id == k->refused[j]) return INVALID;
    for (unsigned i = 0; i < ask->n; i++) {
        struct gpm_metric *m = &ask->metrics[i];
        m->value = 0.0;
        m->info[0] = m->info[1] = m->info[2] = "";
        m->rc = metric_of(ask->one, ask->two, m->id, &m->value);
    }
    return OK;
}
