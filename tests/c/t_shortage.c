#define _GNU_SOURCE
/*
 * The kernel says no, at each call that the master makes: a clear error at the start,
 * patience later, and nothing is leaked or forgotten.
 * faults: B02, B03, B04, B08, B10
 */
#include "inject.h"
#include "peer.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <sys/syscall.h>

static const int forks[] = {SYS_clone, SYS_clone3, SYS_pidfd_open, -1};

static int fork_call(void) /* the one that this C library uses */
{
    return SYS_clone;
}

/* B02: no memory for a fork, at each fork of a start and a reload. Nothing leaks, and
 * there is full strength again without any other event. */
static void fork_without_memory(void)
{
    struct service service = a_service();
    inject_into(&service, forks);
    start(&service);
    CHECK_EQ(command("reload"), DTM_OK); /* both halves of the slots have had a worker */
    WAIT(count_role(DTM_ROLE_WORKER) == 3);
    size_t fds = count_fds(shared->host);
    for (int round = 0; round < 3; round++) {
        struct kid *dead = nth_open(0);
        uint64_t spawns = shared->last_spawn;
        inject(&(struct injection){.call = fork_call(), .error = ENOMEM, .pid = shared->host});
        end_kid(dead, SIGKILL);
        WAIT(injected() >= 3); /* it tries again by itself */
        CHECK_EQ(shared->last_spawn, spawns);
        CHECK_EQ(count_open(2), 2);
        CHECK(serves());
        CHECK_EQ(count_fds(shared->host), fds - 1); /* the pidfd of the dead */
        inject(NULL);
        WAIT(count_open(2) == 3);
        WAIT(count_fds(shared->host) == fds);
    }
    CHECK(logged("ENOMEM") >= 9);
    finish();
    CHECK_EQ(shared->result.deaths, 3);
    CHECK_EQ(shared->result.forks, 4 + 3 + 3);
}

static void fork_without_memory_once(void)
{
    for (uint32_t n = 0; n < 6; n++) {
        struct service service = a_service();
        inject_into(&service, forks);
        inject(
            &(struct injection){.call = fork_call(), .error = ENOMEM, .after = n, .times = 2});
        start(&service);
        int status = command("reload");
        CHECK(status == DTM_OK || status == DTM_EFAILED);
        WAIT(count_open(0) == 3 && count_role(DTM_ROLE_WORKER) == 3);
        CHECK(serves());
        CHECK_EQ(injected(), 2);
        finish();
        CHECK_EQ(shared->result.deaths, 0);
    }
}

/* B03: children without a pidfd, for want of the call or of descriptors: each death is
 * seen once, with its status, and nobody takes the child for lost. */
static void without_pidfds(int error, uint32_t from)
{
    struct service service = a_service();
    service.config.workers = 4;
    inject_into(&service, forks);
    inject(&(struct injection){.call = SYS_pidfd_open, .error = error, .after = from});
    start(&service);
    static const int signals[] = {SIGKILL, SIGTERM, SIGSEGV, SIGKILL};
    for (int round = 0; round < 4; round++) {
        struct kid *dead = nth_open((uint32_t)round);
        end_kid(dead, signals[round]);
        CHECK_EQ(dead->status & 0x7f, signals[round] == SIGTERM ? 0 : signals[round]);
        WAIT(count_open(1) == 4);
    }
    CHECK_EQ(command("reload"), DTM_OK);
    WAIT(count_role(DTM_ROLE_WORKER) == 4);
    CHECK(serves());
    finish();
    CHECK(injected() > 8);
    CHECK_EQ(shared->result.deaths, 4);
}

static void no_pidfds(void)
{
    without_pidfds(ENOSYS, 0);
}

static void some_pidfds(void)
{
    without_pidfds(EMFILE, 3);
}

/* Who the kernel has no room to watch is hung up on; the next one is served. */
static bool is_answered(int (*reach)(void), const char *question)
{
    const char *answer = NULL;
    for (int i = 0; i < 2 && !answer; i++) {
        int fd = reach();
        say(fd, question);
        answer = hear(fd);
        hang_up(fd);
    }
    return answer != NULL;
}

static int client(void)
{
    return dial(shared->port[0]);
}

static int operator(void)
{
    char address[160];
    snprintf(address, sizeof address, "unix:%s", control_path());
    return dial_address(address);
}

/* B04, B08: the n-th of these calls fails, for each n that there is, in a whole start. The
 * master says what is missing and leaves nothing behind; a child is replaced. */
