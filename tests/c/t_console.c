/*
 * The ready-made console: what operators can do with redis-cli, nc and any Redis client.
 * flow: M15, C7, C8, L7, L10
 * S1: info and shutdown as Redis clients and nc write them, COMMAND, HELLO 3, unknown
 * commands.
 */
#include "console.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define CHECK_SAYS(answer, text)                                                               \
    do {                                                                                       \
        const char *answer_ = (answer);                                                        \
        if (!answer_ || !strstr(answer_, (text)))                                              \
            fail_at(__FILE__, __LINE__, "%s is '%s', without '%s'", #answer,                   \
                    answer_ ? answer_ : "(hung up)", (text));                                  \
    } while (0)

static void as_redis_clients_speak(void)
{
    struct service service = a_console();
    start(&service);
    int fd = console();
    send_text(fd, "*1\r\n$4\r\ninfo\r\n");
    const char *info = reply(fd);
    static const char *const named[] = {
        "$# Server",          "# Master",    "name:",
        "version:",           "started_at:", "uptime_in_seconds:",
        "uptime_human:",      "# Memory",    "used_memory:",
        "used_memory_human:", "# Worker",    "worker_max:3",
        "worker_total:3",     "# Stats",     "run_count:0",
        "run_qps:0",
    };
    for (size_t i = 0; i < sizeof named / sizeof named[0]; i++)
        CHECK_SAYS(info, named[i]);
    CHECK_SAYS(tell(fd, "INFO"), "$# Server"); /* inline */
    CHECK(begins(tell(fd, "Info worker"), "$# Worker\r\nworker_max:3"));
    CHECK(begins(tell(fd, "command"), "[[$auth, :"));
    CHECK(begins(tell(fd, "command docs ping"), "[$ping, [$summary, "));
    CHECK(begins(tell(fd, "HELLO 3"), "{$server, $libdtm, "));
    CHECK(begins(tell(fd, "command docs ping"), "{$ping, {$summary, "));
    CHECK(begins(tell(fd, "command docs config|get"), "{$config|get, {$summary, "));
    CHECK(begins(tell(fd, "command info config|get nosuch"), "[[$config|get, :-3, "));
    CHECK(begins(tell(fd, "HELLO 4"), "-NOPROTO"));
    CHECK(begins(tell(fd, "x"), "-ERR unknown command 'x'"));
    CHECK(begins(tell(fd, "PING"), "+PONG"));
    CHECK(begins(tell(fd, "quit"), "+OK"));
    CHECK(!reply(fd));
    hang_up(fd);

    CHECK_SAYS(console_says("shutdown"), "+the service is ending");
    ended_well();
    CHECK_EQ(shared->result.reason, DTM_END_GRACEFUL);
}

/* L7: each command is answered once, in order, those that take their time included. */
static void the_masters_answers(void)
{
    struct service service = a_console();
    start(&service);
    int fd = console();
    send_text(fd, "RELOAD\r\nPING\r\nSCALE 2\r\nPING\r\n");
    CHECK_SAYS(reply(fd), "+generation 2 serves, generation 1 drains");
    CHECK_SAYS(reply(fd), "+PONG");
    CHECK_SAYS(reply(fd), "+2 workers wanted");
    CHECK_SAYS(reply(fd), "+PONG");
    WAIT(count_open(2) == 2 && count_role(DTM_ROLE_WORKER) == 2);
    CHECK(begins(tell(fd, "SCALE 0"), "-ERR 0 workers: must be"));
    CHECK(begins(tell(fd, "SCALE x"), "-ERR workers 'x': must be a whole number"));
    SET(shared->config_fails, 1);
    CHECK(begins(tell(fd, "RELOAD"), "-CONFIG the service's config_load failed"));
    CHECK(begins(tell(fd, "LOADCONF"), "+configuration loaded"));
    CHECK(begins(tell(fd, "STOP"), "+"));
    CHECK_EQ(count_role(DTM_ROLE_WORKER), 0);
    CHECK_SAYS(tell(fd, "STATUS JSON"), "\"state\":\"stopped\"");
    CHECK(begins(tell(fd, "START"), "+generation 3 starts"));
    WAIT(count_open(0) == 3);
    CHECK(begins(tell(fd, "NOFORK ON 5"), "+forking is forbidden"));
    CHECK(begins(tell(fd, "START"), "-NOFORK"));
    CHECK(begins(tell(fd, "NOFORK ON 100000"), "-ERR"));
    CHECK(!strstr(tell(fd, "INFO stats"), "nofork_seconds:off"));
    CHECK(begins(tell(fd, "NOFORK OFF"), "+forking is allowed"));
    CHECK_SAYS(tell(fd, "INFO stats"), "nofork_seconds:off");
    CHECK(begins(tell(fd, "REOPEN"), "+logs reopened"));
    hang_up(fd);
    finish();
    CHECK_EQ(shared->result.deaths, 0);
}

