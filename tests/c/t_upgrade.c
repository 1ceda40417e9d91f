/*
 * Another binary takes over from the one that runs.
 * flow: L2, L10
 * faults: U2
 */
#include "manager.h"
#include "upgrade.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* L2, U2: the files survive the old one and go with the last. */
static void one_after_the_other(void)
{
    start_with(1, "0", "3");
    CHECK_EQ(who_serves().version, 1);
    int old = dial(shared->port[0]);
    ask(old, "busy");
    install(2);
    CHECK_EQ(kill(first, SIGUSR2), 0);
    WAIT(pid_in_file() != first && pid_in_file() > 0);
    struct who now;
    WAIT((now = who_serves()).version == 2);
    CHECK(now.generation > 1); /* it counts on */
    /* The old one has a client still; the socket files are the new one's. */
    CHECK_EQ(who(old).version, 1);
    CHECK(!hear(old));
    hang_up(old);
    WAIT(ended(first, NULL));
    CHECK_EQ(access(at("socket"), F_OK), 0);
    char path[180];
    snprintf(path, sizeof path, "unix:%s", at("socket"));
    int fd = dial_address(path);
    CHECK_EQ(who(fd).version, 2);
    hang_up(fd);
    CHECK_EQ(operate("ping"), 0);
    CHECK_EQ(nth_end(1).reason, DTM_END_UPGRADED);
    CHECK_EQ(nth_end(1).code, DTM_OK);
    CHECK_EQ(in_log("control lock granted, epoch 1"), 1);
    CHECK_EQ(in_log("control lock granted, epoch 2"), 1);
    end();
}

/* Whoever has been connected since before asks the binary that serves; who only listens is
 * told when the old one has ended. */
static void operators_connect_again(void)
{
    char address[160];
    start_with(1, "1", "2");
    snprintf(address, sizeof address, "unix:%s", at("control"));
    int asks = dial_address(address), listens = dial_address(address);
    int old = dial(shared->port[0]);
    ask(old, "busy");
    CHECK(strstr(ask(asks, "ping"), "+PONG"));
    CHECK(strstr(ask(listens, "subscribe exit"), "*3"));
    install(2);
    CHECK_EQ(operate("upgrade"), 0);
    WAIT(!strstr(ask(asks, "ping"), "+PONG"));
    CHECK(!hear(asks));
    CHECK_EQ(operate("ping"), 0);
    who(old);
    hang_up(old);
    WAIT(ended(first, NULL));
    hang_up(asks), hang_up(listens);
    end();
}

/* 10 upgrades between two binaries under load. */
static void ten_under_load(const char *mode, const char *workers)
{
    start_with(1, mode, workers);
    struct load *load = load_start(4);
    for (int i = 1; i <= 10; i++) {
        int before = pid_in_file(), answered = GET(load->answered);
        install(1 + i % 2);
        CHECK_EQ(operate("upgrade"), 0);
        CHECK(strstr(answer, "this one drains"));
        CHECK(pid_in_file() != before);
        WAIT(who_serves().version == 1 + i % 2);
        WAIT(GET(load->answered) > answered + 50);
        WAIT(nth_end(i).version == 1 + (i + 1) % 2);
        CHECK_EQ(nth_end(i).reason, DTM_END_UPGRADED);
    }
    load_stop(load);
    check_load(load);
    end();
}

static void ten_steered(void)
{
    ten_under_load("0", "3");
}

static void ten_by_token(void)
{
    ten_under_load("1", "3");
}

static void ten_by_hash(void)
{
    ten_under_load("3", "3");
}

static void ten_passed(void)
{
    ten_under_load("5", "3");
}

/* More workers than wait at one socket. */
static void ten_in_groups(void)
{
    ten_under_load("1", "20");
}

/* What operators draw goes on from where it was. */
static void numbers_go_on(void)
{
    start_with(1, "1", "2");
    CHECK_EQ(operate("reload"), 0);
    for (int i = 0; i < 10; i++)
        who_serves();
    int late = dial(shared->port[0]);
    ask(late, "busy");
    install(2);
    CHECK_EQ(operate("upgrade"), 0);
    who(late); /* the old one counts this one, and the new one hears of it */
    hang_up(late);
    WAIT(ended(first, NULL));
    int fd = dial(shared->port[0]);
    WAIT(atoi(ask(fd, "hits")) == 11);
    CHECK_EQ(who(fd).version, 2);
    hang_up(fd);
    CHECK_EQ(kill(pid_in_file(), SIGTERM), 0);
    WAIT(nth_end(2).version == 2);
    /* controller, 2, 2 by the reload; controller, 2 of the new one */
    CHECK_EQ(nth_end(2).forks, 8);
    CHECK_EQ(nth_end(2).reloads, 1);
    WAIT(survivors(NULL, 0) == 0);
    clean();
}

/* The listener for scrapers is handed over, too, and nothing that it tells falls. */
static void metrics_go_on(void)
{
    static const char *const totals[] = {
        "dtm_accepted_total",
        "dtm_forks_total",
        "dtm_reloads_total{result=\"ok\"}",
        "dtm_reloads_total{result=\"failed\"}",
        "dtm_process_ends_total{reason=\"told\"}",
        "dtm_drains_total{reason=\"reload\"}",
        "dtm_console_connections_total",
        "dtm_console_commands_total",
        "dtm_service_hits_total",
    };
    enum { TOTALS = sizeof totals / sizeof totals[0] };
    double before[TOTALS];
    start_with(1, "1", "2");
    CHECK_EQ(operate("reload"), 0);
    write_file("trouble", "init");
    CHECK_EQ(operate("reload"), -1);
    unlink(at("trouble"));
    for (int i = 0; i < 10; i++)
        who_serves();
    WAIT(metric("dtm_process_ends_total{reason=\"told\"}") >= 2);
    for (int i = 0; i < TOTALS; i++) {
        before[i] = metric(totals[i]);
        if (before[i] < 1)
            fail_at(__FILE__, __LINE__, "%s is %g", totals[i], before[i]);
    }
    install(2);
    CHECK_EQ(operate("upgrade"), 0);
    WAIT(ended(first, NULL));
    CHECK_EQ(access(at("metrics"), F_OK), 0);
    for (int i = 0; i < TOTALS; i++) {
        double after = 0;
        WAIT((after = metric(totals[i])) >= before[i]);
    }
    WAIT(metric("dtm_upgrades_total{result=\"ok\"}") == 1);
    end();
}

