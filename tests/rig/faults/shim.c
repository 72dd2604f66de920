/* LD_PRELOAD for the sampler and the hooks of the rig: faults of the kernel on demand, from a page that the
 * harness maps too (shim.py). Only the process named by FAULTS_ROLE fails, with the children that it forks; other programs that it starts see
 * the set clock alone. */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/time.h>
#include <time.h>
#include <unistd.h>

struct page {
    uint32_t write_errno; /* ENOSPC, EIO or EROFS on what is written below the folder; 0: none */
    uint32_t kill_at;     /* SIGKILL in the middle of the k-th write from now; 0: never */
    uint32_t fork_errno;
    uint32_t stat_hangs; /* a stat by the sampler's child that looks at files does not come back; 0: it does */
    uint32_t n_writes, n_refused, n_forks_refused, n_kills, n_clock, n_stats_hung; /* what happened */
    int64_t clock_us;     /* added to CLOCK_REALTIME */
};

static struct page none, *page = &none;
static const char *below;
static int whole; /* this process fails, not only its clock */

#define REAL(name) static __typeof__(name) *real; if (!real) real = (__typeof__(real))dlsym(RTLD_NEXT, #name)

__attribute__((constructor)) static void begin(void) {
    const char *path = getenv("FAULTS_PAGE"), *role = getenv("FAULTS_ROLE");
    char line[4096] = "";
    below = getenv("FAULTS_BELOW");
    int fd = open("/proc/self/cmdline", O_RDONLY | O_CLOEXEC);
    ssize_t n = fd < 0 ? 0 : read(fd, line, sizeof line - 1);
    if (fd >= 0) close(fd);
    for (ssize_t i = 0; i < n; i++) if (!line[i]) line[i] = ' ';
    whole = role && strstr(line, role) != NULL;
    fd = path ? open(path, O_RDWR | O_CLOEXEC) : -1;
    if (fd < 0) return;
    void *at = mmap(NULL, sizeof *page, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    close(fd);
    if (at != MAP_FAILED) page = at;
}

static int is_ours(const char *path) { return whole && below && path && !strncmp(path, below, strlen(below)); }

static int is_our_fd(int fd) {
    char link[64], path[4096];
    if (!whole || !below) return 0;
    snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
    ssize_t n = readlink(link, path, sizeof path - 1);
    if (n < 0) return 0;
    path[n] = 0;
    return is_ours(path);
}

static int is_ours_at(int folder, const char *path) {
    return path && path[0] == '/' ? is_ours(path) : folder >= 0 && is_our_fd(folder);
}

static int refuse(void) { page->n_refused++; errno = (int)page->write_errno; return -1; }

ssize_t write(int fd, const void *from, size_t n) {
    REAL(write);
    if ((!page->write_errno && !page->kill_at) || !is_our_fd(fd)) return real(fd, from, n);
    page->n_writes++;
    if (page->kill_at && --page->kill_at == 0) {
        real(fd, from, n / 2);
        page->n_kills++;
        kill(getpid(), SIGKILL);
    }
    return page->write_errno ? refuse() : real(fd, from, n);
}

#define SYNC(name) int name(int fd) { REAL(name); return page->write_errno == EIO && is_our_fd(fd) ? refuse() : real(fd); }
SYNC(fsync)
SYNC(fdatasync)

static int may_not_open(int flags) {
    if (page->write_errno == EROFS) return (flags & O_ACCMODE) != O_RDONLY || (flags & O_CREAT);
    return page->write_errno == ENOSPC && (flags & O_CREAT);
}
#define MODE(flags) mode_t mode = 0; if ((flags) & (O_CREAT | O_TMPFILE)) { va_list l; va_start(l, flags); mode = va_arg(l, mode_t); va_end(l); }
#define OPEN(name) int name(const char *path, int flags, ...) { REAL(name); MODE(flags) \
    return may_not_open(flags) && is_ours(path) ? refuse() : real(path, flags, mode); }
