/*
 * Messages between controller and workers: the right one, whole, in order, or nobody.
 * flow: M2, M13, W2, W7, C5, C9, L6, L11
 * valgrind: yes
 */
#include "peer.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

typedef unsigned long long number;

static void to_one(void)
{
    struct service service = a_service();
    start(&service);
    struct kid *kid = nth_open(1);
    int messages[3];
    for (uint32_t i = 0; i < 3; i++)
        messages[i] = nth_open(i)->messages;
    CHECK_EQ(command("send %llu version 5", (number)kid->spawn), DTM_OK);
    WAIT(GET(kid->version) == 5);
    CHECK_EQ(kid->messages, messages[1] + 1);
    CHECK_EQ(nth_open(0)->messages, messages[0]);
    CHECK_EQ(nth_open(2)->messages, messages[2]);
    finish();
}

static void to_nobody(void)
{
    struct service service = a_service();
    start(&service);
    struct kid *dead = nth_open(0);
    CHECK_EQ(command("send 999 x"), DTM_EGONE);
    CHECK_EQ(command("send 0 x"), DTM_EGONE);
    end_kid(dead, SIGKILL);
    WAIT(count_open(1) == 3);
    CHECK_EQ(command("send %llu version 5", (number)dead->spawn), DTM_EGONE);
    CHECK_EQ(in_slot(dead->slot)->version, 1);
    finish();
}

static void to_all(void)
{
    struct service service = a_service();
    start(&service);
    CHECK_EQ(command("all 0 version 2"), DTM_OK);
    CHECK_EQ(atoi(detail), 3);
    for (uint32_t i = 0; i < 3; i++)
        WAIT(GET(nth_open(i)->version) == 2);
    CHECK_EQ(command("all 1 version 3"), DTM_OK);
    CHECK_EQ(atoi(detail), 3);
    for (uint32_t i = 0; i < 3; i++)
        WAIT(GET(nth_open(i)->version) == 3);
    command("all 77 version 4");
    CHECK_EQ(atoi(detail), 0);
    for (uint32_t i = 0; i < 3; i++)
        CHECK_EQ(GET(nth_open(i)->version), 3);
    finish();
}

/* After the gate has opened a refusal is only reported. */
static void refused(void)
{
    struct service service = a_service();
    start(&service);
    CHECK_EQ(command("send %llu refuse", (number)nth_open(0)->spawn), DTM_OK);
    WAIT(shared->refusals == 1);
    CHECK_EQ(count_open(1), 3);
    CHECK_EQ(count_events(DTM_EVENT_EXIT, DTM_ROLE_WORKER), 0);
    finish();
}

static void answered(void)
{
    struct service service = a_service();
    start(&service);
    int fd = dial(shared->port[0]);
    CHECK_EQ(atoi(ask(fd, "answer the number is 42")), DTM_OK);
    WAIT(shared->answers == 1);
    CHECK(!strcmp(shared->answer, "the number is 42"));
    hang_up(fd);
    finish();
}

static void sizes(void)
{
    struct service service = a_service();
    start(&service);
    struct kid *kid = nth_open(0);
    int messages = GET(kid->messages);
    CHECK_EQ(command("big %llu %d", (number)kid->spawn, DTM_MESSAGE_MAX), DTM_OK);
    WAIT(GET(kid->messages) == messages + 1);
    CHECK_EQ(command("big %llu 0", (number)kid->spawn), DTM_OK);
    WAIT(GET(kid->messages) == messages + 2);
    CHECK_EQ(command("big %llu %d", (number)kid->spawn, DTM_MESSAGE_MAX + 1), -EMSGSIZE);
    finish();
}

/* A stopped worker: messages wait, in order and bounded; the others are served. */
static void to_a_stopped_worker(void)
{
    struct service service = a_service();
    service.config.channel_queue = 1 << 20;
    start(&service);
    struct kid *stopped = nth_open(0), *other = nth_open(1);
    int before = GET(stopped->messages), sent = 0, status;
    kill(stopped->pid, SIGSTOP);
    WAIT(state_of(stopped->pid) == 'T');
    int fd = ask_command("pid");
    CHECK(hear(fd));
    char line[64];
    snprintf(line, sizeof line, "big %llu %d", (number)stopped->spawn, DTM_MESSAGE_MAX);
    while ((status = atoi(ask(fd, line))) == DTM_OK)
        CHECK(++sent < 1000);
    CHECK_EQ(status, -EAGAIN);
    CHECK(sent >= 16); /* 1 MiB of queue */
    CHECK_EQ(command("send %llu version 8", (number)other->spawn), DTM_OK);
    WAIT(GET(other->version) == 8);
    CHECK(serves());
    kill(stopped->pid, SIGCONT);
    WAIT(GET(stopped->messages) == before + sent);
    CHECK_EQ(command("send %llu version 9", (number)stopped->spawn), DTM_OK);
    WAIT(GET(stopped->version) == 9);
    hang_up(fd);
    finish();
    CHECK_EQ(shared->result.deaths, 0);
}

/* Killed with its queue full: nothing of that reaches the next one in the slot. */
static void killed_with_a_full_queue(void)
{
    struct service service = a_service();
    service.config.channel_queue = 1 << 17;
    start(&service);
    for (int i = 0; i < 10; i++) {
        struct kid *kid = nth_open(0);
        char line[64];
        kill(kid->pid, SIGSTOP);
        WAIT(state_of(kid->pid) == 'T');
        int fd = ask_command("pid");
        CHECK(hear(fd));
        snprintf(line, sizeof line, "send %llu for %llu", (number)kid->spawn,
                 (number)kid->spawn);
        for (int sent = 0; sent < 200 && atoi(ask(fd, line)) == DTM_OK; sent++)
            ;
        hang_up(fd);
        end_kid(kid, SIGKILL);
        WAIT(count_open(1) == 3);
        CHECK_EQ(in_slot(kid->slot)->messages, 1); /* its own "version 1" */
    }
    CHECK_EQ(shared->stale, 0);
    finish();
}

/* The controller is killed in the middle of sending: what arrived is whole. */
static void sender_killed(void)
{
    struct service service = a_service();
    service.config.controller_tick_ms = 1;
    start(&service);
    SET(shared->chatter, 1);
    for (int i = 0; i < 20; i++) {
        int messages = GET(nth_open(0)->messages);
        WAIT(GET(nth_open(0)->messages) > messages);
        end_kid(controller(), SIGKILL);
        WAIT(controller());
    }
    SET(shared->chatter, 0);
    CHECK_EQ(count_open(1), 3);
    finish();
    CHECK_EQ(shared->result.deaths, 20);
}

static const struct test tests[] = {
    {"to one worker", to_one},
    {"to a worker that is gone", to_nobody},
    {"to all, to a generation", to_all},
    {"refused by an open worker", refused},
    {"answered", answered},
    {"the largest and the empty message", sizes},
    {"to a stopped worker", to_a_stopped_worker},
    {"a worker killed with a full queue", killed_with_a_full_queue},
    {"the sender killed while it sends", sender_killed},
};
TEST_MAIN(tests)
