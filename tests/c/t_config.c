/*
 * Configuration: what is wrong is named, and changes nothing that runs.
 * flow: M1, M16, L3
 * valgrind: yes
 */
#include "peer.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static const char *config_with(const char *text)
{
    static char path[128];
    snprintf(path, sizeof path, "%s/test.conf", scratch());
    FILE *f = fopen(path, "we");
    CHECK(f);
    fputs(text, f);
    fclose(f);
    return path;
}

static void refused_config(const char *text, int code, const char *because)
{
    struct service service = a_service();
    service.config.config_file = config_with(text);
    launch(&service);
    refused_with(because);
    CHECK_EQ(shared->new_code, code);
    unlink(service.config.config_file);
}

static void bad_config_files(void)
{
    refused_config("[dtm]\nworkerz = 3\n", DTM_ECONFIG, "workerz");
    refused_config("[dtm]\n\nworkers = 0\n", DTM_ECONFIG, ":3");
    refused_config("[dtm]\nworkers = many\n", DTM_ECONFIG, "workers");
    refused_config("[dtm]\nclient_timeout = 5 parsecs\n", DTM_ECONFIG, "client_timeout");
    refused_config("[dtm]\naccept_mode = psychic\n", DTM_ECONFIG, "accept_mode");
    refused_config("[dtm\n", DTM_ECONFIG, ":1");
}

static void missing_config_file(void)
{
    char path[128];
    snprintf(path, sizeof path, "%s/missing.conf", scratch());
    struct service service = a_service();
    service.config.config_file = path;
    launch(&service);
    refused_with(path);
    CHECK_EQ(shared->new_code, -ENOENT);
}

static void unreadable_config_file(void)
{
    struct service service = a_service();
    service.config.config_file = config_with("[dtm]\n");
    service.before = become_nobody;
    CHECK_EQ(chmod(service.config.config_file, 0), 0);
    launch(&service);
    refused_with(service.config.config_file);
    CHECK_EQ(shared->new_code, -EACCES);
    unlink(service.config.config_file);
}

/* L3: a file that is broken at loadconf or reload changes nothing; a good one is taken. */
static void config_file_at_work(void)
{
    struct service service = a_service();
    service.config.config_file = config_with("[dtm]\nworkers = 3\n[other]\nx = [\n");
    start(&service);
    config_with("[dtm]\nworkers = none\n");
    CHECK_EQ(command("loadconf"), DTM_ECONFIG);
    CHECK(strstr(detail, "workers"));
    CHECK(command("reload") < 0);
    CHECK_EQ(count_open(1), 3);
    /* What there is no room for is not taken over and then taken back: two generations. */
    int loads = GET(shared->config_loads);
    config_with("[dtm]\nworkers = 30\n");
    CHECK_EQ(command("reload"), -ENOSPC);
    CHECK_EQ(GET(shared->config_status), -ENOSPC);
    CHECK_EQ(GET(shared->config_loads), loads);
    CHECK_EQ(GET(shared->config_reverts), 0);
    config_with("[dtm]\nworkers = 5\n");
    CHECK_EQ(command("reload"), DTM_OK);
    WAIT(count_open(2) == 5 && count_role(DTM_ROLE_WORKER) == 5);
    unlink(service.config.config_file);
    CHECK_EQ(command("reload"), -ENOENT);
    CHECK_EQ(count_open(2), 5);
    finish();
}

static void bad_addresses(void)
{
    static const char *addresses[] = {"127.0.0.1", "localhost:80", "127.0.0.1:99999",
                                      "unix:relative"};
    for (size_t i = 0; i < sizeof addresses / sizeof addresses[0]; i++) {
        struct service service = a_service();
        service.listen[0] = addresses[i];
        launch(&service);
        refused_with(addresses[i]);
        CHECK_EQ(shared->listen_code[0], DTM_EINVAL);
    }
}

static const struct test tests[] = {
    {"config files with errors", bad_config_files},
    {"missing config file", missing_config_file},
    {"unreadable config file", unreadable_config_file},
    {"a config file that changes", config_file_at_work},
    {"addresses that cannot be read", bad_addresses},
};
TEST_MAIN(tests)
