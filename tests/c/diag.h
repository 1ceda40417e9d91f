/* What the kernel tells anybody of sockets that listen: `ss -l`, without the program. */
#ifndef DIAG_H
#define DIAG_H

#include "harness.h"

#ifdef __cplusplus
extern "C" {
#endif

/* Of the sockets in question: the smallest and the largest length of their accept queues. */
struct backlogs {
    uint32_t sockets, least, most;
};

struct backlogs backlogs_at_port(int port);          /* TCP over IPv4 */
struct backlogs backlogs_at_path(const char *begin); /* a Unix socket whose name begins so */

#ifdef __cplusplus
}
#endif

#endif
