/*
 * Operators who are slow, silent, hostile or gone: the faults H01 to H09 of the console,
 * and S2: slow or silent ones beside others, half a command, 1 GiB announced.
 * H01 to H04, H06 to H08, S2 are cases here; H05 and H09 are in t_console_rights.c.
 */
#include "console.h"

#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

static long rss_kib(int pid)
{
    char path[64], line[256];
    long kib = 0;
    snprintf(path, sizeof path, "/proc/%d/status", pid);
    FILE *f = fopen(path, "re");
    CHECK(f);
    while (fgets(line, sizeof line, f))
        if (sscanf(line, "VmRSS: %ld", &kib) == 1)
            break;
    fclose(f);
    CHECK(kib > 0);
    return kib;
}

/* H01, S2: what is no command is named, and ends that connection only. */
static void no_commands(void)
{
    static const struct {
        const char *bytes;
        size_t len;
        const char *error;
    } bad[] = {
        {"*-2\r\n", 5, "multibulk length"},
        {"*1\r\n$9999999999\r\n", 17, "bulk length"},
        {"*1\r\n$1073741824\r\n", 17, "bulk length"},
        {"*1\r\n$4\r\npingXY", 14, "CR LF"},
        {"*1\r\n*1\r\n$4\r\nping\r\n", 18, "expected '$'"},
        {"pi\0ng\r\n", 7, "NUL"},
        {"ping \"x\r\n", 9, "quotes"},
        {"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\n", 10, "NUL"}, /* a TLS client */
    };
    struct service service = a_console();
    start(&service);
    int other = console();
    long before = rss_kib(controller()->pid);
    for (int round = 0; round < 20; round++)
        for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
            int fd = console();
            send_text(fd, "PING\r\n");
            send_bytes(fd, bad[i].bytes, bad[i].len);
            CHECK(begins(reply(fd), "+PONG"));
            const char *error = reply(fd);
            if (!begins(error, "-ERR Protocol error: ") || !strstr(error, bad[i].error))
                fail_at(__FILE__, __LINE__, "case %zu: '%s'", i, error ? error : "(hung up)");
            CHECK(!reply(fd));
            hang_up(fd);
            CHECK(begins(tell(other, "PING"), "+PONG"));
        }
    CHECK_LE(rss_kib(controller()->pid), before + 4096);
    hang_up(other);
    finish();
    CHECK_EQ(shared->result.deaths, 0);
}

/* S2: announced, not sent: nothing is stored for it beyond 64 KiB. */
static void announced_and_not_sent(void)
{
    enum { CLIENTS = 40 };
    struct service service = a_console();
    start(&service);
    long before = rss_kib(controller()->pid);
    int fd[CLIENTS], other = console();
    static char half[60000];
    memset(half, 'x', sizeof half);
    for (int i = 0; i < CLIENTS; i++) {
        fd[i] = console();
        send_text(fd[i], "*2\r\n$4\r\nECHO\r\n$65000\r\n");
        send_bytes(fd[i], half, sizeof half);
    }
    CHECK(begins(tell(other, "PING"), "+PONG"));
    /* Vectors double as they grow, and the reply of one is built beside it. */
    CHECK_LE(rss_kib(controller()->pid), before + CLIENTS * 2 * 64 + 4096);
    for (int i = 0; i < CLIENTS; i++) {
        send_bytes(fd[i], half, 5000);
        send_text(fd[i], "\r\n");
        const char *echo = reply(fd[i]);
        CHECK(echo && strlen(echo) == 65001);
        hang_up(fd[i]);
    }
    hang_up(other);
    finish();
}

