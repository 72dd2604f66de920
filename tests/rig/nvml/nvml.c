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
#include "state.h"

enum { OK = 0, UNINITIALIZED = 1, INVALID = 2, UNSUPPORTED = 3, NOT_FOUND = 6, TOO_SMALL = 7, NO_DRIVER = 9,
       LOST = 15, VERSION_MISMATCH = 25, UNKNOWN = 999 };
#define API __attribute__((visibility("default")))
typedef struct handle { uint32_t index; } *dev_t_;

static struct handle handles[MAX_BOARDS];
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static const struct state *map;
static ino_t map_ino;
static int users;

static void path_of_state(char *out, size_t n) {
    Dl_info info;
    out[0] = 0;
    if (!dladdr((void *)path_of_state, &info) || !info.dli_fname) return;
    snprintf(out, n, "%s", info.dli_fname);
    char *slash = strrchr(out, '/');
    size_t keep = slash ? (size_t)(slash - out) + 1 : 0;
    snprintf(out + keep, n - keep, "boards.state");
}

/* Map the file, or map it anew when the board process replaced it. The old map is left: readers may hold it. */
static int open_state(void) {
    char path[4096];
    struct stat st;
    path_of_state(path, sizeof path);
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
            if (out) *out = map->boards[index];
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
    int rc = !users ? UNINITIALIZED : !map ? NO_DRIVER : copy_once(head, index, out);
    if (rc == LOST && open_state() == OK) rc = copy_once(head, index, out);
    pthread_mutex_unlock(&lock);
    return rc;
}

static int see(dev_t_ device, struct board *out) {
    struct header head;
    if (!users) return UNINITIALIZED;
    if (!device || device < handles || device >= handles + MAX_BOARDS) return INVALID;
    uint32_t index = (uint32_t)(device - handles);
    int rc = look(index, &head, out);
    if (rc != OK) return rc;
    if (index >= head.n_boards) return INVALID;
    return out->flags & FLAG_LOST ? LOST : OK;
}

#define LOOK(device) struct board b; { int rc_ = see(device, &b); if (rc_ != OK) return rc_; }
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
    case VERSION_MISMATCH: return "Argument version mismatch";
    default: return "Unknown Error";
    }
}
API int nvmlSystemGetDriverVersion(char *out, unsigned n) {
    struct header head;
    int rc = look(0, &head, NULL);
    return rc != OK ? rc : text(out, n, head.driver);
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
API int nvmlDeviceGetIndex(dev_t_ d, unsigned *out) { NEED(out); LOOK(d); *out = (unsigned)(d - handles); return OK; }
API int nvmlDeviceGetName(dev_t_ d, char *out, unsigned n) { LOOK(d); return text(out, n, b.name); }
API int nvmlDeviceGetUUID(dev_t_ d, char *out, unsigned n) { LOOK(d); return text(out, n, b.uuid); }
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
    out->total = b.mem_total_b; out->used = b.mem_used_b + b.mem_reserved_b; out->free = out->total - out->used;
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
READ(nvmlDeviceGetPowerUsage, unsigned, b.flags & FLAG_AVERAGED ? b.power_average_mw : b.power_mw)
READ(nvmlDeviceGetPowerManagementLimit, unsigned, b.limit_mw)
READ(nvmlDeviceGetEnforcedPowerLimit, unsigned, b.limit_mw)
READ(nvmlDeviceGetPowerManagementDefaultLimit, unsigned, b.limit_default_mw)
READ(nvmlDeviceGetTotalEnergyConsumption, unsigned long long, b.energy_mj)
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
    *current = *pending = 0;
    return b.flags & FLAG_MIG_CAPABLE ? OK : UNSUPPORTED;
}
#define REFUSE(function, ...) API int function(dev_t_ d, ##__VA_ARGS__) { LOOK(d); return UNSUPPORTED; }
REFUSE(nvmlDeviceGetMaxMigDeviceCount, unsigned *out)
REFUSE(nvmlDeviceGetMigDeviceHandleByIndex, unsigned index, dev_t_ *out)
REFUSE(nvmlDeviceGetAccountingMode, unsigned *out)
REFUSE(nvmlDeviceSetAccountingMode, unsigned mode)
REFUSE(nvmlDeviceGetAccountingPids, unsigned *n, unsigned *pids)
REFUSE(nvmlDeviceGetAccountingStats, unsigned pid, void *stats)
REFUSE(nvmlDeviceGetSamples, unsigned type, unsigned long long since, unsigned *value_type, unsigned *n, void *out)
REFUSE(nvmlDeviceGetSerial, char *out, unsigned n)

/* ---- processes ---- */
struct process { unsigned pid; unsigned long long mem; unsigned gi, ci; };
API int nvmlDeviceGetComputeRunningProcesses_v3(dev_t_ d, unsigned *n, struct process *out) {
    NEED(n);
    LOOK(d);
    unsigned room = *n;
    *n = b.n_procs;
    if (room < b.n_procs || (!out && b.n_procs)) return b.n_procs ? TOO_SMALL : OK;
    for (unsigned i = 0; i < b.n_procs; i++)
        out[i] = (struct process){b.procs[i].pid, b.procs[i].mem_b, 0xFFFFFFFFu, 0xFFFFFFFFu};
    return OK;
}
API int nvmlDeviceGetComputeRunningProcesses_v2(dev_t_ d, unsigned *n, struct process *out) {
    return nvmlDeviceGetComputeRunningProcesses_v3(d, n, out);
}
API int nvmlDeviceGetGraphicsRunningProcesses_v3(dev_t_ d, unsigned *n, struct process *out) {
    (void)out;
    NEED(n);
    LOOK(d);
    *n = 0;
    return OK;
}
API int nvmlDeviceGetMPSComputeRunningProcesses_v3(dev_t_ d, unsigned *n, struct process *out) {
    return nvmlDeviceGetGraphicsRunningProcesses_v3(d, n, out);
}
struct sample { unsigned pid; unsigned long long at_us; unsigned sm, mem, enc, dec; };
/* As the driver: one sample a process with non-zero use; NOT_FOUND when nothing is newer than `since`. */
API int nvmlDeviceGetProcessUtilization(dev_t_ d, struct sample *out, unsigned *n, unsigned long long since) {
    NEED(n);
    LOOK(d);
    unsigned room = *n, found = 0;
    for (unsigned i = 0; i < b.n_uses; i++) {
        if (b.uses[i].at_us <= since) continue;
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
        fields[i].rc = field_of(&b, &fields[i]);
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
    default: return UNSUPPORTED;
    }
}
API int nvmlGpmMetricsGet(struct gpm_get *ask) {
    NEED(ask && ask->one && ask->two);
    if (ask->version != 1) return VERSION_MISMATCH;
    if (ask->n > 1024) return INVALID;
    for (unsigned i = 0; i < ask->n; i++) {
        struct gpm_metric *m = &ask->metrics[i];
        m->value = 0.0;
        m->info[0] = m->info[1] = m->info[2] = "";
        m->rc = metric_of(ask->one, ask->two, m->id, &m->value);
    }
    return OK;
}
