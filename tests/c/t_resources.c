#define _GNU_SOURCE /* prlimit() */
/*
 * What is missing or in the way: clear errors, nothing half done, recovery alone.
 * flow: M1, M6, M14, L4
 * faults: B01, C14, C15, C16
 */
#include "peer.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

static void port_in_use(void)
{
    char address[64];
    struct sockaddr_in in = {.sin_family = AF_INET};
    socklen_t len = sizeof in;
    in.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    CHECK_EQ(bind(fd, (struct sockaddr *)&in, sizeof in), 0);
    CHECK_EQ(listen(fd, 1), 0);
    CHECK_EQ(getsockname(fd, (struct sockaddr *)&in, &len), 0);
    snprintf(address, sizeof address, "127.0.0.1:%d", ntohs(in.sin_port));
    struct service service = a_service();
    service.listen[0] = address;
    launch(&service);
    refused_with(address);
    CHECK_EQ(shared->listen_code[0], -EADDRINUSE);
    close(fd);
}

static int unix_listener(const char *path)
{
    struct sockaddr_un un = {.sun_family = AF_UNIX};
    snprintf(un.sun_path, sizeof un.sun_path, "%s", path);
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    CHECK_EQ(bind(fd, (struct sockaddr *)&un, sizeof un), 0);
    CHECK_EQ(listen(fd, 1), 0);
    return fd;
}

static struct service on_unix(char *address, size_t size)
{
    struct service service = a_service();
    snprintf(address, size, "unix:%s/service", scratch());
    service.listen[1] = address;
    return service;
}

/* A socket file that nobody listens on is replaced. */
static void stale_unix_socket(void)
{
    char address[128];
    struct stat st;
    struct service service = on_unix(address, sizeof address);
    close(unix_listener(address + 5));
    start(&service);
    int fd = dial_address(address);
    who(fd);
    hang_up(fd);
    finish();
    CHECK(stat(address + 5, &st) < 0);
}

/* One with a live owner is left alone. */
static void live_unix_socket(void)
{
    char address[128];
    struct stat st;
    struct service service = on_unix(address, sizeof address);
    int fd = unix_listener(address + 5);
    launch(&service);
    refused_with(address + 5);
    CHECK_EQ(shared->listen_code[1], -EADDRINUSE);
    CHECK_EQ(stat(address + 5, &st), 0);
    int client = dial_address(address); /* it still has its listener */
    close(client), close(fd), unlink(address + 5);
}

/* Two masters on one control socket: the second one ends before it forks or unlinks. */
static void second_master(void)
{
    struct service service = a_service();
    start(&service);
    struct shared *first = shared;
    struct service second = a_service();
    launch(&second);
    CHECK_EQ(wait_host(), 0);
    CHECK_EQ(shared->control_code, -EADDRINUSE);
    CHECK(strstr(shared->error, control_path()));
    CHECK_EQ(shared->last_spawn, 0);
    shared = first;
    CHECK_EQ(command("pid"), controller()->pid);
    finish();
}

/* A regular file is never removed. */
static void file_in_the_way(void)
{
    char address[128];
    struct stat st;
    struct service service = on_unix(address, sizeof address);
    close(open(address + 5, O_CREAT | O_WRONLY, 0600));
    launch(&service);
    refused_with(address + 5);
    CHECK_EQ(stat(address + 5, &st), 0);
    CHECK(S_ISREG(st.st_mode));
    unlink(address + 5);
}

static void few_files(void)
{
    struct rlimit limit = {40, 40};
    CHECK_EQ(setrlimit(RLIMIT_NOFILE, &limit), 0);
}

/* Too few fds for the configuration is said at the start, with the numbers. */
static void too_few_fds(void)
{
    struct service service = a_service();
    service.before = few_files;
    launch(&service);
    refused_with("40");
}

/* Set the soft limit, as the user that the process belongs to. */
static void set_limit(pid_t pid, int resource, rlim_t soft, bool of_nobody)
{
    int status = 0;
    pid_t helper = fork();
    if (helper == 0) {
        struct rlimit limit;
        if (of_nobody)
            become_nobody();
        CHECK_EQ(prlimit(pid, resource, NULL, &limit), 0);
        limit.rlim_cur = soft < limit.rlim_max ? soft : limit.rlim_max;
        CHECK_EQ(prlimit(pid, resource, &limit, NULL), 0);
        _exit(0);
    }
    WAIT(ended(helper, &status));
    CHECK_EQ(status, 0);
}