/* H02: in order, however many there are and however they come. */
static void pipelined(void)
{
    enum { COMMANDS = 10000 };
    struct service service = a_console();
    start(&service);
    int fd = console();
    char text[64];
    pid_t sender = fork();
    CHECK(sender >= 0);
    if (sender == 0) { /* who only sends may be held up: the replies have to be read */
        for (int i = 0; i < COMMANDS; i++) {
            int n = i % 2
                        ? snprintf(text, sizeof text, "echo %05d\r\n", i)
                        : snprintf(text, sizeof text, "*2\r\n$4\r\nECHO\r\n$5\r\n%05d\r\n", i);
            send_bytes(fd, text, (size_t)n);
        }
        _exit(0);
    }
    for (int i = 0; i < COMMANDS; i++) {
        snprintf(text, sizeof text, "$%05d", i);
        CHECK(begins(reply(fd), text));
    }
    int status = 0;
    WAIT(ended(sender, &status));
    CHECK_EQ(status, 0);
    /* Byte by byte. */
    const char drip[] = "*2\r\n$4\r\nECHO\r\n$4\r\ndrip\r\n";
    for (size_t i = 0; i < sizeof drip - 1; i++)
        send_bytes(fd, drip + i, 1);
    CHECK(begins(reply(fd), "$drip"));
    hang_up(fd);
    finish();
}

/* H02: half a command has no effect. */
static void half_a_command(void)
{
    static const char *const halves[] = {"STO", "STOP", "*1\r\n$4\r\nSTOP",
                                         "*2\r\n$4\r\nSTOP\r\n", "*1\r\n$8\r\nSHUTDOWN\r"};
    struct service service = a_console();
    start(&service);
    for (size_t i = 0; i < sizeof halves / sizeof halves[0]; i++) {
        int fd = console();
        send_text(fd, halves[i]);
        shutdown(fd, SHUT_WR);
        CHECK(!reply(fd)); /* and no answer */
        hang_up(fd);
    }
    CHECK(begins(console_says("PING"), "+PONG"));
    CHECK_EQ(count_open(0), 3);
    finish();
    CHECK_EQ(shared->result.deaths, 0);
}

/* H02: who says nothing is asked to leave; who waits for something may be silent. */
static void idle(void)
{
    struct service service = a_console();
    service.config.control_timeout_ms = 200;
    start(&service);
    int silent = console(), half = console(), listens = console();
    send_text(half, "PIN");
    CHECK(begins(tell(listens, "SUBSCRIBE exit"), "[$subscribe"));
    CHECK(!reply(silent));
    CHECK(!reply(half));
    end_kid(nth_open(0), SIGKILL);
    CHECK(begins(reply(listens), "[$message, $exit, ${"));
    hang_up(silent), hang_up(half), hang_up(listens);
    finish();
}

/* H03: who never reads is hung up on; nobody else waits for him. */
static void never_reads(void)
{
    struct service service = a_console();
    start(&service);
    int fd = console(), other = console();
    long before = rss_kib(controller()->pid);
    struct pollfd room = {.fd = fd, .events = POLLOUT};
    char command[] = "INFO\r\n";
    int asked = 0;
    /* Until nothing more is taken: the socket's buffers, 64 KiB there, then no more. */
    while (poll(&room, 1, 300) == 1 && !(room.revents & (POLLHUP | POLLERR))) {
        if (send(fd, command, sizeof command - 1, MSG_NOSIGNAL | MSG_DONTWAIT) < 0)
            break;
        asked++;
        if (asked % 100 == 0)
            CHECK(begins(tell(other, "PING"), "+PONG"));
    }
    CHECK(asked > 300);
    CHECK(begins(tell(other, "PING"), "+PONG"));
#ifndef __SANITIZE_ADDRESS__ /* keeps freed memory for a while */
    CHECK_LE(rss_kib(controller()->pid), before + 16384);
#else
    (void)before;
#endif
    char count[64];
    WAIT(snprintf(count, sizeof count, "connected_clients:1\r\n") &&
         strstr(tell(other, "INFO clients"), count));
    hang_up(fd), hang_up(other);
    finish();
}

/* H03: the same for who only listens. */
static void never_reads_events(void)
{
    struct service service = a_console();
    start(&service);
    int fd = console(), other = console();
    CHECK(begins(tell(fd, "PSUBSCRIBE *"), "[$psubscribe"));
    for (int i = 0; i < 20; i++)
        CHECK(begins(tell(other, "RELOAD"), "+"));
    CHECK_LE(rss_kib(controller()->pid), 65536);
    CHECK(begins(tell(other, "PING"), "+PONG"));
    hang_up(fd), hang_up(other);
    finish();
    CHECK_EQ(shared->result.reloads, 20);
}

