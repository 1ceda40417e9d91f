/* A network and process numbers of our own, and cgroups, where we may. */
#ifndef SPACE_H
#define SPACE_H

#include <stdbool.h>
#include <sys/types.h>

/* Go on in a child that has them; the caller only waits and exits with its status. */
void enter_space(void);
extern bool own_space;

/* Kernel counters of this network, /proc/net/netstat. */
unsigned long long net_counter(const char *name);

/* Freeze the processes of a service with all that they fork. */
bool freezer_begin(void);
void freezer_take(pid_t pid);
void freeze(bool frozen);
void freezer_end(void);

#endif