/* No more processes: the slot waits, tries again by itself, and nothing leaks. */
static void fork_fails(void)
{
    struct service service = a_service();
    service.before = become_nobody; /* root has no limit */
    start(&service);
    size_t fds = count_fds(shared->host);
    set_limit(shared->host, RLIMIT_NPROC, 1, true);
    end_kid(nth_open(0), SIGKILL);
    WAIT(logged("EAGAIN") || logged("temporarily unavailable"));
    CHECK_EQ(count_open(1), 2);
    CHECK(serves());
    set_limit(shared->host, RLIMIT_NPROC, RLIM_INFINITY, true);
    WAIT(count_open(1) == 3); /* with no other event */
    CHECK_EQ(count_fds(shared->host), fds);
    finish();
    CHECK_EQ(shared->result.deaths, 1);
    CHECK_EQ(shared->result.forks, 5);
}

/* The same at the start, and in a reload. */
static void fork_fails_once(void)
{
    for (int n = 1; n <= 8; n++) {
        char fault[64];
        struct service service = a_service();
        snprintf(fault, sizeof fault, "fork=fail:EAGAIN@%d", n);
        service.fault = fault;
        start(&service);
        CHECK(serves());
        int status = command("reload");
        CHECK(status == DTM_OK || status == DTM_EFAILED);
        WAIT(count_open(0) == 3 && count_role(DTM_ROLE_WORKER) == 3);
        CHECK(serves());
        finish();
    }
}

/* No more fds in the workers: open clients are served, new ones wait, all of them are taken
 * when there is room again. */
static void accept_fails(void)
{
    struct service service = a_service();
    start(&service);
    int open_ = dial(shared->port[0]), waiting[5];
    who(open_);
    for (uint32_t i = 0; i < 3; i++)
        set_limit(nth_open(i)->pid, RLIMIT_NOFILE, 3, false);
    for (int i = 0; i < 5; i++)
        say(waiting[i] = dial(shared->port[0]), "who");
    WAIT(logged("EMFILE") || logged("oo many open files"));
    for (int i = 0; i < 20; i++)
        who(open_);
    CHECK_EQ(GET(shared->opened), 1);
    for (uint32_t i = 0; i < 3; i++)
        set_limit(nth_open(i)->pid, RLIMIT_NOFILE, RLIM_INFINITY, false);
    for (int i = 0; i < 5; i++) {
        CHECK(hear(waiting[i]));
        hang_up(waiting[i]);
    }
    hang_up(open_);
    finish();
    CHECK_EQ(shared->result.deaths, 0);
}

/* The same in the controller: it waits, and neither spins nor fills the log meanwhile. */
static void control_accept_fails(void)
{
    struct service service = a_service();
    start(&service);
    struct kid *boss = controller();
    set_limit(boss->pid, RLIMIT_NOFILE, 3, false);
    int fd = ask_command("pid");
    WAIT(logged("oo many open files"));
    int passes = GET(shared->passes);
    observe(500); /* nothing marks the end of what must not happen */
    CHECK(GET(shared->passes) - passes < 50);
    CHECK(logged("oo many open files") < 50);
    CHECK(serves());
    set_limit(boss->pid, RLIMIT_NOFILE, RLIM_INFINITY, false);
    CHECK_EQ(command_answer(fd), boss->pid); /* with no other event */
    CHECK_EQ(command("pid"), boss->pid);
    finish();
    CHECK_EQ(shared->result.deaths, 0);
}

static void accept_fails_once(void)
{
    struct service service = a_service();
    service.fault = "accept=fail:EMFILE,accept=fail:ECONNABORTED@3,accept=fail:EPROTO@4";
    start(&service);
    for (int i = 0; i < 20; i++)
        CHECK(serves());
    finish();
    CHECK_EQ(shared->result.deaths, 0);
}

static const struct test tests[] = {
    {"port in use", port_in_use},
    {"stale unix socket", stale_unix_socket},
    {"live unix socket", live_unix_socket},
    {"second master", second_master},
    {"a file in the way of a unix socket", file_in_the_way},
    {"too few fds", too_few_fds},
    {"fork fails: EAGAIN for a while", fork_fails},
    {"fork fails: once, anywhere", fork_fails_once},
    {"accept fails: EMFILE for a while", accept_fails},
    {"accept of operators fails: EMFILE for a while", control_accept_fails},
    {"accept fails: once", accept_fails_once},
};
TEST_MAIN(tests)
