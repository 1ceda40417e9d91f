/*
 * The accept schedule in one mode: DTM_TEST_MODE names it, and ctest runs every
 * t_modes_*.c once for each. What a mode promises stands in one table, modes.c.
 */
#ifndef MODES_H
#define MODES_H

#include "peer.h"

#ifdef __cplusplus
extern "C" {
#endif

struct mode {
    const char *name;
    uint32_t number, pass; /* DTM_ACCEPT_*, DTM_PASS_* */
    bool even;             /* when it has settled, loads differ by at most 1 */
    bool all;              /* every open worker gets some */
    int ahead;             /* so many may wait in its channel, if nobody can take them */
    double skew;           /* of short connections: largest share by the mean, at most */
};

extern const struct mode *mode;

/* main() of such a test. 77: the kernel does not let us have the mode here. */
int modes_main(int argc, char **argv, const struct test *tests, size_t count);
#define MODES_MAIN(tests)                                                                      \
    int main(int argc, char **argv)                                                            \
    {                                                                                          \
        return modes_main(argc, argv, tests, sizeof(tests) / sizeof((tests)[0]));              \
    }
bool may_steer(void);

struct service in_mode(uint32_t workers);
void start_in_mode(const struct service *service); /* and it is the mode in force */
dtm_accept_t schedule(void);                       /* of all listeners */
int open_clients(void);

/* Connections, and the worker that has each of them. */
enum { CROWD = 600 };
struct crowd {
    int size, fd[CROWD];
    struct kid *kid[CROWD];
};

void join(struct crowd *crowd, int fd);               /* asks who has it */
void come(struct crowd *crowd, int many);             /* one after the other */
void part(struct crowd *crowd, const struct kid *of); /* hang up; NULL: all of them */
void all_leave(struct crowd *crowd);                  /* and the service ends */
struct kid *one_more(struct crowd *crowd);            /* and who has it */
void settle(const struct crowd *crowd);               /* until the workers have seen that */
int share(const struct crowd *crowd, const struct kid *kid);
void stays_even(struct crowd *crowd); /* in a mode that is: those behind catch up first */
void all_have_some(const struct crowd *crowd);
void meet_all(struct crowd *crowd); /* come until it has a connection to each worker ... */
int connection_of(const struct crowd *crowd, const struct kid *kid); /* ... this one */
void tell_shares(const struct crowd *crowd);
void joins_in(struct crowd *crowd,
              const struct kid *kid); /* this worker takes clients (again) */

/* Many connections at once, each with a question. */
void call(int *ret_fds, int many);
void hear_all(int *fds, int many, struct crowd *crowd); /* NULL: hang up */

/* Workers */
void stop_kid(const struct kid *kid);
void limit_files(pid_t pid, uint64_t most); /* UINT64_MAX: as before */

void lost_nothing(const struct load *load);

#ifdef __cplusplus
}
#endif

#endif
