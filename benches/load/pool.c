/*
 * pool.c - connections that stay: who serves how many of them, and a closed loop of
 * requests on all of them.
 */
#include "load.h"

#define OWNERS_MAX 1024

static struct wire wires[POOL_MAX];
static long count;
static struct losses losses;
static uint64_t answers;

static void open_one(int64_t since)
{
    struct wire *wire = &wires[count];
    int status;

    if (count == POOL_MAX)
        return;
    count++;
    wire->since = since;
    if ((status = wire_dial(wire)) < 0)
        losses_add(&losses, status);
}

/* Reports until a time; `again`: who has an answer asks the next. */
static void go_on(int64_t until, int again)
{
    struct wire *reported[WIRE_EVENTS];
    int n, status;

    for (n = wire_wait(reported, until); n > 0; n--) {
        status = wire_go_on(reported[n - 1]);
        if (status == WIRE_ANSWERED) {
            answers++;
            if (again)
                status = wire_ask(reported[n - 1]);
        }
        if (status < 0)
            losses_add(&losses, status);
    }
}

static long waiting(void)
{
    long i, n = 0;

    for (i = 0; i < count; i++)
        n += wires[i].state == DIALING || wires[i].state == ASKING;
    return n;
}

/* Wait for those that were asked; a second must do. */
static void settle(void)
{
    int64_t patience = now_ns() + 1000000000;

    while (waiting() > 0 && now_ns() < patience)
        go_on(now_ns() + 10000000, 0);
}

/* `rate` a second; 0: all at once. */
void pool_open(long number, long rate)
{
    int64_t next = now_ns();
    long i;

    for (i = 0; i < number; i++) {
        open_one(next);
        if (rate == 0)
            continue;
        for (next += 1000000000 / rate; now_ns() < next;)
            go_on(next, 0);
    }
    settle();
}

static void count_owners(long ret_counts[OWNERS_MAX])
{
    long i;

    for (i = 0; i < OWNERS_MAX; i++)
        ret_counts[i] = 0;
    for (i = 0; i < count; i++)
        if (wires[i].state == IDLE && wires[i].owner >= 0)
            ret_counts[wires[i].owner]++;
}

/* Close every connection of half of the workers. */
void pool_drop_half(void)
{
    long counts[OWNERS_MAX], i, seen = 0;
    int drop[OWNERS_MAX] = {0};

    count_owners(counts);
    for (i = 0; i < OWNERS_MAX; i++)
        drop[i] = counts[i] > 0 && seen++ % 2 == 1;
    for (i = 0; i < count; i++)
        if (wires[i].owner >= 0 && drop[wires[i].owner])
            wire_close(&wires[i]);
}

void pool_shares(void)
{
    const char *comma = "";
    long counts[OWNERS_MAX];
    int i;

    count_owners(counts);
    printf("\"shares\":{");
    for (i = 0; i < OWNERS_MAX; i++) {
        if (counts[i] == 0)
            continue;
        printf("%s\"%s\":%ld", comma, wire_owner(i), counts[i]);
        comma = ",";
    }
    printf("}");
    losses.stuck = (uint64_t)waiting();
    losses_print(&losses);
}

void pool_ask(long ms)
{
    int64_t begin = now_ns(), end = begin + ms * 1000000;
    int status;
    long i;

    answers = 0;
    for (i = 0; i < count; i++)
        if (wires[i].state == IDLE && (status = wire_ask(&wires[i])) < 0)
            losses_add(&losses, status);
    while (now_ns() < end)
        go_on(end, 1);
    settle();
    end = now_ns();
    losses.stuck = (uint64_t)waiting();
    printf("\"done\":%lu,\"seconds\":%.6f", (unsigned long)answers,
           (double)(end - begin) / 1e9);
    losses_print(&losses);
}

void pool_close(void)
{
    long i;

    for (i = 0; i < count; i++)
        wire_close(&wires[i]);
    count = 0;
    losses = (struct losses){0};
}
