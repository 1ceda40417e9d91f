/* Compiled, never run: the header as C and C++, twice, with all its initialisers. */
#include <dtm.h>

static int32_t step(dtm_t *rt, dtm_client_t *client, uint32_t events, void *user_data)
{
    (void)rt, (void)client, (void)events, (void)user_data;
    return DTM_DONE;
}

int probe(void)
{
    dtm_t *rt = NULL;
    dtm_config_t config = DTM_CONFIG_INIT;
    dtm_callbacks_t callbacks = DTM_CALLBACKS_INIT;
    dtm_listen_t listen = DTM_LISTEN_INIT;
    dtm_func_t func = DTM_FUNC_INIT;
    dtm_command_t command = DTM_COMMAND_INIT;

    callbacks.client_step = step;
    command.kind = DTM_CMD_RELOAD;
    if (dtm_new(&config, &callbacks, NULL, &rt) != DTM_OK)
        return DTM_EUSER;
    return dtm_listen(rt, &listen) + dtm_func_register(rt, &func) +
           dtm_command(rt, &command, NULL, NULL, NULL);
}
