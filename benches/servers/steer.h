/*
 * steer.h - the least loaded of a SO_REUSEPORT group, chosen by eBPF as the SYN arrives: the
 * schedule of libdtm's mode steer by hand. No death is thought of, no worker that is late.
 */
#ifndef STEER_H
#define STEER_H

#include "prefork.h"

#include <linux/bpf.h>
#include <stdatomic.h>
#include <stddef.h>
#include <sys/mman.h>
#include <sys/syscall.h>

/* What others know of a worker: a cache line of each. */
struct row {
    _Alignas(64) atomic_uint load;
    atomic_uint armed;       /* token: it stands in the listener's queue */
    atomic_uint taken, sent; /* steer: accepted; sent here by the program */
};

/* Of all workers, where there is a schedule. */
static struct row *rows;

/* Row 0 is no worker's: its `load` is the number of the worker that wins among equals. */
#define STEER_ROWS (WORKERS_MAX + 1)
#define STEER_SIZE (STEER_ROWS * sizeof(struct row))

static int steer_sockets, steer_program;

static int steer_bpf(int command, union bpf_attr *attr)
{
    int fd = (int)syscall(SYS_bpf, command, attr, sizeof *attr);

    if (fd < 0) {
        perror("bpf");
        exit(1);
    }
    return fd;
}

static int steer_map(uint32_t type, uint32_t value_size, uint32_t entries, uint32_t flags)
{
    union bpf_attr attr = {.map_type = type,
                           .key_size = 4,
                           .value_size = value_size,
                           .max_entries = entries,
                           .map_flags = flags};
    return steer_bpf(BPF_MAP_CREATE, &attr);
}

#define INSN(code, d, s, off, n) ((struct bpf_insn){code, d, s, off, n})
#define OP(op, d, s)             INSN(BPF_ALU64 | (op) | BPF_X, d, s, 0, 0)
#define OPI(op, d, n)            INSN(BPF_ALU64 | (op) | BPF_K, d, 0, 0, n)
#define LOAD(d, s, off)          INSN(BPF_LDX | BPF_MEM | BPF_W, d, s, off, 0)
#define STORE(d, s, off)         INSN(BPF_STX | BPF_MEM | BPF_W, d, s, off, 0)
#define CALL(n)                  INSN(BPF_JMP | BPF_CALL, 0, 0, 0, n)
#define WIDE(d, kind, fd)        INSN(BPF_LD | BPF_DW | BPF_IMM, d, kind, 0, fd), INSN(0, 0, 0, 0, 0)

#define FIELD(name) ((short)offsetof(struct row, name))
#define ORDER       1023 /* mask of the distance from the worker whose turn it is */

/* All workers are compared without a branch: r8 is the smallest key, r5 the turn. */
static int steer_load(int rows_fd)
{
    const struct bpf_insn head[] = {
        OP(BPF_MOV, 6, 1),       WIDE(7, BPF_PSEUDO_MAP_VALUE, rows_fd),
        LOAD(5, 7, FIELD(load)), OPI(BPF_MOV, 8, INT32_MAX),
        OPI(BPF_LSH, 8, 20),
    };
    const struct bpf_insn tail[] = {
        OP(BPF_ADD, 8, 5),
        OPI(BPF_AND, 8, WORKERS_MAX - 1),
        STORE(10, 8, -4),
        OP(BPF_MOV, 1, 6),
        WIDE(2, BPF_PSEUDO_MAP_FD, steer_sockets),
        OP(BPF_MOV, 3, 10),
        OPI(BPF_ADD, 3, -4),
        OPI(BPF_MOV, 4, 0),
        CALL(BPF_FUNC_sk_select_reuseport),
        WIDE(7, BPF_PSEUDO_MAP_VALUE, rows_fd),
        OPI(BPF_ADD, 8, 1),
        STORE(7, 8, FIELD(load)),
        OPI(BPF_LSH, 8, 6),
        OP(BPF_ADD, 7, 8),
        OPI(BPF_MOV, 1, 1),
        INSN(BPF_STX | BPF_ATOMIC | BPF_W, 7, 1, FIELD(sent), BPF_ADD),
        OPI(BPF_MOV, 0, SK_PASS),
        INSN(BPF_JMP | BPF_EXIT, 0, 0, 0, 0),
    };
    static struct bpf_insn program[64 + 16 * WORKERS_MAX];
    union bpf_attr attr = {.prog_type = BPF_PROG_TYPE_SK_REUSEPORT,
                           .insns = (uintptr_t)program,
                           .license = (uintptr_t) "MIT"};
    size_t n = sizeof head / sizeof head[0];
    int i;

    memcpy(program, head, sizeof head);
    for (i = 0; i < prefork_workers; i++) {
        const struct bpf_insn one[] = {
            OPI(BPF_ADD, 7, sizeof(struct row)),
            LOAD(1, 7, FIELD(load)),
            LOAD(2, 7, FIELD(sent)),
            LOAD(3, 7, FIELD(taken)),
            OP(BPF_ADD, 1, 2),
            OP(BPF_SUB, 1, 3),
            OPI(BPF_LSH, 1, 10),
            OPI(BPF_MOV, 2, i),
            OP(BPF_SUB, 2, 5),
            OPI(BPF_AND, 2, ORDER),
            OP(BPF_OR, 1, 2),
            OP(BPF_SUB, 1, 8), /* r8 = min(r8, r1) */
            OP(BPF_MOV, 2, 1),
            OPI(BPF_ARSH, 2, 63),
            OP(BPF_AND, 1, 2),
            OP(BPF_ADD, 8, 1),
        };
        memcpy(program + n, one, sizeof one);
        n += sizeof one / sizeof one[0];
    }
    memcpy(program + n, tail, sizeof tail);
    attr.insn_cnt = (uint32_t)(n + sizeof tail / sizeof tail[0]);
    return steer_bpf(BPF_PROG_LOAD, &attr);
}

static void steer_begin(void)
{
    int fd = steer_map(BPF_MAP_TYPE_ARRAY, STEER_SIZE, 1, BPF_F_MMAPABLE);
    void *table = mmap(NULL, STEER_SIZE, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);

    if (table == MAP_FAILED) {
        perror("mmap");
        exit(1);
    }
    steer_sockets = steer_map(BPF_MAP_TYPE_REUSEPORT_SOCKARRAY, 8, WORKERS_MAX, 0);
    steer_program = steer_load(fd);
    rows = (struct row *)table + 1;
}

/* A worker's listener, before any fork. */
static void steer_listening(int index, int listener)
{
    uint32_t key = (uint32_t)index;
    uint64_t value = (uint64_t)listener;
    union bpf_attr attr = {.key = (uintptr_t)&key, .value = (uintptr_t)&value};

    if (index == 0)
        steer_begin();
    attr.map_fd = (uint32_t)steer_sockets;
    steer_bpf(BPF_MAP_UPDATE_ELEM, &attr);
    if (index == 0 && setsockopt(listener, SOL_SOCKET, SO_ATTACH_REUSEPORT_EBPF, &steer_program,
                                 sizeof steer_program) != 0) {
        perror("SO_ATTACH_REUSEPORT_EBPF");
        exit(1);
    }
}

#endif
