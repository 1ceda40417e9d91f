/*
 * A store in memory that all processes share, behind a gate: while that is shut, no call has
 * a result.
 */
#ifndef MEMORY_H
#define MEMORY_H

#include "actions.h"

enum { RECORDS = 1024, KEY = 256, VALUE = 2048 };

struct memory {
    int gate; /* an eventfd: readable while the gate is open */
    int lock; /* somebody reads or changes the records */
    uint64_t version;
    int calls, given_up, opened;
    int late; /* that write is done, and then the gate is shut before it is told */
    int refuse, refuse_nth; /* that write is not done: its code; 0: the gate is shut, too */
    int rollbacks, leases, given_back; /* of a store that hosts share */
    struct record {
        size_t key_len, len;
        uint64_t version;
        char key[KEY], value[VALUE];
    } record[RECORDS];
};

extern struct memory *memory;

bool is_open(void);
void shut(void);
void open_again(void);
struct service with_memory(uint32_t timeout_ms);
struct service with_shared_memory(void); /* of the host `a` of the service `x` */
/* As another host would. */
void plant(const char *key, const char *value);
bool planted(const char *key, char *ret_value); /* VALUE bytes */

#endif