/* H04: a browser that somebody has sent here is not listened to. */
static void http(void)
{
    static const char *const requests[] = {
        "POST / HTTP/1.1\r\nHost: localhost\r\nContent-Length: 9\r\n\r\nSHUTDOWN\n",
        "GET /SHUTDOWN HTTP/1.0\r\n\r\n",
        "Host: localhost\r\nSHUTDOWN\r\n",
        "OPTIONS * HTTP/1.1\r\n\r\nSHUTDOWN\r\n",
    };
    struct service service = a_console();
    start(&service);
    for (size_t i = 0; i < sizeof requests / sizeof requests[0]; i++) {
        int fd = console();
        send_text(fd, requests[i]);
        CHECK(!reply(fd));
        hang_up(fd);
    }
    CHECK(logged("speaks HTTP") == 4);
    CHECK(begins(console_says("PING"), "+PONG"));
    finish();
    CHECK_EQ(shared->result.signal, SIGTERM); /* nobody else has ended it */
}

/* H06: all connections are forgotten ones: the owner gets in all the same. */
static void all_in_use(void)
{
    enum { CLIENTS = 4 };
    struct service service = a_console();
    service.config.control_clients = CLIENTS;
    start(&service);
    int fd[CLIENTS + 3];
    for (int i = 0; i < CLIENTS; i++) {
        fd[i] = console();
        CHECK(begins(tell(fd[i], "PING"), "+PONG"));
    }
    /* This test is the owner; each of these is one more than there are. */
    for (int i = CLIENTS; i < CLIENTS + 3; i++) {
        fd[i] = console();
        CHECK(begins(tell(fd[i], "PING"), "+PONG"));
    }
    CHECK(!reply(fd[0])); /* those that were idle longest made room */
    CHECK(!reply(fd[1]));
    CHECK(begins(tell(fd[2], "PING"), "+PONG"));
    for (int i = 0; i < CLIENTS + 3; i++)
        hang_up(fd[i]);
    finish();
}

/* H06: whose command waits unread is not the one that makes room, and all who come at once
 * get in. */
static void all_in_use_and_busy(void)
{
    enum { CLIENTS = 4, ALL = CLIENTS + 1 };
    struct service service = a_console();
    service.config.control_clients = CLIENTS;
    start(&service);
    int fd[ALL + 3];
    for (int i = 0; i < ALL; i++) { /* with the one that is the owner's */
        fd[i] = console();
        CHECK(begins(tell(fd[i], "PING"), "+PONG"));
    }
    CHECK_EQ(kill(controller()->pid, SIGSTOP), 0);
    WAIT(state_of(controller()->pid) == 'T');
    send_text(fd[0], "PING\r\n");
    for (int i = ALL; i < ALL + 3; i++) {
        fd[i] = console();
        send_text(fd[i], "PING\r\n");
    }
    CHECK_EQ(kill(controller()->pid, SIGCONT), 0);
    CHECK(begins(reply(fd[0]), "+PONG"));
    for (int i = ALL; i < ALL + 3; i++)
        CHECK(begins(reply(fd[i]), "+PONG"));
    for (int i = 1; i <= 3; i++)
        CHECK(!reply(fd[i]));
    CHECK(begins(tell(fd[4], "PING"), "+PONG"));
    for (int i = 0; i < ALL + 3; i++)
        hang_up(fd[i]);
    finish();
}

/* An answer that is there counts, however much stands before it and however late it is read. */
static void answers_that_wait(void)
{
    enum { MESSAGES = 100 };
    struct service service = a_console();
    start(&service);
    int fd = console(), other = console();
    struct kid *asked = nth_open(0), *talks = nth_open(1);
    int client = dial_worker(talks);
    CHECK_EQ(kill(asked->pid, SIGSTOP), 0);
    WAIT(state_of(asked->pid) == 'T');
    char question[64];
    snprintf(question, sizeof question, "CLIENTS PID %d JSON\r\n", asked->pid);
    send_text(fd, question);
    WAIT(strstr(tell(other, "CLIENT LIST"), "cmd=clients "));
    CHECK_EQ(kill(controller()->pid, SIGSTOP), 0);
    WAIT(state_of(controller()->pid) == 'T');
    for (int i = 0; i < MESSAGES; i++)
        ask(client, "answer x");
    CHECK_EQ(kill(asked->pid, SIGCONT), 0);
    observe(1500); /* beyond the time that a worker has */
    CHECK_EQ(kill(controller()->pid, SIGCONT), 0);
    const char *answer = reply(fd);
    if (!answer || !strstr(answer, "\"clients\":0"))
        fail_at(__FILE__, __LINE__, "'%s'", answer ? answer : "(hung up)");
    CHECK_EQ(GET(shared->answers), MESSAGES);
    hang_up(fd), hang_up(other), hang_up(client);
    finish();
}

