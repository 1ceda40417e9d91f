/*
 * Actions for the tests. What their phases do outside of the store stands in memory that
 * all processes share, so that it outlives whoever is killed, like any effect elsewhere.
 *
 * `steps`: 3 phases; each notes that it ran, then adds 1 to the key "count-ID" in its
 *          transaction. Arguments, one word each, say what else happens in phase 1:
 *          wait MS, updated, drained, go [MS], jump N, again N (times), done, fail, error N
 *          (attempts that fail), pending [MS], start, kill, hang, nofork, workers,
 *          fork, sql N (attempts that fail after their SQL; -N: with no result that
 *          there is)
 * `careful`: the same with a preaction and a `failed` that notes itself.
 */
#ifndef ACTIONS_H
#define ACTIONS_H

#include "peer.h"

#include <stdio.h>

enum { EFFECTS = 8192, PHASES = 3 };

/* One run of a callback. */
struct effect {
    uint64_t id;
    int callback; /* 0 preaction, 1 action, 2 failed */
    int phase, attempt, step, timed_out, resumed, status, cause, pid;
    char token[64];
};

struct ledger {
    uint32_t count;
    struct effect effect[EFFECTS];
    int counted[EFFECTS]; /* by id: the value of "count-ID" when its last phase ran */
    int release;          /* a phase that hangs goes on */
    int in_phase;         /* one is running */
    int commands, command_status;
    uint64_t epoch_before, epoch_after;
    /* The store's writes, see t_actions_kill.c. */
    int armed, mode, writes, killed;
    uint64_t last_begun;
};

extern struct ledger *ledger;

struct service acting_service(void);             /* a_service() with a store and the actions */
void start_acting(void);                         /* acting_service(), started */
void start_again(const struct service *service); /* after finish() or a kill */
void register_actions(dtm_t *rt);                /* its `setup` */
void finish_acting(void);                        /* finish(), and the store is removed */
const char *store_path(void);
void remove_store(void);
bool is_store(int fd);          /* one of its files */
FILE *sqlite(const char *mode); /* sqlite3 on it: an operator's, or somebody else's */
void sql(FILE *pipe, const char *text);

uint64_t begin_action(const char *format, ...) __attribute__((format(printf, 1, 2)));
uint64_t begin_until(uint32_t state, const char *format, ...)
    __attribute__((format(printf, 2, 3)));
void let_go(uint64_t id); /* it waits for an operator's go: to its end, as promised */
uint64_t surely_begin(const char *line); /* though the controller may be killed meanwhile */
struct action *action_of(uint64_t id);   /* as the controller sees it */
#define WAIT_STATE(id, wanted) WAIT(GET(action_of(id)->state) == (int)(wanted))

uint32_t effects_of(uint64_t id, int phase); /* runs of a phase; -1: of any callback */
struct effect *nth_effect(uint64_t id, uint32_t n);

/* The promise, about an instance that is done: every step once and in order, none
 * skipped, repeated only with attempt > 1 and the same token; transactions once. */
void check_promise(uint64_t id, int steps);

#endif
