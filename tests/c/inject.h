/*
 * System calls of the service under test that fail, as long as the driver wants: a
 * seccomp filter hands them to a thread of the driver, which lets the kernel do them
 * or answers with an error. The filter is inherited by every process of the service.
 */
#ifndef INJECT_H
#define INJECT_H

#include "service.h"

/* Which calls may be made to fail, at most 8, ends with -1. Before start(). */
void inject_into(struct service *service, const int *calls);

/* What is to fail from now on; one at a time. */
struct injection {
    int call, error; /* SYS_*, E* */
    pid_t pid;       /* 0: in every process of the service */
    bool not_in;     /* in all but this one */
    int argument;    /* 1..6: only when this argument ... */
    uint64_t value;  /* ... has this value; 0: whatever it is */
    uint32_t after;  /* let so many pass first ... */
    uint32_t times;  /* ... and fail so many then; 0: all */
};

void inject(const struct injection *what); /* NULL: nothing any more */
uint32_t injected(void);                   /* how many have failed since then */

/* The kernel can do this here. Otherwise the test is to end with 77. */
bool can_inject(void);

#endif