/* H07: a worker that hears nothing is named at once, and so is one that does not answer. */
static void workers_that_hear_nothing(void)
{
    struct service service = a_console();
    service.config.respawn_delay_ms = service.config.respawn_delay_max_ms = 60000;
    start(&service);
    int fd = console();
    struct kid *dead = nth_open(0), *stopped = nth_open(1);
    CHECK(begins(tell(fd, "CLIENTS SLOT 31"), "-GONE there is no worker with slot 31"));
    CHECK(begins(tell(fd, "RECYCLE PID 1"), "-GONE"));
    CHECK(begins(tell(fd, "RECYCLE WORKER 1"), "-ERR 'WORKER'"));

    shared->init_trouble = HANG;
    end_kid(dead, SIGKILL); /* the first replacement comes at once, and hangs in its init */
    WAIT(in_slot(dead->slot) != dead && in_slot(dead->slot)->pid > 0);
    char part[64];
    snprintf(part, sizeof part, "\"state\":\"starting\"");
    WAIT(strstr(tell(fd, "WORKERS JSON"), part));
    const char *refused = tell(fd, "CLIENTS SLOT %u", dead->slot);
    CHECK(begins(refused, "-ERR the worker with slot") && strstr(refused, "is starting"));
    CHECK(begins(tell(fd, "RECYCLE SLOT %u", dead->slot), "-ERR the worker"));
    CHECK(strstr(tell(fd, "CLIENTS JSON"), "it is starting: it hears nothing"));

    CHECK(kill(stopped->pid, SIGSTOP) == 0);
    WAIT(state_of(stopped->pid) == 'T');
    CHECK(strstr(tell(fd, "CLIENTS PID %d JSON", stopped->pid), "no answer within"));
    CHECK(kill(stopped->pid, SIGCONT) == 0);
    WAIT(strstr(tell(fd, "CLIENTS PID %d JSON", stopped->pid), "\"clients\":0"));
    hang_up(fd);
    shared->init_trouble = NO_TROUBLE;
    CHECK(kill(shared->host, SIGINT) == 0);
    wait_host();
    check_no_survivors();
}

/* H08: who asked for a reload leaves: it ends normally. */
static void leaves_during_a_reload(void)
{
    struct service service = a_console();
    service.fault = "update.begin=sleep:20@*";
    start(&service);
    for (int i = 0; i < 10; i++) {
        int fd = console();
        send_text(fd, "RELOAD\r\n");
        if (i % 2)
            observe(10);
        hang_up(fd);
        WAIT(GET(shared->reloads) == i + 1);
        CHECK_EQ(shared->reload_status, DTM_OK);
    }
    WAIT(strstr(console_says("INFO clients"), "connected_clients:1\r\n"));
    finish();
    CHECK_EQ(shared->result.reloads, 10);
    CHECK_EQ(shared->result.deaths, 0);
}

static const struct test tests[] = {
    {"H01: no commands", no_commands},
    {"S2: announced and not sent", announced_and_not_sent},
    {"H02: 10,000 pipelined commands", pipelined},
    {"H02: half a command", half_a_command},
    {"H02: idle", idle},
    {"H03: never reads", never_reads},
    {"H03: never reads events", never_reads_events},
    {"H04: HTTP", http},
    {"H06: all connections in use", all_in_use},
    {"H06: all connections in use and busy", all_in_use_and_busy},
    {"H07: answers that wait", answers_that_wait},
    {"H07: workers that hear nothing", workers_that_hear_nothing},
    {"H08: leaves during a reload", leaves_during_a_reload},
};

TEST_MAIN(tests)
