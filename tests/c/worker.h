/* The callbacks of the service under test, for service.c. */
#ifndef WORKER_H
#define WORKER_H

#include "service.h"

#include <errno.h>

void worker_callbacks(dtm_callbacks_t *callbacks);
void controller_callbacks(dtm_callbacks_t *callbacks);

extern int32_t (*more_requests)(dtm_t *rt, dtm_client_t *client, const char *line, char *reply,
                                size_t size);

/* One off a counter in shared memory; false when it is at 0. */
static inline bool take(int *counter)
{
    int value = GET(*counter);
    while (value > 0)
        if (__atomic_compare_exchange_n(counter, &value, value - 1, 0, __ATOMIC_SEQ_CST,
                                        __ATOMIC_SEQ_CST))
            return true;
    return false;
}

/* A client's input so far; the next whole line in it, NULL when there is none. */
struct lines {
    char text[2048];
    size_t len, taken;
};

enum input { INPUT_MORE, INPUT_END, INPUT_BROKEN };
enum input read_lines(int fd, struct lines *lines);
char *next_line(struct lines *lines);
bool put_line(int fd, const char *line);

#endif
