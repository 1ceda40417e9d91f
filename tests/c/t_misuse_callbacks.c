/*
 * What a service must not do before it is forked, nor in its callbacks, and what it gets for
 * it: I08 and I10 to I12 of the fault list.
 * flow: M12, M14, M21
 */
#include "peer.h"

#include <errno.h>
#include <pthread.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

static int32_t request(dtm_t *rt, dtm_client_t *client, const char *line, char *reply,
                       size_t size)
{
    (void)rt, (void)client, (void)reply, (void)size;
    if (!strcmp(line, "environment")) {
        sigset_t all;
        sigfillset(&all);
        sigprocmask(SIG_SETMASK, &all, NULL);
        umask(0777);
        CHECK_EQ(chdir("/"), 0);
    } else if (!strcmp(line, "nonsense")) {
        return 0x12340000;
    } else {
        return NOT_MINE;
    }
    return DTM_READ;
}

/* A step result that means nothing closes the client, and only it. */
static void nonsense_result(void)
{
    struct service service = a_service();
    service.request = request;
    start(&service);
    int fd = dial(shared->port[0]);
    ask(fd, "nonsense");
    CHECK(!hear(fd));
    hang_up(fd);
    CHECK_EQ(shared->closed[DTM_CLOSE_ERROR], 1);
    CHECK(serves());
    finish();
    CHECK_EQ(shared->result.deaths, 0);
}

static void *idle_thread(void *data)
{
    while (pause() < 0)
        ;
    return data;
}

static void start_thread(dtm_t *rt)
{
    pthread_t thread;
    (void)rt;
    CHECK_EQ(pthread_create(&thread, NULL, idle_thread, NULL), 0);
}

/* I08: a second thread when it comes to forking. */
static void threads(void)
{
    struct service service = a_service();
    service.setup = start_thread;
    launch(&service);
    CHECK_EQ(wait_host(), 0);
    CHECK_EQ(shared->run_code, DTM_ETHREADS);
    CHECK_EQ(shared->last_spawn, 0);

    service = a_service();
    service.setup = start_thread;
    service.config.flags = DTM_F_ALLOW_THREADS;
    start(&service);
    CHECK(serves());
    finish();
}

static int32_t run_twice(dtm_t *rt)
{
    dtm_listen_t listen = DTM_LISTEN_INIT;
    CHECK_EQ(dtm_check(rt), DTM_OK);
    int32_t code = dtm_run(rt, &shared->result, sizeof shared->result);
    listen.address = "127.0.0.1:0";
    CHECK_EQ(dtm_run(rt, NULL, 0), DTM_ESTATE);
    CHECK_EQ(dtm_listen(rt, &listen), DTM_ESTATE);
    return code;
}

static dtm_event_cb base_event;

/* A service whose events come to this callback, which hands them on. */
static struct service with_event(dtm_event_cb event)
{
    struct service service = a_service();
    base_event = service.callbacks.event;
    service.callbacks.event = event;
    return service;
}

static void event_that_calls(dtm_t *rt, const dtm_event_t *event, void *user_data)
{
    dtm_listen_t listen = DTM_LISTEN_INIT;
    listen.address = "127.0.0.1:0";
    CHECK_EQ(dtm_run(rt, NULL, 0), DTM_ESTATE);
    CHECK(dtm_listen(rt, &listen) < 0);
    dtm_free(rt);
    base_event(rt, event, user_data);
}

/* I10: re-entrance. */
static void reentrance(void)
{
    struct service service = with_event(event_that_calls);
    service.run = run_twice;
    start(&service);
    CHECK(serves());
    finish();
}

static int32_t load_with_few_descriptors(dtm_t *rt, const char *path, void *user_data)
{
    struct rlimit limit, few;
    dtm_self_t self;
    dtm_listen_t listen = DTM_LISTEN_INIT;
    (void)path, (void)user_data;
    CHECK_EQ(dtm_self(rt, &self, sizeof self), DTM_OK);
    if (self.role == DTM_ROLE_CONTROLLER || ADD(shared->config_loads, 1) == 1)
        return 0;
    CHECK_EQ(getrlimit(RLIMIT_NOFILE, &limit), 0);
    few = limit;
    few.rlim_cur = 64;
    CHECK_EQ(setrlimit(RLIMIT_NOFILE, &few), 0);
    listen.address = "unix:@dtm-test-too-many";
    int32_t code = dtm_listen(rt, &listen);
    CHECK_EQ(setrlimit(RLIMIT_NOFILE, &limit), 0);
    CHECK_EQ(code, -EMFILE);
    return code;
}

/* A listener that RLIMIT_NOFILE has no room for. */
static void too_few_descriptors(void)
{
    struct service service = a_service();
    service.callbacks.config_load = load_with_few_descriptors;
    start(&service);
    CHECK_EQ(command("reload"), DTM_ECONFIG);
    CHECK(serves());
    finish();
}

static void event_that_wanders(dtm_t *rt, const dtm_event_t *event, void *user_data)
{
    CHECK_EQ(chdir("/"), 0);
    umask(0777);
    base_event(rt, event, user_data);
}

/* I11: cwd, umask and signal mask changed in callbacks. */
static void changed_environment(void)
{
    struct service service = with_event(event_that_wanders);
    service.request = request;
    start(&service);
    int fd = dial(shared->port[0]);
    struct kid *kid = kid_at(fd);
    ask(fd, "environment");
    end_kid(kid, SIGTERM); /* with all signals blocked in its callback */
    CHECK_EQ(kid->status, 0);
    hang_up(fd);
    WAIT(count_open(1) == 3);
    CHECK_EQ(command("reload"), DTM_OK);
    finish();
}

static void slow_event(dtm_t *rt, const dtm_event_t *event, void *user_data)
{
    base_event(rt, event, user_data);
    if (event->kind == DTM_EVENT_EXIT && !shared->custom[0]++)
        nanosleep(&(struct timespec){.tv_sec = 1, .tv_nsec = 100000000}, NULL);
}

/* I12: a callback that holds the master up is logged. */
static void slow_master(void)
{
    struct service service = with_event(slow_event);
    start(&service);
    end_kid(nth_open(0), SIGKILL);
    CHECK(serves());
    WAIT(count_open(1) == 3);
    WAIT(logged("event"));
    finish();
}

static const struct test tests[] = {
    {"a step result that means nothing", nonsense_result},
    {"I08 threads at fork", threads},
    {"I10 re-entrance", reentrance},
    {"a listener too many", too_few_descriptors},
    {"I11 cwd, umask, signal mask", changed_environment},
    {"I12 a slow callback in the master", slow_master},
};
TEST_MAIN(tests)
