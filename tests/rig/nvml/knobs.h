/* Faults and latencies for the rig's NVML: a text file `knobs` beside the library, read again when it changes.
 * One word a line with numbers; GPU is the NVML index. An absent file: no knob is set.
 *   latency 1              calls sleep as long as real ones take (2-140 us, a process list 4.5 ms)
 *   slow GPU MS            each call on the GPU sleeps that long
 *   hang GPU               each call on the GPU does not come back while the line stands
 *   lost GPU               it fell off the bus
 *   absent                 no driver: every call says so, nvmlInit too
 *   mismatch               the driver was replaced under the library
 *   driver TEXT            another driver version
 *   counters GPU           its counters begin at this instant (driver reload): the state's values are subtracted
 *   mig GPU N SEED         N instances; another SEED: other UUIDs
 *   graphics GPU PID MIB   a process with a graphics context
 *   hide PID               a process that no list and no utilisation names, whatever it does
 *   refuse ID              a GPM metric that makes the whole call fail
 *   acct GPU PID SM MEM MAX_MIB TIME_MS START_US RUNNING    what accounting remembers, where it is on
 */
#ifndef RIG_KNOBS_H
#define RIG_KNOBS_H
#include <stdint.h>
#include "state.h"

#define MAX_ROWS 64
struct acct { uint32_t gpu, pid, sm, mem; uint64_t max_mib, time_ms, start_us; uint32_t running; };
struct graphics { uint32_t gpu, pid; uint64_t mib; };
struct knobs {
    int latency, absent, mismatch, n_acct, n_graphics, n_refused, n_hidden;
    uint32_t slow_ms[MAX_BOARDS], refused[MAX_ROWS], hidden[MAX_ROWS], mig[MAX_BOARDS], mig_seed[MAX_BOARDS];
    uint8_t hang[MAX_BOARDS], lost[MAX_BOARDS], counters[MAX_BOARDS];
    char driver[32];
    struct acct acct[MAX_ROWS];
    struct graphics graphics[MAX_ROWS];
};

/* The knobs as they stand; `folder` ends in a slash. */
const struct knobs *knobs_now(const char *folder);
/* Sleep as the function of that name takes; never spins. */
void nap_like(const char *function, const struct knobs *k);
#endif