/* STATUS, WORKERS, INFO and JSON are one model. */
static void the_state(void)
{
    struct service service = a_console();
    start(&service);
    int client = dial(shared->port[0]), fd = console();
    struct who worker = who(client);
    char part[64];
    ask(client, "busy");
    const char *status = tell(fd, "STATUS JSON");
    CHECK_SAYS(status, "\"state\":\"serving\",\"ready\":true,");
    CHECK_SAYS(status, "\"workers_open\":3");
    snprintf(part, sizeof part, "\"master_pid\":%d,", shared->host);
    CHECK_SAYS(status, part);
    snprintf(part, sizeof part, "\"pid\":%d,\"state\":\"open\"", worker.pid);
    CHECK_SAYS(tell(fd, "WORKERS JSON"), part);
    CHECK_SAYS(tell(fd, "GENERATIONS JSON"), "[{\"generation\":1,\"state\":\"serving\"");
    CHECK_SAYS(tell(fd, "STATUS"), "$state, $serving, ");
    CHECK(begins(tell(fd, "STATUS XML"), "-ERR 'XML': JSON or nothing"));
    WAIT(strstr(tell(fd, "STATUS JSON"), "\"clients\":1,\"accepted\":1,"));
    hang_up(client);
    WAIT(strstr(tell(fd, "STATUS JSON"), "\"clients\":0,\"accepted\":1,"));
    end_kid(kid_of(worker.spawn), SIGKILL);
    WAIT(count_open(0) == 3);
    CHECK_SAYS(tell(fd, "STATUS JSON"), "\"deaths\":1,");
    CHECK(begins(tell(fd, "REPORT 99"), "-GONE there is no such report"));
    struct kid *crashes = nth_open(0);
    end_kid(crashes, SIGSEGV);
    WAIT(count_open(0) == 3);
    snprintf(part, sizeof part, "\"pid\":%d,\"signal\":11,", crashes->pid);
    CHECK_SAYS(tell(fd, "REPORTS JSON"), part);
    CHECK_SAYS(tell(fd, "REPORT LAST JSON"), "\"kind\":\"crash\"");
    WAIT(strstr(tell(fd, "REPORT 2 JSON"), "\"stack\":[\""));
    CHECK(begins(tell(fd, "REPORT x"), "-ERR report 'x': must be"));
    hang_up(fd);
    finish();
}

/* Workers that wait for the canary are not dead, and the old ones serve whole. */
static void while_a_reload_is_prepared(void)
{
    struct service service = a_console();
    service.config.start_timeout_ms = 600000;
    start(&service);
    int fd = console(), other = console();
    CHECK(begins(tell(fd, "CONFIG SET workers 2"), "+"));
    WAIT(count_role(DTM_ROLE_WORKER) == 2);
    SET(shared->init_trouble, HANG);
    send_text(other, "RELOAD\r\n"); /* to three */
    WAIT(count_role(DTM_ROLE_WORKER) == 3);
    const char *status = tell(fd, "STATUS JSON");
    CHECK_SAYS(status, "\"state\":\"reloading\",\"ready\":true,");
    CHECK_SAYS(status, "\"workers_wanted\":2,\"workers_open\":2,");
    CHECK_SAYS(status, "\"workers_dead\":0,");
    CHECK_SAYS(tell(fd, "WORKERS JSON"), "\"pid\":0,\"state\":\"starting\"");
    CHECK(begins(tell(fd, "STOP"), "+"));
    CHECK(begins(reply(other), "-FAILED"));
    hang_up(fd), hang_up(other);
    finish();
}

