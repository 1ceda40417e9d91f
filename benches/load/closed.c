/*
 * closed.c - closed loop of whole connections: connect, one request, close, again.
 */
#include "load.h"

static struct wire wires[512];
static struct losses losses;
static uint64_t done;

/* A server that refuses everything must not be asked for ever. */
#define LOSSES_MAX 1000

static void dial(struct wire *wire, int64_t end)
{
    int status = -1;

    while (status < 0 && losses.refused + losses.reset + losses.other < LOSSES_MAX &&
           now_ns() < end)
        if ((status = wire_dial(wire)) < 0)
            losses_add(&losses, status);
}

static void go_on(struct wire *wire, int64_t end)
{
    int status = wire_go_on(wire);

    if (status == WIRE_WAIT)
        return;
    if (status < 0)
        losses_add(&losses, status);
    else
        done++;
    wire_close(wire);
    dial(wire, end);
}

static long unfinished(long parallel)
{
    long i, n = 0;

    for (i = 0; i < parallel; i++)
        n += wires[i].state != CLOSED;
    return n;
}

void closed_loop(long parallel, long ms)
{
    struct wire *reported[WIRE_EVENTS];
    int64_t begin = now_ns(), end = begin + ms * 1000000, patience = end + 2000000000;
    long i;
    int n;

    losses = (struct losses){0};
    done = 0;
    if (parallel > (long)(sizeof wires / sizeof wires[0]))
        parallel = sizeof wires / sizeof wires[0];
    for (i = 0; i < parallel; i++)
        dial(&wires[i], end);
    while (now_ns() < end || (unfinished(parallel) > 0 && now_ns() < patience))
        for (n = wire_wait(reported, now_ns() + 10000000); n > 0; n--)
            go_on(reported[n - 1], end);
    end = now_ns();
    losses.stuck = (uint64_t)unfinished(parallel);
    for (i = 0; i < parallel; i++)
        wire_close(&wires[i]);
    printf("\"done\":%lu,\"seconds\":%.6f", (unsigned long)done, (double)(end - begin) / 1e9);
    losses_print(&losses);
}
