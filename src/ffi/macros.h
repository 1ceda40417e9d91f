#if defined(__GNUC__)
#define DTM_API __attribute__((visibility("default")))
#else
#define DTM_API
#endif

/* Initialisers: the size, everything else zero. */
#ifdef __cplusplus
#define DTM_INIT_(type) \
    [] { type zero{}; zero.size = sizeof zero; return zero; }()
#define DTM_CONFIG_INIT DTM_INIT_(dtm_config_t)
#define DTM_CALLBACKS_INIT DTM_INIT_(dtm_callbacks_t)
#define DTM_LISTEN_INIT DTM_INIT_(dtm_listen_t)
#define DTM_FUNC_INIT DTM_INIT_(dtm_func_t)
#define DTM_COMMAND_INIT DTM_INIT_(dtm_command_t)
#define DTM_CONSOLE_INIT DTM_INIT_(dtm_console_t)
#define DTM_ACTION_INIT DTM_INIT_(dtm_action_t)
#define DTM_STORE_INIT DTM_INIT_(dtm_store_t)
#else
#define DTM_CONFIG_INIT {.size = sizeof(dtm_config_t)}
#define DTM_CALLBACKS_INIT {.size = sizeof(dtm_callbacks_t)}
#define DTM_LISTEN_INIT {.size = sizeof(dtm_listen_t)}
#define DTM_FUNC_INIT {.size = sizeof(dtm_func_t)}
#define DTM_COMMAND_INIT {.size = sizeof(dtm_command_t)}
#define DTM_CONSOLE_INIT {.size = sizeof(dtm_console_t)}
#define DTM_ACTION_INIT {.size = sizeof(dtm_action_t)}
#define DTM_STORE_INIT {.size = sizeof(dtm_store_t)}
#endif
