/*
 * Life events for those who subscribe, progress for those who wait, and commands of the
 * service's own.
 */
#include "console.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* Read messages of a subscriber until one has both texts in it. */
static const char *hear_of(int fd, const char *event, const char *text)
{
    for (int i = 0; i < 200; i++) {
        const char *message = reply(fd);
        if (!message)
            fail_at(__FILE__, __LINE__, "hung up before %s %s", event, text);
        if (strstr(message, event) && strstr(message, text))
            return message;
    }
    fail_at(__FILE__, __LINE__, "200 messages, none is %s %s", event, text);
}

static void subscribers(void)
{
    struct service service = a_console();
    start(&service);
    int two = console(), three = console(), fd = console();
    CHECK(begins(tell(two, "SUBSCRIBE exit fork"), "[$subscribe, $exit, :1]"));
    CHECK(begins(reply(two), "[$subscribe, $fork, :2]"));
    CHECK(begins(tell(two, "STATUS"), "-ERR Can't execute 'status'"));
    CHECK(begins(tell(two, "PING"), "[$pong, $]"));
    CHECK(
        begins(tell(two, "SUBSCRIBE birthday"), "-ERR no event 'birthday': there are fork, "));
    CHECK(begins(tell(three, "HELLO 3"), "{"));
    CHECK(begins(tell(three, "PSUBSCRIBE re*"), ">[$psubscribe, $re*, :1]"));
    CHECK(begins(tell(three, "PING"), "+PONG")); /* RESP3 may do everything */

    struct kid *kid = nth_open(0);
    char pid[32];
    snprintf(pid, sizeof pid, "\"pid\":%d,", kid->pid);
    end_kid(kid, SIGKILL);
    const char *message = hear_of(two, "[$message, $exit, ${\"event\":\"exit\"", pid);
    CHECK(strstr(message, "\"role\":\"worker\"") && strstr(message, "\"status\":9,"));
    hear_of(two, "[$message, $fork, ", "\"role\":\"worker\"");
    hear_of(three, ">[$pmessage, $re*, $ready, ", "\"role\":\"worker\"");
    WAIT(count_open(0) == 3);

    CHECK(begins(tell(fd, "RELOAD"), "+"));
    hear_of(three, "$reload, ", "\"phase\":\"begin\"");
    hear_of(three, "$reload, ", "\"status\":0,\"text\":\"reload to generation 2");
    CHECK(begins(tell(three, "PUNSUBSCRIBE"), ">[$punsubscribe, $re*, :0]") ||
          hear_of(three, ">[$punsubscribe, $re*, :0]", ""));
    hang_up(two), hang_up(three), hang_up(fd);
    finish();
}

/* In RESP3, who waits for the end of a reload hears how it goes on. */
static void progress(void)
{
    struct service service = a_console();
    start(&service);
    int fd = console();
    CHECK(begins(tell(fd, "HELLO 3"), "{"));
    send_text(fd, "RELOAD\r\n");
    int forks = 0, opens = 0;
    const char *said = reply(fd);
    for (; begins(said, ">[$progress, $"); said = reply(fd)) {
        forks += strstr(said, "$fork, ") != NULL;
        opens += strstr(said, "$open, ") != NULL;
    }
    CHECK(begins(said, "+generation 2 serves"));
    CHECK_EQ(forks, 3);
    CHECK_EQ(opens, 3);
    CHECK(begins(tell(fd, "PING"), "+PONG")); /* and nothing more when it is over */
    hang_up(fd);
    finish();
}

static dtm_reply_t *kept;

static int32_t on_greet(dtm_t *rt, dtm_reply_t *reply, size_t argc, const dtm_str_t *argv,
                        void *data)
{
    dtm_self_t self;
    CHECK(argc == 2 && data == shared);
    CHECK_EQ(dtm_self(rt, &self, sizeof self), DTM_OK);
    CHECK_EQ(self.role, DTM_ROLE_CONTROLLER);
    CHECK_EQ(dtm_reply_map(reply, 3), DTM_OK);
    CHECK_EQ(dtm_reply_text(reply, "hello", 5), DTM_OK);
    CHECK_EQ(dtm_reply_text(reply, argv[1].ptr, argv[1].len), DTM_OK);
    CHECK_EQ(dtm_reply_text(reply, "list", 4), DTM_OK);
    CHECK_EQ(dtm_reply_array(reply, 3), DTM_OK);
    CHECK_EQ(dtm_reply_integer(reply, -7), DTM_OK);
    CHECK_EQ(dtm_reply_double(reply, 0.25), DTM_OK);
    CHECK_EQ(dtm_reply_null(reply), DTM_OK);
    CHECK_EQ(dtm_reply_text(reply, "yes", 3), DTM_OK);
    CHECK_EQ(dtm_reply_boolean(reply, 1), DTM_OK);
    if (kept) /* the reply of an earlier call, which was sent */
        CHECK(kept == reply || dtm_reply_null(kept) == DTM_ESTATE);
    kept = reply;
    return 0;
}

