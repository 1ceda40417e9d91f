/*
 * Actions in an upgrade that fails after the new controller has acted.
 * flow: L2, C10
 */
#include "upgrade.h"

#include <stdio.h>
#include <string.h>
#include <unistd.h>

/* Steps in order, and none entered again by who was not there when it was done: what the old
 * controller has in the background belongs to a step that may be over. */
static void old_one_reads_again(void)
{
#ifdef HAVE_SQLITE
    char uri[200];
    int phase, version, last = -1;
    unsigned attempt, before = 0;
    a_service();
    snprintf(directory, sizeof directory, "%s", scratch());
    snprintf(uri, sizeof uri, "sqlite:%s", at("db"));
    write_file("store", uri);
    write_file("trouble", "later"); /* a short timeout */
    start_with(1, "0", "2");
    WAIT(strstr(operated("actions start doze"), ":1")); /* not before the store is open */
    install(2);
    write_file("trouble", "update"); /* its controller acts, and its workers do not open */
    CHECK_EQ(operate("upgrade"), -1);
    unlink(at("trouble"));
    CHECK(strstr(answer, "the old binary serves on"));
    WAIT(strstr(operated("actions json"), "\"state\":\"done\""));
    FILE *file = fopen(at("walked"), "re");
    CHECK(file);
    while (fscanf(file, "%d %u %d", &phase, &attempt, &version) == 3) {
        CHECK(phase == last + 1 || (phase == last && attempt > before));
        last = phase;
        before = attempt;
    }
    CHECK_EQ(last, 1);
    fclose(file);
    end();
#else
    printf("# skipped: needs SQLite\n");
#endif
}

static const struct test tests[] = {
    {"the old one reads again", old_one_reads_again},
};
TEST_MAIN(tests)
