/* LD_PRELOAD for slurmd and slurmstepd on a kernel that has cgroup v1 beside v2: Slurm's cgroup/v2 refuses to
 * start where /proc/PID/cgroup has more than v2's line. Here they read that line alone; nothing else is changed,
 * and the groups that Slurm makes are the kernel's. */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <fcntl.h>
#include <fnmatch.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

typedef int open_fn(const char *, int, ...);

static int is_cgroup(const char *path) {
    return path && !fnmatch("/proc/*/cgroup", path, FNM_PATHNAME);
}

static int only_v2(int fd) {
    char text[8192];
    ssize_t n = read(fd, text, sizeof text - 1);
    close(fd);
    text[n < 0 ? 0 : n] = 0;
    char *line = strstr(text, "0::"); /* always the last one */
    fd = memfd_create("cgroup", MFD_CLOEXEC);
    if (fd >= 0 && line && write(fd, line, strlen(line)) >= 0) lseek(fd, 0, SEEK_SET);
    return fd;
}

#define WRAP(name)                                                        \
    int name(const char *path, int flags, ...) {                          \
        static open_fn *real;                                             \
        if (!real) real = (open_fn *)dlsym(RTLD_NEXT, #name);             \
        va_list rest;                                                     \
        va_start(rest, flags);                                            \
        int mode = flags & (O_CREAT | O_TMPFILE) ? va_arg(rest, int) : 0; \
        va_end(rest);                                                     \
        int fd = real(path, flags, mode);                                 \
        return fd >= 0 && is_cgroup(path) ? only_v2(fd) : fd;             \
    }
WRAP(open)
WRAP(open64)

FILE *fopen(const char *path, const char *mode) {
    static FILE *(*real)(const char *, const char *);
    if (!real) real = (FILE * (*)(const char *, const char *)) dlsym(RTLD_NEXT, "fopen");
    if (!is_cgroup(path)) return real(path, mode);
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    return fd < 0 ? NULL : fdopen(fd, mode);
}
