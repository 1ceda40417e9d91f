/* The service manager, as a service sees it: a datagram socket that takes messages and
 * descriptors, and descriptors that are there at the start. */
#ifndef MANAGER_H
#define MANAGER_H

#include "service.h"

enum { STORE = 16, MESSAGES = 4096 };

/* What it has heard, in order, and what it keeps. */
extern struct manager {
    int socket;
    char name[108];
    const char *watchdog_usec; /* what it expects; NULL: nothing */
    char text[MESSAGES][512];
    int count;
    int stored[STORE], stored_count;
    char stored_name[STORE][128];
} manager;

void open_manager(const char *name); /* NOTIFY_SOCKET: a path, or @name */
void close_manager(void);
struct service managed(const char *name); /* opens it, too */
void use_manager(void);                   /* for `before` */
const char *at_no_path(void);             /* an abstract name of this case's own */
void listen_to_it(void);                  /* take what has come */
void fill_its_queue(void);
int heard(const char *line, int from); /* the first message from there with it; -1 */
int count_heard(const char *line);
void restore(void);    /* in the service, before it starts: what the manager keeps */
void tell_heard(void); /* to stderr, but for the watchdog */
bool keeps(const char *name);

#endif
