#include "service.h"

#include "worker.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

struct shared *shared;

static void on_log(uint32_t level, const char *line, size_t len, void *user_data)
{
    (void)user_data;
    char *to = shared->log[(ADD(shared->log_count, 1) - 1) % LOG_LINES];
    snprintf(to, LOG_WIDTH, "%d<%u> %.*s", (int)getpid(), (unsigned)level, (int)len, line);
}

static void on_event(dtm_t *rt, const dtm_event_t *event, void *user_data)
{
    (void)rt, (void)user_data;
    if (event->kind == DTM_EVENT_RELOAD) {
        shared->reload_status = event->status;
        ADD(shared->reloads, 1);
    } else if (event->kind == DTM_EVENT_SCALE) {
        shared->scaled_to = event->status;
    } else if (event->kind == DTM_EVENT_CONFIG) {
        shared->config_status = event->status;
        ADD(shared->configs, 1);
    } else if (event->kind != DTM_EVENT_UPGRADE) {
        CHECK(event->spawn > 0);
        struct kid *kid = kid_of(event->spawn);
        if (event->kind == DTM_EVENT_FORK) {
            kid->role = event->role;
            kid->slot = event->slot;
            kid->generation = event->generation;
            kid->pid = event->pid;
            kid->spawn = event->spawn;
            SET(shared->last_spawn, event->spawn);
        }
        if (event->kind == DTM_EVENT_EXIT)
            kid->status = event->status;
        __atomic_or_fetch(&kid->events, 1u << event->kind, __ATOMIC_SEQ_CST);
    }
}

static int32_t on_config_load(dtm_t *rt, const char *path, void *user_data)
{
    (void)path, (void)user_data;
    dtm_self_t self;
    CHECK_EQ(dtm_self(rt, &self, sizeof self), DTM_OK);
    if (self.role == DTM_ROLE_CONTROLLER) {
        ADD(shared->controller_loads, 1);
        return 0;
    }
    ADD(shared->config_loads, 1);
    return take(&shared->config_fails) ? -EIO : 0;
}

static void on_config_revert(dtm_t *rt, void *user_data)
{
    (void)rt, (void)user_data;
    ADD(shared->config_reverts, 1);
}

static void show(void);

struct service a_service(void)
{
    shared = shared_memory(sizeof *shared);
    on_failure = show;
    shared->version = 1;
    shared->open_says = DTM_READ;
    shared->open_busy = 1;
    shared->run_code = shared->new_code = 1; /* not called yet */
    struct service service = {.config = DTM_CONFIG_INIT, .callbacks = DTM_CALLBACKS_INIT};
    service.config.name = "test";
    service.config.workers = 3;
    service.config.max_processes = 32;
    service.config.log_target = "callback";
    service.config.log_level = DTM_LOG_DEBUG;
    service.config.respawn_delay_ms = 1;
    service.config.respawn_delay_max_ms = 20;
    service.config.respawn_budget = DTM_OFF; /* tests kill as often as they like */
    service.callbacks.log = on_log;
    service.callbacks.event = on_event;
    service.callbacks.config_load = on_config_load;
    service.callbacks.config_revert = on_config_revert;
    worker_callbacks(&service.callbacks);
    controller_callbacks(&service.callbacks);
    service.listen[0] = "127.0.0.1:0";
    return service;
}

const char *control_path(void)
{
    static char path[128];
    snprintf(path, sizeof path, "%s/control", scratch());
    return path;
}

/* One number for all signal dispositions and the mask. */
static uint64_t signal_sum(void)
{
    uint64_t sum = 0;
    sigset_t mask;
    sigprocmask(SIG_BLOCK, NULL, &mask);
    for (int sig = 1; sig < 32; sig++) {
        struct sigaction action;
        sigaction(sig, NULL, &action);
        action.sa_flags &= ~0x04000000; /* SA_RESTORER is the C library's */
        sum = sum * 31 + (uint64_t)(uintptr_t)action.sa_handler + (uint64_t)action.sa_flags;
        sum = sum * 31 + (uint64_t)sigismember(&mask, sig);
    }
    return sum;
}