#define OPENAT(name) int name(int folder, const char *path, int flags, ...) { REAL(name); MODE(flags) \
    return may_not_open(flags) && is_ours_at(folder, path) ? refuse() : real(folder, path, flags, mode); }
OPEN(open)
OPEN(open64)
OPENAT(openat)
OPENAT(openat64)

#define CUT(name, type) int name(int fd, type size) { REAL(name); \
    return (page->write_errno == EROFS || page->write_errno == EIO) && is_our_fd(fd) ? refuse() : real(fd, size); }
CUT(ftruncate, off_t)
CUT(ftruncate64, off64_t)
int rename(const char *from, const char *to) {
    REAL(rename);
    return page->write_errno == EROFS && is_ours(to) ? refuse() : real(from, to);
}
int renameat(int from_fd, const char *from, int to_fd, const char *to) {
    REAL(renameat);
    return page->write_errno == EROFS && is_ours_at(to_fd, to) ? refuse() : real(from_fd, from, to_fd, to);
}
int unlink(const char *path) {
    REAL(unlink);
    return page->write_errno == EROFS && is_ours(path) ? refuse() : real(path);
}

/* As on a file system whose server is gone. */
static void hang_or_not(void) {
    char name[16] = ""; /* NVML's process looks at files too: the boards' library at its own */
    if (!whole || !page->stat_hangs || prctl(PR_GET_NAME, name) || strcmp(name, "guard-files")) return;
    page->n_stats_hung++;
    for (;;) pause();
}
#define STAT(name, type) int name(const char *path, struct type *into) { REAL(name); hang_or_not(); return real(path, into); }
#define STATAT(name, type) int name(int folder, const char *path, struct type *into, int flags) { REAL(name); \
    hang_or_not(); return real(folder, path, into, flags); }
STAT(stat, stat)
STAT(lstat, stat)
STAT(stat64, stat64)
STAT(lstat64, stat64)
STATAT(fstatat, stat)
STATAT(fstatat64, stat64)

/* vfork as fork: POSIX allows it, and a function of ours may not return twice on one stack. */
static pid_t fork_or_not(void) {
    static pid_t (*real)(void);
    if (!real) real = (pid_t (*)(void))dlsym(RTLD_NEXT, "fork");
    if (!whole || !page->fork_errno) return real();
    page->n_forks_refused++;
    errno = (int)page->fork_errno;
    return -1;
}
pid_t fork(void) { return fork_or_not(); }
pid_t vfork(void) { return fork_or_not(); }

/* The boards' library keeps the true clock: it compares it with the board process's own. */
static int64_t offset_for(void *caller) {
    Dl_info info;
    if (!page->clock_us) return 0;
    if (dladdr(caller, &info) && info.dli_fname && strstr(info.dli_fname, "libnvidia-ml")) return 0;
    page->n_clock++;
    return page->clock_us;
}
int clock_gettime(clockid_t id, struct timespec *out) {
    REAL(clock_gettime);
    int rc = real(id, out);
    int64_t us = rc || id != CLOCK_REALTIME ? 0 : offset_for(__builtin_return_address(0));
    if (us) {
        int64_t all = (int64_t)out->tv_sec * 1000000 + out->tv_nsec / 1000 + us;
        out->tv_sec = all / 1000000;
        out->tv_nsec = all % 1000000 * 1000;
    }
    return rc;
}
time_t time(time_t *out) {
    struct timespec now;
    clock_gettime(CLOCK_REALTIME, &now);
    if (out) *out = now.tv_sec;
    return now.tv_sec;
}
int gettimeofday(struct timeval *out, void *zone) {
    struct timespec now;
    (void)zone;
    clock_gettime(CLOCK_REALTIME, &now);
    out->tv_sec = now.tv_sec;
    out->tv_usec = now.tv_nsec / 1000;
    return 0;
}