static int32_t on_trouble(dtm_t *rt, dtm_reply_t *reply, size_t argc, const dtm_str_t *argv,
                          void *data)
{
    (void)rt, (void)data;
    CHECK(argc == 2);
    switch (argv[1].ptr[0]) {
    case 'e': return dtm_reply_error(reply, "the cupboard is bare"), 0;
    case 'c': return dtm_reply_error(reply, "BARE the cupboard"), 0;
    case 'n': return -ENOENT;
    case 'h': /* half of what was announced */
        return dtm_reply_array(reply, 2), dtm_reply_integer(reply, 1), 0;
    case 'b':
        CHECK_EQ(dtm_reply_text(reply, NULL, 3), DTM_EINVAL);
        CHECK_EQ(dtm_reply_text(NULL, "x", 1), DTM_EINVAL);
        CHECK_EQ(dtm_reply_array(reply, SIZE_MAX), DTM_EINVAL);
        return dtm_reply_text(reply, "one", 3), dtm_reply_text(reply, "two", 3), 0;
    default: return 0;
    }
}

static int32_t add(dtm_t *rt, const char *name, int32_t arity, uint32_t operators,
                   dtm_console_cb handler)
{
    dtm_console_t command = DTM_CONSOLE_INIT;
    command.name = name;
    command.arity = arity;
    command.operator_only = operators;
    command.help = "A command of the test's";
    command.handler = handler;
    command.data = shared;
    return dtm_console_register(rt, &command);
}

static void register_own(dtm_t *rt)
{
    CHECK_EQ(add(rt, "greet", 2, 0, on_greet), DTM_OK);
    CHECK_EQ(add(rt, "trouble", -2, 1, on_trouble), DTM_OK);
    CHECK_EQ(add(rt, "Greet", 2, 0, on_greet), DTM_EINVAL);
    CHECK_EQ(add(rt, "status", 1, 0, on_greet), DTM_EINVAL);
    CHECK_EQ(add(rt, "two words", 1, 0, on_greet), DTM_EINVAL);
    CHECK_EQ(add(rt, "none", 0, 0, on_greet), DTM_EINVAL);
    CHECK_EQ(add(rt, "none", 1, 2, on_greet), DTM_EINVAL);
    CHECK_EQ(add(rt, "none", 1, 0, NULL), DTM_EINVAL);
    CHECK_EQ(add(rt, NULL, 1, 0, on_greet), DTM_EINVAL);
}

static void own_commands(void)
{
    struct service service = a_console();
    service.setup = register_own;
    start(&service);
    int fd = console();
    CHECK(
        begins(tell(fd, "GREET world"), "[$hello, $world, $list, [:-7, $0.25, _], $yes, :1]"));
    CHECK(begins(tell(fd, "greet"), "-ERR wrong number of arguments for 'greet'"));
    CHECK(begins(tell(fd, "trouble e"), "-ERR the cupboard is bare"));
    CHECK(begins(tell(fd, "trouble c"), "-BARE the cupboard"));
    CHECK(begins(tell(fd, "trouble n"), "-ERR ") && strstr(tell(fd, "trouble n"), "ENOENT"));
    CHECK(strstr(tell(fd, "trouble h"), "1 more parts than it added"));
    CHECK(begins(tell(fd, "trouble b"), "[$one, $two]"));
    CHECK(begins(tell(fd, "trouble x"), "+OK"));
    CHECK(begins(tell(fd, "HELLO 3"), "{"));
    CHECK(
        begins(tell(fd, "GREET world"), "{$hello, $world, $list, [:-7, ,0.25, _], $yes, #t}"));
    CHECK(begins(tell(fd, "COMMAND INFO greet"), "[[$greet, :2, "));
    CHECK(strstr(tell(fd, "COMMAND DOCS greet"), "A command of the test's"));
    CHECK(strstr(tell(fd, "HELP greet"), "A command of the test's"));
    hang_up(fd);
    finish();
    CHECK_EQ(shared->result.deaths, 0);
}

/* What the workers say of their clients, by way of the master. */
static void clients_of_workers(void)
{
    struct service service = a_console();
    start(&service);
    int busy = dial(shared->port[0]), fd = console();
    struct who worker = who(busy);
    ask(busy, "busy");
    const char *said = tell(fd, "CLIENTS PID %d JSON", worker.pid);
    CHECK(strstr(said, "\"clients\":1,\"busy\":1,"));
    CHECK(strstr(said, "\"peer\":\"127.0.0.1:") && strstr(said, "\"waits_for\":\"read\""));
    CHECK(strstr(said, "\"drain_waits_for\":null,\"drain_left_seconds\":null"));
    CHECK(begins(tell(fd, "CLIENTS"), "[[$slot, :"));
    CHECK(begins(tell(fd, "CLIENTS 1 2 3"), "-ERR"));

    CHECK(begins(tell(fd, "RELOAD"), "+"));
    WAIT(strstr(tell(fd, "CLIENTS PID %d JSON", worker.pid),
                "\"drain_waits_for\":\"1 busy clients; the oldest is 1 from 127.0.0.1:"));
    CHECK(strstr(tell(fd, "CLIENTS JSON"), "\"state\":\"draining\""));
    who(busy); /* and is idle now */
    WAIT(count_role(DTM_ROLE_WORKER) == 3);
    CHECK(begins(tell(fd, "CLIENTS PID %d", worker.pid), "-GONE"));
    hang_up(busy), hang_up(fd);
    finish();
}

static const struct test tests[] = {
    {"subscribers", subscribers},
    {"progress", progress},
    {"own commands", own_commands},
    {"clients of workers", clients_of_workers},
};

TEST_MAIN(tests)
