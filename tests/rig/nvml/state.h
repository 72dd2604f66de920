/* boards.state: what the board process publishes and this library reads (mirrored by ../gpu/state.py). */
#ifndef RIG_STATE_H
#define RIG_STATE_H
#include <stdint.h>

#define STATE_MAGIC 0x31424753u /* "SGB1" */
#define MAX_BOARDS 16
#define MAX_PROCS 32

#define FLAG_GPM 1u
#define FLAG_MIG_CAPABLE 2u
#define FLAG_LOST 4u
#define FLAG_AVERAGED 8u
#define FLAG_NVLINK 16u

struct proc { uint32_t pid, pad; uint64_t mem_b; };
struct use { uint32_t pid, sm, mem, pad; uint64_t at_us; };

struct board {
    char name[96], uuid[96];
    uint64_t mem_total_b, mem_used_b, mem_reserved_b, energy_mj, reasons, at_ns;
    uint64_t graphics_ns, sm_ns, tensor_ns, integer_ns, fp32_ns, fp64_ns, dram_ns;
    uint64_t cycles_elapsed, sm_cycles, tensor_cycles, integer_cycles;
    uint64_t pcie_tx_b, pcie_rx_b, nvlink_tx_b, nvlink_rx_b;
    uint32_t minor, pci_bus, pci_device_id, pci_subsystem_id;
    uint32_t power_mw, power_average_mw, limit_mw, limit_default_mw;
    uint32_t util_pct, mem_util_pct, temp_c, sm_clock_mhz, mem_clock_mhz, max_sm_clock_mhz, max_mem_clock_mhz;
    uint32_t pcie_tx_kbs, pcie_rx_kbs, flags, n_procs, n_uses, arch, cc;
    struct proc procs[MAX_PROCS];
    struct use uses[MAX_PROCS];
    uint64_t wall_us; /* the header's at_us, filled in by the reader */
};

struct header {
    uint32_t magic, version;
    uint64_t seq;   /* odd while the writer is at work */
    uint64_t at_us; /* wall clock of the last write */
    uint32_t n_boards, board_bytes, stale_ms, pad;
    char driver[32];
};

struct state { struct header head; struct board boards[MAX_BOARDS]; };
#endif
