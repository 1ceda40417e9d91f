/* A service whose listeners a reload adds, removes and changes, as a plan says. */
#ifndef RELISTEN_H
#define RELISTEN_H

#include "modes.h"

#ifdef __cplusplus
extern "C" {
#endif

enum { PLACES = 6 };

/* What config_load is to have, and what it got. An address of port 0 is always that one. */
extern struct plan {
    char address[PLACES][128]; /* empty: none */
    uint32_t unix_mode, backlog;
    uint64_t tag[PLACES];
    int index[PLACES], port[PLACES]; /* of what is in force; index -1: none */
    char old[PLACES][128];
    char vanishes[128]; /* a folder that gets another name when all is bound */
    int fails;          /* returned in the end */
    int in_controller;  /* what dtm_listen() answers there */
    int outside, after; /* and in the master's event callback; dtm_unlisten() twice */
} * plan;

void as_before(void); /* the plan that a failed reload has not carried out */
void want(int place, const char *address); /* "": none */
const char *unix_place(const char *name);  /* a file of this case */
struct service with_plan(uint32_t workers);
/* Place N is at 127.0.0.N+1; the harness has a listener of its own at 127.0.0.1. */
void four_places(void);

/* Connected or, without waiting, on its way; -1 and errno. */
int try_at(int place, const char *address, int port, int flags);
int dial_at(int place);
void answers(int place); /* it is answered there, as the listener that the plan says */
bool is_refused(int place, int port); /* nobody listens there, after a moment at the latest */

#ifdef __cplusplus
}
#endif

#endif
