/* What every consumer builds: a service that is created, listens and is freed. */
#include <dtm.h>
#include <stdio.h>

static int32_t step(dtm_t *rt, dtm_client_t *client, uint32_t events, void *user_data)
{
    (void)rt, (void)client, (void)events, (void)user_data;
    return DTM_DONE;
}

int main(void)
{
    dtm_t *rt = NULL;
    dtm_config_t config = DTM_CONFIG_INIT;
    dtm_callbacks_t callbacks = DTM_CALLBACKS_INIT;
    dtm_listen_t listen = DTM_LISTEN_INIT;

    callbacks.client_step = step;
    listen.address = "127.0.0.1:0";
    if (dtm_abi_version() != DTM_ABI_VERSION ||
        dtm_new(&config, &callbacks, NULL, &rt) != DTM_OK || dtm_listen(rt, &listen) != 0) {
        fprintf(stderr, "libdtm %s: %s\n", dtm_version(), dtm_last_error());
        return 1;
    }
    printf("libdtm %s, port %d\n", dtm_version(), (int)dtm_listen_port(rt, 0));
    dtm_free(rt);
    return 0;
}