/* What a worker said last is not true any more when it is dead. */
static void the_clients_of_the_dead(void)
{
    struct service service = a_console();
    service.config.respawn_delay_ms = service.config.respawn_delay_max_ms = 600000;
    start(&service);
    int fd = console();
    for (int death = 0; death < 2; death++) { /* the second one has its slot wait */
        WAIT(count_open(0) == 3);
        int client = dial_worker(nth_open(0));
        ask(client, "busy");
        WAIT(strstr(tell(fd, "STATUS JSON"), "\"clients\":1,"));
        end_kid(nth_open(0), SIGKILL);
        hang_up(client);
        WAIT(strstr(tell(fd, "STATUS JSON"), "\"clients\":0,"));
    }
    CHECK_SAYS(tell(fd, "STATUS JSON"), "\"workers_dead\":1,");
    CHECK_SAYS(tell(fd, "INFO worker"), "worker_clients:0\r\n");
    CHECK_SAYS(tell(fd, "GENERATIONS JSON"), "\"clients\":0,");
    hang_up(fd);
    finish();
}

/* The controller itself is told to end at once, and its operator hears of it. */
static void shutdown_now(void)
{
    for (int round = 0; round < 5; round++) {
        struct service service = a_console();
        start(&service);
        int fd = console();
        CHECK_SAYS(tell(fd, "SHUTDOWN NOW"), "+the service is ending");
        CHECK(!reply(fd));
        hang_up(fd);
        ended_well();
        CHECK_EQ(shared->result.reason, DTM_END_FAST);
    }
}

static void connections(void)
{
    struct service service = a_console();
    start(&service);
    int fd = console(), listens = console(), third = console();
    CHECK(begins(tell(listens, "SUBSCRIBE exit"), "[$subscribe"));
    CHECK(begins(tell(third, "CLIENT SETNAME third"), "+OK"));
    int id = atoi(tell(third, "CLIENT ID") + 1);
    CHECK_SAYS(tell(fd, "CLIENT LIST"), "name=third ");
    CHECK_SAYS(tell(fd, "CLIENT LIST TYPE pubsub"), " cmd=subscribe ");
    CHECK(!strstr(tell(fd, "CLIENT LIST TYPE pubsub"), "name=third "));
    CHECK(!strstr(tell(fd, "CLIENT LIST TYPE normal"), " cmd=subscribe "));
    const char *one = tell(fd, "CLIENT LIST ID %d 999999", id);
    CHECK(strstr(one, "name=third ") && strchr(one, '\n') == strrchr(one, '\n'));
    CHECK(begins(tell(fd, "CLIENT LIST TYPE x"), "-ERR syntax error: CLIENT LIST"));
    CHECK(begins(tell(fd, "CLIENT LIST ID x"), "-ERR ID 'x'"));
    CHECK(begins(tell(fd, "CLIENT KILL ID %d", id), ":1"));
    CHECK(!reply(third));
    CHECK(begins(tell(fd, "CLIENT KILL ID %d", id), ":0"));
    CHECK(begins(tell(fd, "CLIENT KILL 1.2.3.4:5"), "-ERR No such client"));
    hang_up(fd), hang_up(listens), hang_up(third);
    finish();
}