static void explain(int32_t code)
{
    if (code < 0 && !shared->error[0])
        snprintf(shared->error, sizeof shared->error, "%s", dtm_last_error());
}

static int open_listeners(const struct service *service, dtm_t *rt)
{
    char control[160];
    for (int i = 0; i < LISTENERS && service->listen[i]; i++) {
        dtm_listen_t listen = DTM_LISTEN_INIT;
        listen.address = service->listen[i];
        listen.tag = 100 + (uint64_t)i;
        listen.backlog = service->backlog;
        explain(shared->listen_code[i] = dtm_listen(rt, &listen));
        if (shared->listen_code[i] < 0)
            return -1;
        shared->port[i] = dtm_listen_port(rt, (uint32_t)i);
    }
    if (!service->without_control) {
        dtm_listen_t listen = DTM_LISTEN_INIT;
        snprintf(control, sizeof control, "unix:%s", control_path());
        listen.address = control;
        explain(shared->control_code = dtm_listen_control(rt, &listen));
        if (shared->control_code < 0)
            return -1;
    }
    return 0;
}

static void host(const struct service *service)
{
    dtm_t *rt = NULL;
    if (service->before)
        service->before();
    if (service->fault)
        setenv("LIBDTM_FAULT", service->fault, 1);
    more_requests = service->request;
    shared->fds_before = count_fds(getpid());
    uint64_t signals = signal_sum();

    explain(shared->new_code = dtm_new(&service->config, &service->callbacks, shared, &rt));
    if (shared->new_code == DTM_OK && open_listeners(service, rt) == 0) {
        if (service->setup)
            service->setup(rt);
        SET(shared->running, 1);
        explain(shared->run_code = service->run
                                       ? service->run(rt)
                                       : dtm_run(rt, &shared->result, sizeof shared->result));
    }
    dtm_free(rt);
    shared->signals_changed = signal_sum() != signals;
    shared->fds_after = count_fds(getpid());
}

static void show(void)
{
    uint32_t count = GET(shared->log_count), from = count > 60 ? count - 60 : 0;
    fprintf(stderr, "# new %d, run %d, error '%s'\n", shared->new_code, shared->run_code,
            shared->error);
    for (uint64_t s = 1; s <= shared->last_spawn && s < 40; s++) {
        struct kid *kid = kid_of(s);
        fprintf(stderr, "# spawn %llu: role %u slot %u gen %u pid %d events %x status %x %c\n",
                (unsigned long long)s, kid->role, kid->slot, kid->generation, kid->pid,
                kid->events, (unsigned)kid->status,
                state_of(kid->pid) ? state_of(kid->pid) : '-');
    }
    for (; from < count; from++)
        fprintf(stderr, "# %s\n", shared->log[from % LOG_LINES]);
}

void launch(const struct service *service)
{
    control_path();
    shared->host = 0;
    pid_t pid = fork();
    CHECK(pid >= 0);
    if (pid == 0) {
        prctl(PR_SET_PDEATHSIG, SIGKILL);
        WAIT(GET(shared->host)); /* as we see it: in a namespace of its own it is process 1 */
        host(service);
        exit(0);
    }
    forget_death(pid);
    SET(shared->host, pid);
    if (service->launched)
        service->launched();
}

void start(const struct service *service)
{
    launch(service);
    WAIT(count_open(0) == service->config.workers || ended(shared->host, NULL));
    CHECK(runs(shared->host));
    WAIT(service->without_control || controller());
}

int wait_host(void)
{
    int status = 0;
    WAIT(ended(shared->host, &status));
    return status;
}

void ended_well(void)
{
    CHECK_EQ(wait_host(), 0);
    CHECK_EQ(shared->run_code, DTM_OK);
    check_no_survivors();
    CHECK_EQ(shared->fds_after, shared->fds_before);
    CHECK(!shared->signals_changed);
    CHECK_EQ(shared->wrong_calls, 0);
    CHECK_EQ(shared->stale, 0);
}