static void each_fails(int call, int error)
{
    int calls[2] = {call, -1};
    uint32_t at_start = 0, later = 0;
    for (uint32_t n = 0;; n++) {
        struct service service = a_service();
        service.config.max_processes = 6;
        service.config.workers = 2;
        inject_into(&service, calls);
        inject(&(struct injection){.call = call, .error = error, .after = n, .times = 1});
        launch(&service);
        WAIT(ended(shared->host, NULL) || (count_open(0) == 2 && controller()));
        if (ended(shared->host, NULL)) {
            refused_with(strerror(error));
            at_start++;
            continue;
        }
        if (!is_answered(client, "who"))
            fail_at(__FILE__, __LINE__, "call %d failed once, the %u-th: nobody serves", call,
                    n);
        if (!is_answered(operator, "pid"))
            fail_at(__FILE__, __LINE__, "call %d failed once, the %u-th: a deaf console", call,
                    n);
        finish();
        if (injected() == 0)
            break;
        later++;
    }
    CHECK(at_start + later > 0);
    fprintf(stderr, "# call %d: %u errors at the start, %u later\n", call, at_start, later);
}

static void descriptors(void)
{
    each_fails(SYS_socketpair, EMFILE);
    each_fails(SYS_epoll_create1, EMFILE);
    each_fails(SYS_eventfd2, EMFILE);
    each_fails(SYS_pipe2, EMFILE);
    each_fails(SYS_memfd_create, EMFILE);
}

static void memory(void)
{
    each_fails(SYS_fallocate, ENOSPC);
    each_fails(SYS_epoll_ctl, ENOSPC);
}

/* B10: the number that it asks for is enough for everything that it may do: all slots
 * taken, all listeners, each accept mode; one less is refused. */
static rlim_t most_files;

static void limit_files_here(void)
{
    struct rlimit limit = {most_files, most_files};
    CHECK_EQ(setrlimit(RLIMIT_NOFILE, &limit), 0);
}

static struct service many_sockets(void)
{
    struct service service = a_service();
    service.config.max_processes = 40;
    service.config.workers = 12;
    service.before = limit_files_here;
    for (int i = 0; i < LISTENERS; i++)
        service.listen[i] = "127.0.0.1:0";
    return service;
}

static rlim_t files_named(void)
{
    const char *number = strstr(shared->error, "need ");
    CHECK(number);
    return (rlim_t)atoi(number + 5);
}

static void just_enough_files(void)
{
    most_files = 150;
    struct service service = many_sockets();
    launch(&service);
    CHECK_EQ(wait_host(), 0);
    CHECK(strstr(shared->error, "150"));
    rlim_t needed = files_named();
    CHECK(needed > 150);

    /* That was said before there were listeners: with all of them it is the final word. */
    most_files = needed;
    service = many_sockets();
    launch(&service);
    CHECK_EQ(wait_host(), 0);
    needed = files_named();
    CHECK(needed > most_files);

    most_files = needed - 1;
    service = many_sockets();
    launch(&service);
    refused_with("at 4 listeners");
    CHECK_EQ(files_named(), needed);

    most_files = needed;
    for (uint32_t mode = DTM_ACCEPT_AUTO; mode <= DTM_ACCEPT_LOCK; mode++) {
        service = many_sockets();
        service.config.accept_mode = mode;
        launch(&service);
        WAIT(ended(shared->host, NULL) || count_open(0) == 12);
        if (ended(shared->host, NULL)) { /* not here, as root of nothing */
            CHECK(!strstr(shared->error, "oo many open files"));
            continue;
        }
        WAIT(controller());
        for (int i = 0; i < 3; i++) {
            CHECK_EQ(command("reload"), DTM_OK);
            WAIT(count_role(DTM_ROLE_WORKER) == 12);
        }
        CHECK_EQ(command("scale 24"), DTM_OK); /* as many as a reload has */
        WAIT(count_open(0) == 24);
        CHECK(serves());
        CHECK_EQ(logged("oo many open files"), 0);
        finish();
    }
}

static const struct test tests[] = {
    {"no memory to fork, for a while", fork_without_memory},
    {"no memory to fork, once, anywhere", fork_without_memory_once},
    {"no pidfds", no_pidfds},
    {"no pidfds for some", some_pidfds},
    {"each descriptor of a start", descriptors},
    {"each piece of shared memory and each epoll entry of a start", memory},
    {"just enough descriptors", just_enough_files},
};

int main(int argc, char **argv)
{
    return can_inject() ? harness_main(argc, argv, tests, sizeof tests / sizeof tests[0]) : 77;
}
