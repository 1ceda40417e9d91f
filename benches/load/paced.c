/*
 * paced.c - new connections at a fixed rate, whatever the server does. A latency
 * counts from the moment when the connection was to begin, so that a server which
 * stalls is charged for everyone who would have come meanwhile.
 */
#include "load.h"

#include <signal.h>
#include <string.h>

static struct wire wires[POOL_MAX];
static struct wire *unused[POOL_MAX];
static size_t unused_count;
static struct losses losses;
static struct hist hist;
static volatile sig_atomic_t stopping;

static void finish(struct wire *wire)
{
    wire_close(wire);
    unused[unused_count++] = wire;
}

static void begin_one(int64_t since)
{
    struct wire *wire;
    int status;

    if (unused_count == 0) {
        losses.stuck++;
        return;
    }
    wire = unused[--unused_count];
    wire->since = since;
    status = wire_dial(wire);
    if (status < 0) {
        losses_add(&losses, status);
        finish(wire);
    }
}

static void go_on(struct wire *wire)
{
    int status = wire_go_on(wire);

    if (status == WIRE_WAIT)
        return;
    if (status < 0)
        losses_add(&losses, status);
    else
        hist_add(&hist, now_ns() - wire->since);
    finish(wire);
}

static void stop(int signo)
{
    (void)signo;
    stopping = 1;
}

void open_loop(long rate, long ms, long patience_ms)
{
    struct wire *reported[WIRE_EVENTS];
    int64_t next = now_ns(), end = next + ms * 1000000, patience = end + patience_ms * 1000000;
    int64_t interval = 1000000000 / rate;
    size_t i;
    int n;

    stopping = 0;
    signal(SIGUSR1, stop);
    losses = (struct losses){0};
    memset(&hist, 0, sizeof hist);
    for (unused_count = 0; unused_count < POOL_MAX; unused_count++)
        unused[unused_count] = &wires[unused_count];
    while (next < end || (unused_count < POOL_MAX && now_ns() < patience)) {
        if (stopping && next < end) {
            end = next;
            patience = end + patience_ms * 1000000;
        }
        for (; next < end && next <= now_ns(); next += interval)
            begin_one(next);
        for (n = wire_wait(reported, next < end ? next : now_ns() + 10000000); n > 0; n--)
            go_on(reported[n - 1]);
    }
    losses.stuck += POOL_MAX - unused_count;
    for (i = 0; i < POOL_MAX; i++)
        wire_close(&wires[i]);
    hist_print(&hist);
    losses_print(&losses);
}
