/*
 * load.h - the parts of the load generator: one thread, one epoll, one command at a time.
 */
#ifndef LOAD_H
#define LOAD_H

#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <sys/types.h>

#define POOL_MAX 16384 /* connections at once */

/* ---- hist.c: latencies, from 1 ns to 18 minutes, to within 1.6 % ------------ */

#define HIST_SUB  6 /* each power of two is cut into 64 parts */
#define HIST_SIZE ((40 - HIST_SUB + 1) << HIST_SUB)

struct hist {
    uint64_t count, sum, max;
    uint64_t buckets[HIST_SIZE];
};

void hist_add(struct hist *hist, int64_t ns);
void hist_print(const struct hist *hist); /* as members of a JSON object */

/* ---- wire.c: a connection, and one request on it at a time ------------------ */

enum state { CLOSED, DIALING, ASKING, IDLE };

struct wire {
    int fd;
    enum state state;
    int owner;     /* who answered "/who", as an index for wire_owner() */
    int64_t since; /* ns, when the request was to begin */
    size_t got;
    ssize_t expected; /* length of the answer, once it is known */
    char reply[480];
};

/* What became of requests that got no answer. */
struct losses {
    uint64_t refused, reset, other, stuck;
};

#define WIRE_EVENTS   256
#define WIRE_WAIT     0 /* nothing to do before the next report */
#define WIRE_ANSWERED 1 /* the whole answer is here */

int64_t now_ns(void);
void wire_init(void);
int wire_target(const char *port, const char *kind); /* of all dials from now on */
int wire_dial(struct wire *wire);                    /* connects and asks */
int wire_ask(struct wire *wire);
int wire_go_on(struct wire *wire); /* after a report; negative: -errno, and closed */
void wire_close(struct wire *wire);
/* How many have a report. `until_ns` in the past: without waiting. */
int wire_wait(struct wire *ret_wires[WIRE_EVENTS], int64_t until_ns);
const char *wire_owner(int owner);
void losses_add(struct losses *losses, int error);
void losses_print(const struct losses *losses);

/* ---- the commands; each prints members of a JSON object ---------------------- */

void pool_open(long count, long rate);
void pool_drop_half(void);
void pool_shares(void);
void pool_ask(long ms);
void pool_close(void);
void closed_loop(long parallel, long ms);
void open_loop(long rate, long ms, long patience_ms);

#endif
