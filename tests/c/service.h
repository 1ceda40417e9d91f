/*
 * The service under test: a host process that runs libdtm, and the memory in
 * which all its processes tell the driver what happens to them.
 *
 * Worker protocol, one line per request:
 *   who          pid slot generation spawn version of the worker
 *   echo TEXT    TEXT
 *   tag, peer, clients, draining
 *   busy, idle   sets the client so and keeps it so; other requests end idle
 *   wait         no answer, the client stays busy
 *   block        the step does not return before driver sets shared->unblock
 *   timeout MS   the client's idle timeout
 *   answer TEXT  dtm_answer()
 *   load N       dtm_set_load()
 *   log TEXT     dtm_log()
 *   done, error, close, leave, abort, exit N
 * Control protocol: `STATUS detail` comes back when the master has answered:
 *   reload loadconf start stop scale N nofork MS fork upgrade recycle reopen shutdown now
 *   mode N, tokens N, reset
 *   send SPAWN TEXT, big SPAWN BYTES, all GENERATION TEXT, pid, workers,
 *   accept LISTENER (fills shared->accept and shared->worker),
 *   action NAME ARGS (its id, or a negative code), verb ID DTM_VERB_*, wake ID STATUS, store,
 *   history ID (fills shared->history)
 * Messages to workers: `version N`, `refuse`, `for SPAWN`, any other text.
 */
#ifndef SERVICE_H
#define SERVICE_H

#include "harness.h"

#include <dtm.h>
#include <signal.h>

#ifdef __cplusplus
extern "C" {
#endif

enum {
    KIDS = 16384,
    LOG_LINES = 2048,
    LOG_WIDTH = 240,
    LISTENERS = 4,
    REASONS = 10,
    ACTIONS = 256,
};

/* An instance of an action, as the controller saw it in its last pass. */
struct action {
    uint64_t id;
    int state, phase, attempt, step, wait;
    char text[128];
};

/* One fork, as the master's `event` callback and the child itself told of it. */
struct kid {
    uint32_t role, slot, generation, index;
    uint64_t spawn;
    int pid;
    uint32_t events; /* 1 << DTM_EVENT_* that happened */
    int status;      /* wait status, when DTM_EVENT_EXIT has happened */
    int inits, exits, drains, messages, ticks;
    int version;     /* the last `version N` it got */
    int opened;      /* clients */
    int opened_with; /* the version it had when it served its first client */
};

enum trouble { NO_TROUBLE, FAIL, ABORT, HANG, EXIT };

struct shared {
    /* What the driver asks for. */
    int init_trouble;         /* enum trouble of worker_init ... */
    uint32_t init_generation; /* ... from this generation on */
    uint32_t init_only;       /* ... in the worker with this number, from 1; 0: in all */
    uint32_t init_index;      /* ... and from this index on */
    int exit_status;
    int controller_init_fails, update_agains, update_fails, message_refusals, health_fails;
    int config_fails; /* callbacks that are to fail, counted down */
    int version;      /* what update_new_worker brings workers to */
    int chatter;      /* the controller sends `for SPAWN` to each worker in each pass */
    int unblock, open_says, open_busy;

    /* What the driver sees. */
    int host, new_code, listen_code[LISTENERS], control_code, check_code, run_code;
    int port[LISTENERS];
    dtm_result_t result;
    char error[512]; /* dtm_last_error() after the call that failed */
    size_t fds_before, fds_after;
    int signals_changed, wrong_calls;
    int running; /* dtm_run() was called */
    struct kid kid[KIDS];
    uint64_t last_spawn;
    int config_loads, controller_loads, config_reverts;
    int reloads, reload_status, configs, config_status, scaled_to;
    int opened, closed[REASONS], stale, steps, hups, drains, timeouts;
    int controller_inits, controller_exits, passes, updates, blocked;
    uint64_t update_spawn;
    dtm_accept_t accept; /* at the last request for it */
    dtm_worker_t worker[64];
    uint32_t worker_count;
    uint64_t acting;               /* identity_of() the controller that acted last */
    int wants_actions;             /* the controller fills the next two in each pass */
    struct action action[ACTIONS]; /* by id modulo ACTIONS */
    uint32_t action_count;
    char history[16384]; /* at the last request for it */
    int answers, refusals;
    char answer[256];
    int custom[16]; /* for the test itself */
    uint32_t log_count;
    char log[LOG_LINES][LOG_WIDTH];
};

extern struct shared *shared;

#define GET(x)    __atomic_load_n(&(x), __ATOMIC_SEQ_CST)
#define SET(x, v) __atomic_store_n(&(x), (v), __ATOMIC_SEQ_CST)
#define ADD(x, n) __atomic_add_fetch(&(x), (n), __ATOMIC_SEQ_CST)

struct service {
    dtm_config_t config;
    dtm_callbacks_t callbacks;
    const char *listen[LISTENERS]; /* default: one on 127.0.0.1:0 */
    uint32_t backlog;
    bool without_control;
    const char *fault;         /* LIBDTM_FAULT of the host */
    void (*before)(void);      /* in the host, before dtm_new() */
    void (*launched)(void);    /* in the driver, when the host is forked */
    void (*setup)(dtm_t *rt);  /* in the host, before dtm_run() */
    int32_t (*run)(dtm_t *rt); /* in the host, instead of dtm_run() */
    /* More worker requests: the step's result, with the answer in `reply`, or
     * NOT_MINE. */
    int32_t (*request)(dtm_t *rt, dtm_client_t *client, const char *line, char *reply,
                       size_t size);
};

enum { NOT_MINE = -1000000, NO_REPLY = -1000001 };

struct service a_service(void); /* 3 workers, all callbacks, default settings */
void start(
    const struct service *service); /* fork the host; returns when all workers are open */
void launch(const struct service *service); /* fork the host and return */
int finish(void);      /* SIGTERM to the master, then the checks of ended_well() */
void ended_well(void); /* waits for the host: dtm_run() said OK and left nothing behind */
int wait_host(void);   /* its wait status */
void refused_with(
    const char *text);    /* the host ended by itself, named this, and left nothing */
void become_nobody(void); /* for `before`: root has no limits */
const char *control_path(void);

/* The children. NULL: none. */
struct kid *kid_of(uint64_t spawn);
struct kid *nth_open(uint32_t n);   /* n-th open worker by slot */
struct kid *in_slot(uint32_t slot); /* the youngest fork of a slot */
struct kid *controller(void);       /* the one that is ready or open */
uint32_t count_role(uint32_t role); /* live forks */
uint32_t
count_open(uint32_t generation); /* open workers that do not drain; 0: of any generation */
uint32_t count_events(uint32_t event, uint32_t role);
bool has(const struct kid *kid, uint32_t event);
uint32_t logged(const char *text); /* how many lines of all processes have this in them */
uint64_t switches_of_all(void);    /* voluntary ones, of master, controller and open workers */
uint64_t settled_switches(uint32_t quiet_ms); /* the same, once there were none for so long */
void end_kid(const struct kid *kid, int sig); /* kill it and wait until the master knows */

#ifdef __cplusplus
}
#endif

#endif
