#define _GNU_SOURCE /* prlimit() */
#include "modes.h"

#include <errno.h>
#include <linux/bpf.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <unistd.h>

enum { SKIPPED = 77 };

static const struct mode modes[] = {
    {"token", DTM_ACCEPT_TOKEN, 0, true, true, 0, 2},
    {"steer", DTM_ACCEPT_STEER, 0, true, true, 0, 2},
    {"hash", DTM_ACCEPT_HASH, 0, false, true, 0, 1.5},
    {"shared", DTM_ACCEPT_SHARED, 0, false, true, 0, 2},
    {"pass", DTM_ACCEPT_PASS, DTM_PASS_LEAST, true, true, 1, 2},
    {"rotate", DTM_ACCEPT_PASS, DTM_PASS_ROTATE, false, true, 1, 2},
    {"lock", DTM_ACCEPT_LOCK, 0, false, false, 0, 8},
};

const struct mode *mode = modes;

/* Does the kernel take the least program that chooses a socket? Then there is no
 * excuse for a library that does not steer. */
bool may_steer(void)
{
    const struct bpf_insn program[] = {
        {.code = BPF_ALU64 | BPF_MOV | BPF_K, .dst_reg = 0, .imm = 1},
        {.code = BPF_JMP | BPF_EXIT},
    };
    union bpf_attr attr;
    memset(&attr, 0, sizeof attr);
    attr.prog_type = BPF_PROG_TYPE_SK_REUSEPORT;
    attr.insns = (uint64_t)(uintptr_t)program;
    attr.insn_cnt = 2;
    attr.license = (uint64_t)(uintptr_t) "GPL";
    int fd = (int)syscall(SYS_bpf, BPF_PROG_LOAD, &attr, sizeof attr);
    if (fd >= 0)
        close(fd);
    return fd >= 0;
}

int modes_main(int argc, char **argv, const struct test *tests, size_t count)
{
    const char *name = getenv("DTM_TEST_MODE");
    for (mode = modes; name && strcmp(mode->name, name) != 0;) {
        if (++mode == modes + sizeof modes / sizeof modes[0]) {
            fprintf(stderr, "DTM_TEST_MODE: there is no mode '%s'\n", name);
            return 2;
        }
    }
    if (mode->number == DTM_ACCEPT_STEER && !may_steer()) {
        printf("1..0 # SKIP steer: the kernel lets us load no program: %s\n", strerror(errno));
        return SKIPPED;
    }
    return harness_main(argc, argv, tests, count);
}

struct service in_mode(uint32_t workers)
{
    struct service service = a_service();
    service.config.workers = workers;
    service.config.max_processes = 2 * workers + 8;
    service.config.accept_mode = mode->number;
    service.config.accept_pass = mode->pass;
    return service;
}

void start_in_mode(const struct service *service)
{
    start(service);
    CHECK_EQ(schedule().mode, mode->number);
}

dtm_accept_t schedule(void)
{
    CHECK_EQ(command("accept %u", (uint32_t)DTM_OFF), DTM_OK);
    return shared->accept;
}

/* --- crowds --- */

void join(struct crowd *crowd, int fd)
{
    CHECK(crowd->size < CROWD);
    crowd->kid[crowd->size] = kid_at(fd);
    crowd->fd[crowd->size++] = fd;
}

/* The worker is back at its wait before the next one comes: a client that is
 * quicker meets the next best. */
void come(struct crowd *crowd, int many)
{
    while (many-- > 0) {
        join(crowd, dial(shared->port[0]));
        WAIT(state_of(crowd->kid[crowd->size - 1]->pid) == 'S');
    }
}

int open_clients(void)
{
    int count = GET(shared->opened);
    for (int i = 0; i < REASONS; i++)
        count -= GET(shared->closed[i]);
    return count;
}

/* Everything that was closed is known to the schedule: each worker has finished
 * the pass in which it saw it, and begun another one. */
void settle(const struct crowd *crowd)
{
    const struct kid *kids[64];
    int before[64];
    uint32_t workers = count_open(0);
    CHECK(workers <= 64);
    WAIT(open_clients() == crowd->size);
    for (uint32_t i = 0; i < workers; i++) {
        kids[i] = nth_open(i);
        before[i] = kids[i]->messages;
    }
    WAIT(command("all 0 news") == DTM_OK); /* it may still be shown one that has left */
    for (uint32_t i = 0; i < workers; i++)
        WAIT(GET(kids[i]->messages) > before[i]);
}

void part(struct crowd *crowd, const struct kid *of)
{
    int left = 0;
    for (int i = 0; i < crowd->size; i++) {
        if (!of || crowd->kid[i] == of) {
            hang_up(crowd->fd[i]);
        } else {
            crowd->kid[left] = crowd->kid[i];
            crowd->fd[left++] = crowd->fd[i];
        }
    }
    crowd->size = left;
}

