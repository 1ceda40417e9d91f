/*
 * An upgrade that fails, is refused, or loses the old binary in its middle: whoever is left
 * serves.
 * faults: U1
 */
#include "upgrade.h"

#include <stdio.h>
#include <string.h>
#include <unistd.h>

/* Everything is as it was: same processes, same files. */
static void nothing_happened(struct load *load, uint64_t spawn)
{
    int answered = GET(load->answered);
    WAIT(GET(load->answered) > answered + 50);
    CHECK_EQ(pid_in_file(), first);
    CHECK(runs(first));
    CHECK_EQ(who_serves().version, 1);
    CHECK(who_serves().spawn <= spawn);
    CHECK_EQ(operate("ping"), 0);
    char path[180];
    snprintf(path, sizeof path, "unix:%s", at("socket"));
    int fd = dial_address(path);
    CHECK_EQ(who(fd).version, 1);
    hang_up(fd);
}

struct failure {
    const char *script, *trouble, *why;
};

/* U1: whatever the new binary does instead of serving, the old one says so and serves on. */
static void failures(const struct failure *cases, size_t count)
{
    struct load *load = load_start(3);
    for (size_t i = 0; i < count; i++) {
        if (cases[i].script)
            install_script(cases[i].script);
        else
            install(2);
        if (cases[i].trouble)
            write_file("trouble", cases[i].trouble);
        /* Until the last one is gone, no other one begins. */
        do
            CHECK_EQ(operate("upgrade"), -1);
        while (strstr(answer, "in progress"));
        if (!strstr(answer, cases[i].why) || !strstr(answer, "the old binary serves on"))
            fail_at(__FILE__, __LINE__, "case %zu: '%s' is not in: %s", i, cases[i].why,
                    answer);
        unlink(at("trouble"));
        nothing_happened(load, 4);
        WAIT(metric("dtm_upgrades_total{result=\"failed\"}") >= (double)i + 1);
    }
    load_stop(load);
    check_load(load);
}

static void it_ends_or_says_no(void)
{
    static const struct failure cases[] = {
        {"exit 3", NULL, "exited with status 3"},
        {"exit 0", NULL, "exited with status 0"},
        {"kill -SEGV $$", NULL, "was killed by SIGSEGV"},
        {NULL, "init", "there is no database"},
    };
    start_with(1, "0", "3");
    failures(cases, sizeof cases / sizeof cases[0]);
    /* And the next one succeeds. */
    struct load *load = load_start(3);
    install(2);
    WAIT(operate("upgrade") == 0);
    WAIT(who_serves().version == 2);
    load_stop(load);
    check_load(load);
    WAIT(ended(first, NULL));
    end();
}

/* How far it comes in one second is the machine's affair. */
static void it_takes_too_long(void)
{
    static const struct failure cases[] = {
        {"exec sleep 60", NULL, "in time"},
        {NULL, "hang", "in time"},
        {NULL, "update", "in time"},
    };
    a_service();
    snprintf(directory, sizeof directory, "%s", scratch());
    write_file("trouble", "late"); /* a short timeout */
    start_with(1, "0", "3");
    unlink(at("trouble"));
    failures(cases, sizeof cases / sizeof cases[0]);
    end();
}

/* What may not be, and what ends one. */
static void meanwhile(void)
{
    start_with(1, "0", "2");
    install(2);
    write_file("trouble", "hang");
    CHECK_EQ(kill(first, SIGUSR2), 0);
    WAIT(in_log("starts as pid") == 1);
    CHECK_EQ(operate("upgrade"), -1);
    CHECK(strstr(answer, "an upgrade is in progress"));
    CHECK_EQ(operate("reload"), -1);
    CHECK(strstr(answer, "an upgrade is in progress"));
    CHECK_EQ(kill(first, SIGTERM), 0);
    int status = -1;
    WAIT(ended(first, &status));
    CHECK_EQ(status, 0);
    WAIT(survivors(NULL, 0) == 0);
    CHECK_EQ(in_log("the service was told to end; the old binary serves on"), 2);
    clean();
}

/* The old master dies in the middle of it: the new one takes over, nobody else would. */
static void the_old_one_dies(void)
{
    start_with(1, "0", "2");
    install(2);
    write_file("trouble", "hang");
    CHECK_EQ(kill(first, SIGUSR2), 0);
    WAIT(in_log("worker slot 1 gen 2") >= 1);
    CHECK_EQ(kill(first, SIGKILL), 0);
    WAIT(ended(first, NULL));
    int early = dial(shared->port[0]); /* the listener is open all the time */
    say(early, "who");
    CHECK_EQ(unlink(at("trouble")), 0);
    CHECK(hear(early));
    hang_up(early);
    WAIT(who_serves().version == 2);
    WAIT(pid_in_file() > 0 && pid_in_file() != first);
    end();
}

static const struct test tests[] = {
    {"it ends, or says no", it_ends_or_says_no},
    {"it takes too long", it_takes_too_long},
    {"refused and ended", meanwhile},
    {"the old one dies", the_old_one_dies},
};
TEST_MAIN(tests)