static int version_at(const char *address)
{
    int fd = dial_address(address), version = who(fd).version;
    hang_up(fd);
    return version;
}

/* What a reload has brought and taken away is what the next binary gets. */
static void after_other_listeners(void)
{
    char extra[180];
    start_with(1, "0", "3");
    struct load *load = load_start(3);
    snprintf(extra, sizeof extra, "unix:%s", at("extra_socket"));
    for (int i = 0; i < 2; i++) {
        write_file("extra", extra);
        CHECK_EQ(operate("reload"), 0);
        CHECK_EQ(version_at(extra), 1 + i);
        install(2 - i);
        CHECK_EQ(operate("upgrade"), 0);
        WAIT(version_at(extra) == 2 - i); /* the old one may have been about to accept */
        WAIT(nth_end(i + 1).version == 1 + i);
        unlink(at("extra"));
        CHECK_EQ(operate("reload"), 0);
        CHECK(access(at("extra_socket"), F_OK) != 0);
    }
    load_stop(load);
    check_load(load);
    end();
}

/* The original service's reload. */
static void by_sigwinch(void)
{
    a_service();
    snprintf(directory, sizeof directory, "%s", scratch());
    write_file("trouble", "winch");
    int no_terminal = open("/dev/null", O_RDONLY);
    CHECK_EQ(dup2(no_terminal, 0), 0);
    close(no_terminal);
    start_with(1, "0", "2");
    install(2);
    CHECK_EQ(kill(first, SIGUSR2), 0); /* not in that table */
    CHECK_EQ(kill(first, SIGWINCH), 0);
    WAIT(who_serves().version == 2);
    WAIT(ended(first, NULL));
    CHECK_EQ(nth_end(1).reason, DTM_END_UPGRADED);
    end();
}

/* The service manager follows: MAINPID, and from then on it hears the new one only. */
static void tell_both(void)
{
    tell_log();
    tell_heard();
}

static void under_a_manager(void)
{
    char line[64];
    a_service();
    snprintf(line, sizeof line, "@dtm-test-%d", (int)getpid());
    open_manager(line);
    setenv("NOTIFY_SOCKET", line, 1);
    setenv("WATCHDOG_USEC", "200000", 1);
    start_with(1, "0", "2");
    on_failure = tell_both;
    WAIT(heard("READY=1", 0) >= 0);
    install_script("exit 3");
    int before = manager.count;
    CHECK_EQ(operate("upgrade"), -1);
    WAIT(heard("WATCHDOG=1", before) >= 0);
    CHECK_EQ(heard("MAINPID=", before), -1); /* a failure does not move it */
    int busy = dial(shared->port[0]);
    ask(busy, "busy");
    for (int i = 0; i < 2; i++) {
        int old = pid_in_file();
        install(2 - i);
        before = manager.count;
        CHECK_EQ(operate("upgrade"), 0);
        CHECK(pid_in_file() != old);
        snprintf(line, sizeof line, "MAINPID=%d", pid_in_file());
        WAIT(heard(line, before) >= 0);
        int told = heard(line, before);
        CHECK(strstr(manager.text[told], "READY=1"));
        if (i == 0) {
            WAIT(
                heard(
                    "STATUS=2 workers of generation 2 serve, the binary before this one drains",
                    told) >= 0);
            hang_up(busy); /* then it can leave */
        }
        WAIT(nth_end(i + 1).version == 1 + i);
        snprintf(line, sizeof line, "STATUS=2 workers of generation %d serve", 2 + i);
        WAIT(heard(line, told) >= 0);
        int at = manager.count; /* the new one says that its loop runs */
        WAIT(heard("WATCHDOG=1", at) >= 0);
        CHECK_EQ(heard("STOPPING=1", 0), -1); /* the service does not end */
    }
    CHECK_EQ(kill(pid_in_file(), SIGHUP), 0);
    WAIT(heard("RELOADING=1", 0) >= 0);
    WAIT(heard("READY=1", heard("RELOADING=1", 0)) >= 0);
    end();
    WAIT(heard("STOPPING=1", 0) >= 0);
    CHECK_EQ(count_heard("STOPPING=1"), 1);
    close_manager();
}

static const struct test tests[] = {
    {"one after the other", one_after_the_other},
    {"operators connect again", operators_connect_again},
    {"10 upgrades under load, steer", ten_steered},
    {"10 upgrades under load, token", ten_by_token},
    {"10 upgrades under load, hash", ten_by_hash},
    {"10 upgrades under load, pass", ten_passed},
    {"10 upgrades under load, 20 workers", ten_in_groups},
    {"numbers go on", numbers_go_on},
    {"metrics go on", metrics_go_on},
    {"after other listeners", after_other_listeners},
    {"by SIGWINCH", by_sigwinch},
    {"under a service manager", under_a_manager},
};
TEST_MAIN(tests)