static void settings(void)
{
    struct service service = a_console();
    start(&service);
    int fd = console();
    CHECK_SAYS(tell(fd, "CONFIG GET workers"), "[$workers, $3]");
    CHECK_SAYS(tell(fd, "CONFIG GET *_GRACE drain_t*"), "$kill_grace, $");
    CHECK_SAYS(tell(fd, "CONFIG GET nosuch"), "[]");
    CHECK(!strcmp(tell(fd, "CONFIG GET save"), "[$save, $]")); /* redis-benchmark asks */
    CHECK(!strcmp(tell(fd, "CONFIG GET appendonly"), "[$appendonly, $no]"));
    CHECK(!strstr(tell(fd, "CONFIG GET *"), "appendonly"));
    CHECK(begins(tell(fd, "CONFIG SET kill_grace 1s"), "-ERR CONFIG SET failed - can't set"));
    CHECK(begins(tell(fd, "CONFIG SET nosuch 1"), "-ERR Unknown option"));
    CHECK(begins(tell(fd, "CONFIG SET log_level loud"), "-ERR CONFIG SET: log_level = loud"));
    CHECK(begins(tell(fd, "CONFIG SET workers 4"), "+4 workers wanted"));
    WAIT(count_open(0) == 4);
    CHECK(begins(tell(fd, "ACCEPT MODE SET hash"), "+"));
    CHECK_SAYS(tell(fd, "ACCEPT MODE GET"), "[$wanted, $hash, ");
    CHECK(begins(tell(fd, "ACCEPT TOKENS SET 65"), "-ERR tokens '65'"));
    CHECK(begins(tell(fd, "ACCEPT TOKENS SET 3"), "+3 accept tokens"));
    CHECK_SAYS(tell(fd, "ACCEPT STATS JSON"), "\"wanted\":\"hash\"");
    CHECK(begins(tell(fd, "LOG LEVEL SET info"), "+"));
    /* What is in force, not what the file says. */
    CHECK_SAYS(tell(fd, "CONFIG GET workers"), "[$workers, $4]");
    CHECK_SAYS(tell(fd, "CONFIG GET accept_mode"), "$hash]");
    CHECK_SAYS(tell(fd, "CONFIG GET accept_tokens"), "$3]");
    WAIT(strstr(tell(fd, "CONFIG GET log_level"), "$info]"));
    /* A configuration that is taken back takes nothing of it with it. */
    SET(shared->init_generation, 2);
    SET(shared->init_trouble, FAIL);
    CHECK(begins(tell(fd, "RELOAD"), "-"));
    SET(shared->init_trouble, 0);
    CHECK_SAYS(tell(fd, "CONFIG GET workers"), "[$workers, $4]");
    CHECK_SAYS(tell(fd, "CONFIG GET accept_mode"), "$hash]");
    CHECK_SAYS(tell(fd, "CONFIG GET accept_tokens"), "$3]");
    WAIT(strstr(tell(fd, "CONFIG GET log_level"), "$info]"));
    CHECK(begins(tell(fd, "RELOAD"), "+"));
    CHECK_SAYS(tell(fd, "CONFIG GET workers"), "[$workers, $3]");
    CHECK_SAYS(tell(fd, "CONFIG GET accept_mode"), "$auto]");
    hang_up(fd);
    finish();
}

/* The level changes in every process, and in those that are forked later. */
static void log_level(void)
{
    struct service service = a_console();
    start(&service);
    int fd = console();
    CHECK_SAYS(tell(fd, "LOG LEVEL GET"), "$debug");
    CHECK(begins(tell(fd, "LOG LEVEL SET warn"), "+log level warn"));
    WAIT(strstr(tell(fd, "LOG LEVEL GET"), "$warn"));
    uint32_t forks = logged(": forked");
    end_kid(nth_open(0), SIGKILL);
    WAIT(count_open(0) == 3);
    CHECK_EQ(logged(": forked"), forks);
    CHECK(begins(tell(fd, "RELOAD"), "+")); /* the configuration's level holds again */
    CHECK_EQ(logged(": forked"), forks + 3);
    WAIT(strstr(tell(fd, "LOG LEVEL GET"), "$debug"));
    hang_up(fd);
    finish();
}

/* L10: the controller dies; its successor answers, and only that one. */
static void its_successor(void)
{
    struct service service = a_console();
    start(&service);
    int fd = console(), event = console();
    CHECK(begins(tell(event, "SUBSCRIBE reload"), "[$subscribe"));
    struct kid *first = controller();
    CHECK(begins(tell(fd, "NOFORK ON 30"), "+forking is forbidden"));
    CHECK(begins(tell(fd, "NOFORK OFF"), "+forking is allowed"));
    CHECK(kill(first->pid, SIGKILL) == 0);
    CHECK(!reply(fd));
    CHECK(!reply(event));
    hang_up(fd), hang_up(event);
    WAIT(controller() && controller() != first);
    fd = console(); /* who comes in between waits in the listener's queue */
    char part[64];
    snprintf(part, sizeof part, "\"controller_pid\":%d,", controller()->pid);
    CHECK_SAYS(tell(fd, "STATUS JSON"), part);
    CHECK_SAYS(tell(fd, "STATUS JSON"), "\"workers_open\":3");
    CHECK(begins(tell(fd, "RELOAD"), "+generation 2 serves"));
    hang_up(fd);
    finish();
}

static const struct test tests[] = {
    {"as Redis clients speak", as_redis_clients_speak},
    {"the master's answers", the_masters_answers},
    {"the state", the_state},
    {"while a reload is prepared", while_a_reload_is_prepared},
    {"the clients of the dead", the_clients_of_the_dead},
    {"SHUTDOWN NOW", shutdown_now},
    {"connections", connections},
    {"settings", settings},
    {"the log level", log_level},
    {"its successor", its_successor},
};

TEST_MAIN(tests)
