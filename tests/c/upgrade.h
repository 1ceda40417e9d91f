/*
 * The driver's side of upgrade_service.c: programs that replace each other in a directory.
 */
#ifndef UPGRADE_H
#define UPGRADE_H

#include "peer.h"

extern char directory[100], program[128], port[16];
extern pid_t first; /* the process that began */

const char *at(const char *name); /* a path in the directory */
void install(int version);        /* put it at the path of the program */
void install_script(const char *text);
void write_file(const char *name, const char *text);
int pid_in_file(void);
int in_log(const char *text); /* how often the log has it */
void prepare_with(int version);
void exec_service(const char *mode, const char *workers) __attribute__((noreturn));
void inject_into_first(const int *calls); /* see inject.h; before start_with() */
void start_with(int version, const char *mode, const char *workers);
struct who who_serves(void);

extern char answer[1024];
int operate(const char *line);   /* to the console: 0 or -1, `answer` beside it */
double metric(const char *name); /* of a scrape, with its labels; -1: nothing */
void tell_log(void);             /* to stderr */
void clean(void);                /* the files that a test leaves */
void end(void);                  /* SIGTERM to whoever is the master now */

/* The n-th life that ended: version, code, reason, forks, reloads. */
struct life {
    int version, code;
    unsigned reason;
    unsigned long long forks, reloads, deaths;
};

struct life nth_end(int n);
void check_load(const struct load *load);

/* Workers of the old binary that the new one has adopted. */
const char *operated(const char *command);           /* the whole answer of the console */
int busy_client(struct who *ret_worker);             /* in the middle of something */
void two_clients(int fds[2], struct who workers[2]); /* of different workers */
bool is_listed(int pid);
void start_draining(const char *drain_ms, const char *workers); /* start_with(), so */
void wait_adopted(const struct who *worker);
int upgrade_to(int version, const struct who *adopts); /* the new master's pid */
void kill_master(int pid);
void clean_up_after(void); /* the files that a killed service leaves */
void still_served(int fd, const struct who *worker);

#endif
