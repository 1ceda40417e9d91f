/*
 * The old master dies, or hangs, while its workers drain: they have been adopted, so no client
 * notices, and none of them outlives its time.
 * flow: L2
 */
#define _GNU_SOURCE
#include "proc.h"
#include "upgrade.h"

#include <errno.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <signal.h>
#include <stddef.h>
#include <sys/prctl.h>
#include <sys/syscall.h>

/* CPU time in clock ticks. */
static long ticks_of(int pid)
{
    long user = 0, system = 0;
    const char *fields = strrchr(proc_file(pid, "stat"), ')');
    CHECK(fields);
    CHECK_EQ(
        sscanf(fields, ") %*c %*d %*d %*d %*d %*d %*u %*u %*u %*u %*u %ld %ld", &user, &system),
        2);
    return user + system;
}

/* The old master is killed while its workers drain: no client notices. */
static void the_old_master_is_killed(void)
{
    int fds[2];
    struct who workers[2];
    start_with(1, "1", "2");
    two_clients(fds, workers);
    upgrade_to(2, &workers[0]);
    wait_adopted(&workers[1]);
    struct load *load = load_start(2);
    kill_master(first);
    long before = ticks_of(workers[0].pid);
    observe(500); /* half asleep, not at the end of its channel all the time */
    CHECK(ticks_of(workers[0].pid) - before < 20);
    CHECK_EQ(metric("dtm_adopted_workers"), 2);
    WAIT(strstr(operated("info worker"), "clients=unknown"));
    for (int i = 0; i < 2; i++)
        still_served(fds[i], &workers[i]);
    WAIT(metric("dtm_adopted_workers") == 0);
    CHECK_EQ(in_log("of the old binary has left"), 2);
    WAIT(survivors(NULL, 0) == 4 + 2); /* master, controller, workers; the load */
    load_stop(load);
    check_load(load);
    end();
}

/* Then the end of the drain is theirs to keep. */
static void they_keep_the_deadline(void)
{
    struct who worker;
    start_draining("1000", "2");
    int fd = busy_client(&worker);
    upgrade_to(2, &worker);
    kill_master(first);
    CHECK(!hear(fd)); /* closed at the deadline */
    hang_up(fd);
    WAIT(metric("dtm_adopted_workers") == 0);
    CHECK_EQ(in_log("is killed"), 0);
    end();
}

/* One that hangs after that is ended by the new master. */
static void one_hangs(void)
{
    struct who worker;
    start_draining("500", "2");
    int fd = busy_client(&worker);
    upgrade_to(2, &worker);
    kill_master(first);
    say(fd, "loop");
    WAIT(!runs(worker.pid));
    hang_up(fd);
    WAIT(metric("dtm_adopted_workers") == 0);
    CHECK_EQ(in_log("is killed: it did not leave in time"), 1);
    CHECK_EQ(in_log("of the old binary was killed"), 1);
    end();
}

/* No pidfds for this process and those that it starts: an old kernel. */
static void lose_pidfds(void)
{
    struct sock_filter filter[] = {
        BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
        BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_pidfd_open, 1, 0),
        BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_pidfd_send_signal, 0, 1),
        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | ENOSYS),
        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
    };
    struct sock_fprog program = {sizeof filter / sizeof filter[0], filter};
    CHECK_EQ(prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0), 0);
    CHECK_EQ(prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program), 0);
    CHECK_EQ(syscall(SYS_pidfd_open, getpid(), 0), -1);
}

/* By its pid and its start time, then. */
static void without_pidfds(void)
{
    int fds[2];
    struct who workers[2];
    lose_pidfds();
    start_draining("3000", "2");
    two_clients(fds, workers);
    upgrade_to(2, &workers[0]);
    wait_adopted(&workers[1]);
    kill_master(first);
    say(fds[1], "loop");
    CHECK(is_listed(workers[0].pid));
    still_served(fds[0], &workers[0]);
    WAIT(metric("dtm_adopted_workers") == 1);
    WAIT(!runs(workers[1].pid));
    hang_up(fds[1]);
    WAIT(metric("dtm_adopted_workers") == 0);
    CHECK_EQ(in_log("of the old binary has left"), 1);
    CHECK_EQ(in_log("of the old binary was killed"), 1);
    end();
}

/* And so it is when the old master is there, but does nothing. */
static void the_old_master_hangs(void)
{
    struct who worker;
    start_draining("2000", "2");
    int fd = busy_client(&worker);
    upgrade_to(2, &worker);
    CHECK_EQ(kill(first, SIGSTOP), 0);
    say(fd, "loop");
    WAIT(!runs(worker.pid));
    hang_up(fd);
    WAIT(metric("dtm_adopted_workers") == 0);
    kill_master(first);
    end();
}

/* With both masters their workers end, as orphans do. */
static void both_masters_die(void)
{
    int fds[2];
    struct who workers[2];
    start_with(1, "1", "2");
    two_clients(fds, workers);
    int second = upgrade_to(2, &workers[0]);
    wait_adopted(&workers[1]);
    kill_master(first);
    CHECK(runs(workers[0].pid) && runs(workers[1].pid));
    kill_master(second);
    WAIT(survivors(NULL, 0) == 0);
    hang_up(fds[0]), hang_up(fds[1]);
    clean_up_after();
}

/* `orphan = drain`: their clients may finish, for 5 s, whatever was left of the drain. */
static void orphans_drain(void)
{
    int fds[2];
    struct who workers[2];
    a_service();
    snprintf(directory, sizeof directory, "%s", scratch());
    write_file("orphan", "");
    start_draining("600000", "2");
    two_clients(fds, workers);
    int second = upgrade_to(2, &workers[0]);
    wait_adopted(&workers[1]);
    kill_master(first);
    kill_master(second);
    WAIT(in_log("the master is gone: leaving") >= 2);
    still_served(fds[0], &workers[0]);
    WAIT(in_log("is closed at the drain's deadline") == 1);
    CHECK(!hear(fds[1]));
    hang_up(fds[1]);
    WAIT(survivors(NULL, 0) == 0);
    clean_up_after();
}

/* One that hangs does not see it: the kernel's alarm ends it, later. */
static void both_die_and_one_hangs(void)
{
    struct who worker;
    start_draining("500", "2");
    int fd = busy_client(&worker);
    int second = upgrade_to(2, &worker);
    kill_master(first);
    say(fd, "loop");
    WAIT(state_of(worker.pid) == 'S');
    kill_master(second);
    WAIT(survivors(NULL, 0) == 0);
    hang_up(fd);
    clean_up_after();
}

static const struct test tests[] = {
    {"the old master is killed", the_old_master_is_killed},
    {"they keep the deadline", they_keep_the_deadline},
    {"one hangs", one_hangs},
    {"without pidfds", without_pidfds},
    {"the old master hangs", the_old_master_hangs},
    {"both masters die", both_masters_die},
    {"both die, orphans drain", orphans_drain},
    {"both die and one hangs", both_die_and_one_hangs},
};
TEST_MAIN(tests)
