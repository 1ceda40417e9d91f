/* A service with two locks of its own, and clients who take and give the first one. */
#ifndef LOCKS_H
#define LOCKS_H

#include "peer.h"

/* In shared->custom: how often it was asked to take; the first that is free. */
enum { ASKED, LOCKS_CUSTOM };

extern dtm_lock_t *lock, *other; /* "table", "other" */

void register_locks(dtm_t *rt);
/* Requests: take MS, give. A callback with more of them ends with this one. */
int32_t lock_request(dtm_t *rt, dtm_client_t *client, const char *line, char *reply,
                     size_t size);
struct service with_locks(void);

int code_of(const char *answer);
/* Let a worker wait for the lock: returns when it sleeps. */
void let_wait(int fd, const struct kid *kid);

/* Two workers: the first has the lock. */
struct pair {
    struct kid *owner, *next;
    int owner_fd, next_fd;
};

struct pair with_owner(void);
void hang_up_both(const struct pair *pair);

#endif
