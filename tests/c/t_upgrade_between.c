/*
 * Between two binaries: a link that takes nothing for a while, an old one that never let
 * go, and what the new one answers before it serves.
 * faults: U1
 */
#include "inject.h"
#include "modes.h"
#include "upgrade.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

/* The new binary has started, and waits in its init: its pid. */
static int begin_one(const char *trouble)
{
    char line[2048];
    int pid = 0;
    install(2);
    write_file("trouble", trouble);
    CHECK_EQ(kill(first, SIGUSR2), 0);
    WAIT(in_log("starts as pid") == 1);
    FILE *file = fopen(at("log"), "re");
    while (file && pid == 0 && fgets(line, sizeof line, file)) {
        const char *said = strstr(line, "starts as pid ");
        pid = said ? atoi(said + strlen("starts as pid ")) : 0;
    }
    CHECK(file && pid > 1);
    fclose(file);
    return pid;
}

/* What it has to say is said when there is room again. */
static void no_room(bool in_the_old_one)
{
    static const int calls[] = {SYS_sendmsg, -1};
    if (!can_inject()) {
        fprintf(stderr, "# not tested: no system calls can be made to fail here\n");
        return;
    }
    inject_into_first(calls);
    start_with(1, "1", "2");
    int pid = begin_one("hang");
    WAIT(in_log("worker slot 1 gen 2") >= 1);
    inject(&(struct injection){
        .call = SYS_sendmsg, .error = ENOBUFS, .pid = in_the_old_one ? (int)first : pid});
    CHECK_EQ(unlink(at("trouble")), 0);
    WAIT(injected() >= 20);
    inject(NULL);
    WAIT(who_serves().version == 2);
    WAIT(ended(first, NULL));
    CHECK_EQ(in_log("the old binary serves on"), 0);
    end();
}

static void no_room_in_the_new_one(void)
{
    no_room(false);
}

static void no_room_in_the_old_one(void)
{
    no_room(true);
}

/* Does each worker get as many? */
static bool is_spread(void)
{
    enum { WORKERS = 3, EACH = 20 };
    int fds[WORKERS * EACH], has[WORKERS] = {0};
    for (int i = 0; i < WORKERS * EACH; i++) {
        fds[i] = dial(shared->port[0]);
        struct who worker = who(fds[i]);
        CHECK_EQ(worker.version, 2);
        CHECK(worker.slot >= 1 && worker.slot <= WORKERS); /* 0 is the controller's */
        has[worker.slot - 1]++;
    }
    bool even = true;
    for (int i = 0; i < WORKERS; i++)
        even = even && abs(has[i] - EACH) <= 1;
    for (int i = 0; i < WORKERS * EACH; i++)
        hang_up(fds[i]);
    return even;
}

/* One round in thirty is even by chance; so many in a row are not. */
static bool even_for_long(void)
{
    for (int i = 0; i < 5; i++)
        if (!is_spread())
            return false;
    return true;
}

/* As soon as the kernel has freed what held the sockets, and nobody says a word. */
static void is_steered(void)
{
    CHECK_EQ(metric("dtm_accept_mode{mode=\"steer\"}"), 1);
    WAIT(even_for_long());
    double passed = metric("dtm_accept_passed_total");
    CHECK(is_spread());
    CHECK_EQ(metric("dtm_accept_passed_total"), passed); /* none by way of the master */
    CHECK_EQ(in_log("are spread by"), 0);
    CHECK_EQ(in_log("socket of its own"), 0);
    CHECK_EQ(in_log("EBUSY"), 0);
}

/* It is killed before it let go of the sockets: its program has them for a while yet. */
static void it_never_let_go(void)
{
    if (!may_steer()) {
        fprintf(stderr, "# not tested: no program can be loaded here\n");
        return;
    }
    start_with(1, "2", "3");
    begin_one("hang");
    WAIT(in_log("worker slot 1 gen 2") >= 1);
    CHECK_EQ(kill(first, SIGKILL), 0);
    WAIT(ended(first, NULL));
    CHECK_EQ(unlink(at("trouble")), 0);
    WAIT(who_serves().version == 2);
    WAIT(metric("dtm_ready") == 1);
    is_steered();
    end();
}

/* Its controller is the one that answers, and the old binary the one that serves. */
static void asked_before_it_serves(void)
{
    static const char *const ends[] = {"shutdown", "shutdown now", "stop", "reload", "scale 1"};
    start_with(1, "1", "2");
    for (int i = 0; i < 20; i++)
        who_serves();
    begin_one("update");
    WAIT(in_log("control lock granted, epoch 2") == 1);
    WAIT(access(at("metrics"), F_OK) == 0);
    CHECK(metric("dtm_accepted_total") >= 20);
    CHECK_EQ(metric("dtm_ready"), 1);
    for (size_t i = 0; i < sizeof ends / sizeof ends[0]; i++) {
        CHECK_EQ(operate(ends[i]), -1);
        CHECK(strstr(answer, "an upgrade is in progress"));
    }
    CHECK_EQ(who_serves().version, 1);
    /* A signal goes to the one that is meant. */
    CHECK_EQ(kill(first, SIGTERM), 0);
    int status = -1;
    WAIT(ended(first, &status));
    CHECK_EQ(status, 0);
    WAIT(survivors(NULL, 0) == 0);
    clean();
}

static const struct test tests[] = {
    {"no room in the new one", no_room_in_the_new_one},
    {"no room in the old one", no_room_in_the_old_one},
    {"it never let go", it_never_let_go},
    {"asked before it serves", asked_before_it_serves},
};
TEST_MAIN(tests)
