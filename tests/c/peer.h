/* The clients of the service under test: requests, operators, load. */
#ifndef PEER_H
#define PEER_H

#include "service.h"

#ifdef __cplusplus
extern "C" {
#endif

int dial(int port);                    /* 127.0.0.1 */
int dial_address(const char *address); /* 127.0.0.1:N, [::1]:N, unix:PATH */
void say(int fd, const char *line);
const char *hear(int fd);                  /* one line; NULL when the other side is gone */
const char *ask(int fd, const char *line); /* say, then hear something */
void hang_up(int fd);
bool has_answer(int fd);                      /* one line or more, or the other side is gone */
int count_answered(const int *fds, int many); /* how many of them have one */

struct who {
    int pid, version;
    uint32_t slot, generation;
    uint64_t spawn;
};

struct who who(int fd);
int dial_worker(const struct kid *kid); /* a connection that this worker has accepted */
struct kid *kid_at(int fd);             /* the worker that has it */
bool serves(void);                      /* a new connection is answered */

/* An operator: sends the line, waits for the answer; its status, `detail` beside it. */
int command(const char *format, ...) __attribute__((format(printf, 1, 2)));
extern char detail[512];
/* The same in two parts. */
int ask_command(const char *line);
int command_answer(int fd);
/* The slot of this worker, as the controller lists it; NULL: it does not. */
dtm_worker_t *listed(uint32_t index);

/* Processes that connect, ask and hang up, again and again. */
struct load {
    int answered, refused, reset, lost, wrong;
    int stop;
    int pids[8];
};

struct load *load_start(int processes);
void load_stop(struct load *load);

#ifdef __cplusplus
}
#endif

#endif
