/*
 * actions.c - a controller with nothing to do, then with many actions that wait.
 * Usage: actions STORE COUNT
 *
 * It makes a pass every millisecond, and prints what a pass has cost on a CPU, in us: a
 * line before there is any action, a line when COUNT of them wait.
 */
#define _GNU_SOURCE
#include <dtm.h>

#include <stdio.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>

enum { TICK = 1, SETTLED = 200, MEASURED = 1000, AT_ONCE = 100 };

static unsigned long wanted, started, waiting, passes;
static double begun;

static double cpu_us(void)
{
    struct timespec time;

    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &time);
    return (double)time.tv_sec * 1e6 + (double)time.tv_nsec / 1e3;
}

static int32_t phase(dtm_t *rt, const dtm_phase_t *phase, void *user_data)
{
    (void)rt, (void)user_data;
    waiting++;
    return dtm_action_wait(phase, phase->id % 2 ? DTM_WAIT_GO : DTM_WAIT_TIME, 3600000);
}

static void start_some(dtm_t *rt)
{
    dtm_str_t none = {NULL, 0};

    for (int i = 0; i < AT_ONCE && started < wanted; i++)
        if (dtm_action_start(rt, "waits", none, NULL, NULL, NULL) == DTM_OK)
            started++;
}

static int32_t client_step(dtm_t *rt, dtm_client_t *client, uint32_t events, void *user_data)
{
    (void)rt, (void)client, (void)events, (void)user_data;
    return DTM_DONE; /* there is no listener */
}

static void controller_pass(dtm_t *rt, void *user_data)
{
    static int told;

    (void)user_data;
    if (told && waiting < wanted) {
        start_some(rt);
        passes = 0;
        return;
    }
    if (++passes == SETTLED)
        begun = cpu_us();
    if (passes != SETTLED + MEASURED || told > 1)
        return;
    printf("%.3f\n", (cpu_us() - begun) / MEASURED);
    fflush(stdout);
    told++;
}

int main(int argc, char **argv)
{
    dtm_config_t config = DTM_CONFIG_INIT;
    dtm_callbacks_t callbacks = DTM_CALLBACKS_INIT;
    dtm_action_t action = DTM_ACTION_INIT;
    dtm_t *rt = NULL;
    int failed;

    if (argc != 3) {
        fprintf(stderr, "usage: %s STORE COUNT\n", argv[0]);
        return 2;
    }
    config.workers = 1;
    config.store = argv[1];
    config.controller_tick_ms = TICK;
    wanted = strtoul(argv[2], NULL, 10);
    action.name = "waits";
    action.phases = 2;
    action.action = phase;
    callbacks.client_step = client_step;
    callbacks.controller_pass = controller_pass;
    failed = dtm_new(&config, &callbacks, NULL, &rt) != DTM_OK ||
             dtm_action_register(rt, &action) != DTM_OK || dtm_run(rt, NULL, 0) != DTM_OK;
    if (failed)
        fprintf(stderr, "%s\n", dtm_last_error());
    dtm_free(rt);
    return failed;
}
