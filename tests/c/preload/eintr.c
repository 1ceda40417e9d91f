/*
 * LD_PRELOAD: every 200 microseconds a signal whose handler does nothing and has no
 * SA_RESTART, so that whatever can fail with EINTR does. In the processes of the service
 * only: those that a case of the harness has forked, and theirs. faults: C01
 */
#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <time.h>

enum { CASE = 1, PERIOD_NS = 200000 };

static int depth;

static void nothing(int sig)
{
    (void)sig;
}

static void disturb(void)
{
    struct sigaction action = {.sa_handler = nothing};
    struct sigevent event = {.sigev_notify = SIGEV_SIGNAL, .sigev_signo = SIGRTMIN + 7};
    struct itimerspec period = {{0, PERIOD_NS}, {0, PERIOD_NS}};
    timer_t timer;

    if (sigaction(SIGRTMIN + 7, &action, NULL) != 0 ||
        timer_create(CLOCK_MONOTONIC, &event, &timer) != 0 ||
        timer_settime(timer, 0, &period, NULL) != 0)
        abort();
}

/* Timers are not inherited. */
static void in_child(void)
{
    if (++depth > CASE)
        disturb();
}

__attribute__((constructor)) static void begin(void)
{
    pthread_atfork(NULL, NULL, in_child);
}