void refused_with(const char *text)
{
    CHECK_EQ(wait_host(), 0);
    if (!strstr(shared->error, text))
        fail_at(__FILE__, __LINE__, "'%s' is not in: %s", text, shared->error);
    CHECK_EQ(shared->last_spawn, 0);
    CHECK_EQ(shared->fds_after, shared->fds_before);
    CHECK(!shared->signals_changed);
    check_no_survivors();
}

void become_nobody(void)
{
    if (getuid() == 0)
        CHECK(setgid(54321) == 0 && setuid(54321) == 0);
}

int finish(void)
{
    CHECK_EQ(kill(shared->host, SIGTERM), 0);
    ended_well();
    CHECK_EQ(shared->result.reason, DTM_END_GRACEFUL);
    CHECK_EQ(shared->result.signal, SIGTERM);
    return 0;
}

struct kid *kid_of(uint64_t spawn)
{
    CHECK(spawn < KIDS);
    return &shared->kid[spawn];
}

bool has(const struct kid *kid, uint32_t event)
{
    return (GET(kid->events) >> event) & 1;
}

static bool is_open(const struct kid *kid)
{
    return kid->role == DTM_ROLE_WORKER && has(kid, DTM_EVENT_OPEN) &&
           !has(kid, DTM_EVENT_DRAINING) && !has(kid, DTM_EVENT_EXIT);
}

#define EACH_KID(kid)                                                                          \
    for (struct kid *kid = shared->kid + 1; kid <= shared->kid + GET(shared->last_spawn); kid++)

struct kid *nth_open(uint32_t n)
{
    for (uint32_t slot = 0; slot < 1024; slot++)
        EACH_KID(kid) if (kid->slot == slot && is_open(kid) && n-- == 0) return kid;
    return NULL;
}

struct kid *in_slot(uint32_t slot)
{
    struct kid *found = NULL;
    EACH_KID(kid) if (kid->slot == slot) found = kid;
    return found;
}

struct kid *controller(void)
{
    EACH_KID(kid)
    {
        if (kid->role == DTM_ROLE_CONTROLLER && has(kid, DTM_EVENT_OPEN) &&
            !has(kid, DTM_EVENT_EXIT))
            return kid;
    }
    return NULL;
}

uint32_t count_role(uint32_t role)
{
    uint32_t count = 0;
    EACH_KID(kid) count += kid->role == role && !has(kid, DTM_EVENT_EXIT);
    return count;
}

uint32_t count_open(uint32_t generation)
{
    uint32_t count = 0;
    EACH_KID(kid) count += is_open(kid) && (generation == 0 || kid->generation == generation);
    return count;
}

uint32_t count_events(uint32_t event, uint32_t role)
{
    uint32_t count = 0;
    EACH_KID(kid) count += kid->role == role && has(kid, event);
    return count;
}

uint32_t logged(const char *text)
{
    uint32_t lines = GET(shared->log_count), count = 0;
    for (uint32_t i = 0; i < lines && i < LOG_LINES; i++)
        count += strstr(shared->log[i], text) != NULL;
    return count;
}

uint64_t switches_of_all(void)
{
    uint64_t sum = switches_of(shared->host) + switches_of(controller()->pid);
    for (uint32_t i = 0; nth_open(i); i++)
        sum += switches_of(nth_open(i)->pid);
    return sum;
}

uint64_t settled_switches(uint32_t quiet_ms)
{
    uint64_t before, after = switches_of_all(), deadline = now_ms() + 30000;
    do {
        CHECK(now_ms() < deadline);
        before = after;
        observe(quiet_ms);
        after = switches_of_all();
    } while (after != before);
    return after;
}

void end_kid(const struct kid *kid, int sig)
{
    CHECK(kid && kid->pid > 1);
    CHECK_EQ(kill(kid->pid, sig), 0);
    WAIT(has(kid, DTM_EVENT_EXIT));
}