void all_leave(struct crowd *crowd)
{
    part(crowd, NULL);
    settle(crowd);
    finish();
}

int share(const struct crowd *crowd, const struct kid *kid)
{
    int count = 0;
    for (int i = 0; i < crowd->size; i++)
        count += crowd->kid[i] == kid;
    return count;
}

/* How many connections those that have less than the most are behind, together. */
static int behind(const struct crowd *crowd, int *ret_spread)
{
    int most = 0, least = CROWD, sum = 0, workers = (int)count_open(0);
    for (int i = 0; i < workers; i++) {
        int count = share(crowd, nth_open((uint32_t)i));
        most = count > most ? count : most;
        least = count < least ? count : least;
        sum += count;
    }
    *ret_spread = most - least;
    return most * workers - sum;
}

void tell_shares(const struct crowd *crowd)
{
    fprintf(stderr, "# %s:", mode->name);
    for (uint32_t i = 0; i < count_open(0); i++)
        fprintf(stderr, " %d", share(crowd, nth_open(i)));
    fprintf(stderr, "\n");
}

/* Those that are behind catch up, and every token moves once; from then on nobody is
 * ahead by more than one. */
static bool is_even(struct crowd *crowd)
{
    int spread, workers = (int)count_open(0);
    come(crowd, behind(crowd, &spread) + workers);
    for (int i = 0; i < 2 * workers; i++) {
        if (behind(crowd, &spread), spread > 1)
            return false;
        come(crowd, 1);
    }
    return true;
}

/* Tokens that were added while workers were busy leave too few to choose from. */
static bool has_spare_tokens(void)
{
    return schedule().tokens > count_open(0) / 2;
}

void stays_even(struct crowd *crowd)
{
    /* A worker that the machine does not let run for a moment is passed over meanwhile. */
    for (int tries = 1; !is_even(crowd); tries++) {
        tell_shares(crowd);
        CHECK_LE(tries, 5);
        WAIT(!has_spare_tokens()); /* they are taken back */
    }
}

void all_have_some(const struct crowd *crowd)
{
    for (uint32_t i = 0; i < count_open(0); i++) {
        if (share(crowd, nth_open(i)) > 0)
            continue;
        tell_shares(crowd);
        fail_at(__FILE__, __LINE__, "worker %u has none", i);
    }
}

static bool all_are_met(const struct crowd *crowd)
{
    for (uint32_t i = 0; i < count_open(0); i++)
        if (share(crowd, nth_open(i)) == 0)
            return false;
    return true;
}

void meet_all(struct crowd *crowd)
{
    while (!all_are_met(crowd))
        come(crowd, 10); /* not for ever: a crowd has an end */
}

int connection_of(const struct crowd *crowd, const struct kid *kid)
{
    for (int i = 0; i < crowd->size; i++)
        if (crowd->kid[i] == kid)
            return crowd->fd[i];
    fail_at(__FILE__, __LINE__, "no connection to worker %d", kid->pid);
}

/* Where the load decides it stays, so that the next one goes to another. Where chance
 * decides there is no telling how many it takes. */
struct kid *one_more(struct crowd *crowd)
{
    come(crowd, 1);
    struct kid *kid = crowd->kid[crowd->size - 1];
    if (!mode->even)
        hang_up(crowd->fd[--crowd->size]);
    return kid;
}

void joins_in(struct crowd *crowd, const struct kid *kid)
{
    if (mode->all)
        WAIT(one_more(crowd) == kid);
    else
        come(crowd, 5);
}

/* --- many at once --- */

void call(int *ret_fds, int many)
{
    for (int i = 0; i < many; i++)
        say(ret_fds[i] = dial(shared->port[0]), "who");
}

void hear_all(int *fds, int many, struct crowd *crowd)
{
    for (int i = 0; i < many; i++) {
        CHECK(hear(fds[i]));
        if (crowd)
            join(crowd, fds[i]);
        else
            hang_up(fds[i]);
    }
}

/* --- workers --- */

void stop_kid(const struct kid *kid)
{
    CHECK_EQ(kill(kid->pid, SIGSTOP), 0);
    WAIT(state_of(kid->pid) == 'T');
}

void limit_files(pid_t pid, uint64_t most)
{
    struct rlimit limit;
    CHECK_EQ(prlimit(pid, RLIMIT_NOFILE, NULL, &limit), 0);
    limit.rlim_cur = most < limit.rlim_max ? most : limit.rlim_max;
    CHECK_EQ(prlimit(pid, RLIMIT_NOFILE, &limit, NULL), 0);
}

void lost_nothing(const struct load *load)
{
    CHECK_EQ(load->refused, 0);
    CHECK_EQ(load->reset, 0);
    CHECK_EQ(load->lost, 0);
    CHECK_EQ(load->wrong, 0);
}
