/*
 * Named cases, each in a process and session of its own. A case fails on the
 * first check that fails, and when any process that it started outlives it.
 */
#ifndef HARNESS_H
#define HARNESS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#ifdef __cplusplus
extern "C" {
#endif

struct test {
    const char *name;
    void (*run)(void);
};

int harness_main(int argc, char **argv, const struct test *tests, size_t count);

#define TEST_MAIN(tests)                                                                       \
    int main(int argc, char **argv)                                                            \
    {                                                                                          \
        return harness_main(argc, argv, tests, sizeof(tests) / sizeof((tests)[0]));            \
    }

/* Ends the case from any of its processes. */
void fail_at(const char *file, int line, const char *format, ...)
    __attribute__((noreturn, format(printf, 3, 4)));

/* Called by fail_at() in the failing process: tell what is known. */
extern void (*on_failure)(void);

#define CHECK(condition)                                                                       \
    do {                                                                                       \
        if (!(condition))                                                                      \
            fail_at(__FILE__, __LINE__, "not true: %s", #condition);                           \
    } while (0)

#define CHECK_EQ(got, want)                                                                    \
    do {                                                                                       \
        long long got_ = (long long)(got), want_ = (long long)(want);                          \
        if (got_ != want_)                                                                     \
            fail_at(__FILE__, __LINE__, "%s is %lld, expected %s = %lld", #got, got_, #want,   \
                    want_);                                                                    \
    } while (0)

#define CHECK_LE(got, most)                                                                    \
    do {                                                                                       \
        long long got_ = (long long)(got), most_ = (long long)(most);                          \
        if (got_ > most_)                                                                      \
            fail_at(__FILE__, __LINE__, "%s is %lld, expected at most %s = %lld", #got, got_,  \
                    #most, most_);                                                             \
    } while (0)

/* Poll until the condition holds; the case fails when that takes too long. */
#define WAIT(condition)                                                                        \
    for (uint64_t deadline_ = 0; !(condition);)                                                \
    wait_more(&deadline_, __FILE__, __LINE__, #condition)

void wait_more(uint64_t *deadline, const char *file, int line, const char *condition);
uint64_t now_ms(void);

/* For what must not happen: how long to look. Never to wait for something. */
void observe(uint32_t ms);

/* Memory that all processes forked afterwards share. */
void *shared_memory(size_t size);

/* An empty directory for this case; removed at its end, when it must be empty again. */
const char *scratch(void);

/* A child of the case process: its wait status once it has ended. */
bool ended(pid_t pid, int *ret_status);
void forget_death(pid_t pid); /* a new child: an older one may have had its number */

/* What /proc says. */
bool runs(pid_t pid);            /* exists and is no zombie */
uint64_t identity_of(pid_t pid); /* pid and start time; pids are used again. 0: dead */
char state_of(pid_t pid);        /* R, S, T, Z, ...; 0: none */
size_t survivors(pid_t *ret_pids, size_t capacity); /* others of this session */
void check_no_survivors(void);
size_t count_fds(pid_t pid);
size_t count_maps(pid_t pid);
size_t sockets_of(pid_t pid, uint64_t *ret_inodes, size_t capacity);
uint64_t switches_of(pid_t pid); /* voluntary context switches */

#ifdef __cplusplus
}
#endif

#endif
