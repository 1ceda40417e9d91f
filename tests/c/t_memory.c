/*
 * What an idle client costs inside the library: at most 128 bytes of the worker's own
 * memory, its idle timeout and all rounding included.
 */
#include "peer.h"

#include <stdio.h>
#include <string.h>
#include <sys/resource.h>

enum { FEW = 1000, MANY = 10000, SPARE = 500, BYTES = 128, OPENED = 0 };

/* The service itself keeps nothing of its clients. */
static int32_t on_open(dtm_t *rt, dtm_client_t *client, void *user_data)
{
    (void)rt, (void)user_data;
    CHECK_EQ(dtm_client_set_busy(client, 0), DTM_OK);
    ADD(shared->custom[OPENED], 1);
    return DTM_READ;
}

static int32_t on_step(dtm_t *rt, dtm_client_t *client, uint32_t events, void *user_data)
{
    (void)rt, (void)client, (void)events, (void)user_data;
    return DTM_DONE;
}

static void on_close(dtm_t *rt, dtm_client_t *client, int32_t reason, void *user_data)
{
    (void)rt, (void)client, (void)reason, (void)user_data;
}

/* Bytes that only this process has. */
static long private_memory(int pid)
{
    char path[64], line[256];
    long sum = 0, kib;
    snprintf(path, sizeof path, "/proc/%d/smaps_rollup", pid);
    FILE *file = fopen(path, "r");
    CHECK(file);
    while (fgets(line, sizeof line, file))
        if (sscanf(line, "Private_Clean: %ld", &kib) == 1 ||
            sscanf(line, "Private_Dirty: %ld", &kib) == 1)
            sum += kib * 1024;
    fclose(file);
    return sum;
}

static int many(void)
{
    struct rlimit files;
    CHECK_EQ(getrlimit(RLIMIT_NOFILE, &files), 0);
    files.rlim_cur = files.rlim_max;
    CHECK_EQ(setrlimit(RLIMIT_NOFILE, &files), 0);
    return files.rlim_max < MANY + SPARE ? (int)files.rlim_max - SPARE : MANY;
}

static void idle_clients(void)
{
    static int fds[MANY];
    char address[128];
    struct service service = a_service();
    int all = many(), n;
    CHECK(all > 2 * FEW);
    snprintf(address, sizeof address, "unix:%s/service", scratch());
    service.listen[0] = address;
    service.config.workers = 1;
    service.config.max_clients = MANY;
    service.config.client_timeout_ms = 1000 * 1000;
    service.callbacks.client_open = on_open;
    service.callbacks.client_step = on_step;
    service.callbacks.client_close = on_close;
    start(&service);
    int pid = nth_open(0)->pid;
    for (n = 0; n < FEW; n++)
        fds[n] = dial_address(address);
    WAIT(GET(shared->custom[OPENED]) == n);
    long before = private_memory(pid);
    for (; n < all; n++)
        fds[n] = dial_address(address);
    WAIT(GET(shared->custom[OPENED]) == n);
    long each = (private_memory(pid) - before) / (all - FEW);
    printf("# %ld bytes for each of %d clients\n", each, all - FEW);
#ifndef __SANITIZE_ADDRESS__ /* it keeps books of its own */
    CHECK_LE(each, BYTES);
    CHECK(each > 0);
#endif
    while (n > 0)
        hang_up(fds[--n]);
    finish();
}

static const struct test tests[] = {
    {"10,000 idle clients", idle_clients},
};
TEST_MAIN(tests)
