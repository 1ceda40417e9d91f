/*
 * What clients and service say of every connection, so that each failure can be held
 * against what was done to the service. All of it is shared by all processes.
 */
#ifndef LEDGER_H
#define LEDGER_H

#include "service.h"

enum { SPAWNS = 1 << 16, PORTS = 1 << 16, KINDS = 7 };

/* What the clients saw of one kind of load. */
struct tally {
    uint64_t connects, answered; /* connections that were made; answers that were right */
    /* Failures, by their reason. */
    uint64_t killed;  /* its worker was killed */
    uint64_t unowned; /* nobody is known to have had it, and a worker was killed meanwhile */
    uint64_t outage;  /* the master was killed */
    uint64_t refused, late, wrong, unexplained;
};

struct ledger {
    uint64_t base;     /* added to a spawn's number: those of earlier masters come first */
    int down, outages; /* the master is dead; how often it was */
    uint64_t kills;    /* of workers */
    int dying;         /* workers that are being killed, until the master has noticed */
    int pause, stop;   /* what the load is to do ... */
    int paused;        /* ... and how many of its processes do it */
    struct tally tally[KINDS];
    uint64_t owner[PORTS]; /* who accepted from this port, and when: ms << 16 | number */
    struct {
        uint32_t accepted, closed;
        int doomed; /* it was killed, or will be at once */
        int answered;
    } spawn[SPAWNS];
    char first_failure[256];
};

extern struct ledger *ledger;

/* The service's side. */
void keep_ledger(struct service *service);

/* The clients' side. */
int load_begin(int port, const char *unix_path); /* how many processes */
void load_pause(bool pause);                     /* returns when it has come to that */
void load_end(void);
uint64_t load_sum(size_t offset_in_tally);
#define LOAD_SUM(member) load_sum(offsetof(struct tally, member))

#endif
