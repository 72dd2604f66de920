/* Reading the knobs (knobs.h). */
#define _GNU_SOURCE
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include "knobs.h"

static struct knobs current;
static struct timespec stamp;
static off_t size = -1;

static void take(const char *line) {
    struct knobs *k = &current;
    unsigned a, b, c, running;
    struct acct t;
    unsigned long long x, y, z;
    char text[32];
    if (sscanf(line, "latency %u", &a) == 1) k->latency = (int)a;
    else if (sscanf(line, "slow %u %u", &a, &b) == 2 && a < MAX_BOARDS) k->slow_ms[a] = b;
    else if (sscanf(line, "hang %u", &a) == 1 && a < MAX_BOARDS) k->hang[a] = 1;
    else if (sscanf(line, "lost %u", &a) == 1 && a < MAX_BOARDS) k->lost[a] = 1;
    else if (!strncmp(line, "absent", 6)) k->absent = 1;
    else if (!strncmp(line, "mismatch", 8)) k->mismatch = 1;
    else if (sscanf(line, "driver %31s", text) == 1) strcpy(k->driver, text);
    else if (sscanf(line, "counters %u", &a) == 1 && a < MAX_BOARDS) k->counters[a] = 1;
    else if (sscanf(line, "mig %u %u %u", &a, &b, &c) == 3 && a < MAX_BOARDS) {
        k->mig[a] = b > 7 ? 7 : b;
        k->mig_seed[a] = c;
    } else if (sscanf(line, "graphics %u %u %llu", &a, &b, &x) == 3 && k->n_graphics < MAX_ROWS)
        k->graphics[k->n_graphics++] = (struct graphics){a, b, x};
    else if (sscanf(line, "hide %u", &a) == 1 && k->n_hidden < MAX_ROWS) k->hidden[k->n_hidden++] = a;
    else if (sscanf(line, "refuse %u", &a) == 1 && k->n_refused < MAX_ROWS) k->refused[k->n_refused++] = a;
    else if (sscanf(line, "acct %u %u %u %u %llu %llu %llu %u", &t.gpu, &t.pid, &t.sm, &t.mem, &x, &y, &z, &running) == 8
             && k->n_acct < MAX_ROWS) {
        t.max_mib = x; t.time_ms = y; t.start_us = z; t.running = running;
        k->acct[k->n_acct++] = t;
    }
}

const struct knobs *knobs_now(const char *folder) {
    char path[4200], line[256];
    struct stat st;
    snprintf(path, sizeof path, "%sknobs", folder);
    if (stat(path, &st)) {
        if (size >= 0) memset(&current, 0, sizeof current);
        size = -1;
        return &current;
    }
    if (st.st_size == size && st.st_mtim.tv_sec == stamp.tv_sec && st.st_mtim.tv_nsec == stamp.tv_nsec) return &current;
    FILE *f = fopen(path, "re");
    if (!f) return &current;
    memset(&current, 0, sizeof current);
    size = st.st_size;
    stamp = st.st_mtim;
    while (fgets(line, sizeof line, f)) take(line);
    fclose(f);
    return &current;
}

/* Medians of a real driver (RTX 4090, driver 610); what is not listed takes 12 us, as memory info does. */
void nap_like(const char *function, const struct knobs *k) {
    static const struct { const char *part; long us; } table[] = {
        {"RunningProcesses", 4500}, {"FanSpeed", 137}, {"ProcessUtilization", 140}, {"ProcessesUtilization", 140},
        {"GpmSampleGet", 140}, {"GpmMigSampleGet", 140}, {"FieldValues", 60}, {"UtilizationRates", 3},
        {"AccountingStats", 60}, {"PowerUsage", 20}, {"TotalEnergy", 20}, {"Temperature", 20}, {"PcieThroughput", 20000},
    };
    long us = 12;
    if (!k->latency) return;
    for (size_t i = 0; i < sizeof table / sizeof *table; i++)
        if (strstr(function, table[i].part)) us = table[i].us;
    struct timespec t = {0, us * 1000};
    nanosleep(&t, NULL);
}
