/*
 * daemon.h - what the examples have in common with any daemon: `-t` to check, `-s` to
 * signal the instance that runs, pid file, background, user, log.
 */
#ifndef DAEMON_H
#define DAEMON_H

#include "options.h"

#include <dtm.h>

#include <errno.h>
#include <signal.h>

struct daemon {
    const char *signal;
    int check, background;
};

/* Members of an array of struct option. */
#define DAEMON_OPTIONS(daemon, config)                                                         \
    {"-t", NULL, NULL, &(daemon).check}, {"-s", &(daemon).signal, NULL, NULL},                 \
        {"--daemonize", NULL, NULL, &(daemon).background},                                     \
        {"--pid-file", &(config).pid_file, NULL, NULL},                                        \
        {"--user", &(config).user, NULL, NULL},                                                \
        {"--config", &(config).config_file, NULL, NULL},                                       \
    {                                                                                          \
        "--log", &(config).log_target, NULL, NULL                                              \
    }

#define DAEMON_HELP                                                                             \
    "  --config FILE    file with a [dtm] section, where all of the following can stand, too\n" \
    "  --log TARGET     stderr, syslog, file:/path or off (stderr)\n"                           \
    "  --pid-file PATH  locked while the service runs\n"                                        \
    "  --daemonize      into the background; the exit status tells whether it came up\n"        \
    "  --user NAME      whom the children become\n"                                             \
    "  -t               check whether it would start, and do not\n"                             \
    "  -s SIGNAL        stop, quit, reload, reopen, upgrade: to the one that runs; or ping\n"

/* nginx's names. Its "quit" is the graceful one. */
static const struct {
    const char *name;
    int number;
} daemon_signals[] = {{"quit", SIGTERM},   {"stop", SIGINT},     {"reload", SIGHUP},
                      {"reopen", SIGUSR1}, {"upgrade", SIGUSR2}, {"ping", 0}};

/* dtm_new(), and all that -s asks for: then the program has ended. */
static int32_t daemon_new(struct daemon *daemon, dtm_config_t *config,
                          const dtm_callbacks_t *callbacks, void *user_data, dtm_t **ret_rt)
{
    size_t i, count = sizeof daemon_signals / sizeof daemon_signals[0];
    int32_t code, pid;

    if (daemon->background)
        config->daemonize = 1;
    code = dtm_new(config, callbacks, user_data, ret_rt);
    if (code != DTM_OK || !daemon->signal)
        return code;
    for (i = 0; i < count && strcmp(daemon_signals[i].name, daemon->signal) != 0;)
        i++;
    if (i == count) {
        fprintf(stderr, "%s: -s %s: must be quit, stop, reload, reopen, upgrade or ping\n",
                config->name, daemon->signal);
        exit(2);
    }
    pid = dtm_signal_running(NULL, daemon_signals[i].number);
    if (pid < 0)
        fprintf(stderr, "%s: %s\n", config->name, dtm_last_error());
    else
        printf("%s: %s: pid %d\n", config->name, daemon->signal, (int)pid);
    dtm_free(*ret_rt);
    exit(pid < 0);
}

/* Did dtm_listen() fail? That somebody has the address is no fault of what -t checks. */
static int daemon_failed(const struct daemon *daemon, int32_t code)
{
    return code < 0 && !(daemon->check && code == -EADDRINUSE);
}

/* dtm_run(), or the check. */
static int32_t daemon_run(const struct daemon *daemon, const char *name, dtm_t *rt,
                          dtm_result_t *ret_result)
{
    int32_t code;

    if (!daemon->check)
        return dtm_run(rt, ret_result, sizeof *ret_result);
    code = dtm_check(rt);
    if (code == DTM_OK) {
        printf("%s: the configuration is good\n", name);
        dtm_free(rt);
        exit(0);
    }
    return code;
}

#endif
