
/* A compiler option that packs or pads structs differently is noticed here. */
#ifdef __LP64__
#if defined(__cplusplus) && __cplusplus >= 201103L
#define DTM_SIZE_(type, size) static_assert(sizeof(type) == (size), #type)
#elif defined(__STDC_VERSION__) && __STDC_VERSION__ >= 201112L
#define DTM_SIZE_(type, size) _Static_assert(sizeof(type) == (size), #type)
#endif
#endif
#ifdef DTM_SIZE_
DTM_SIZE_(dtm_str_t, 16);
DTM_SIZE_(dtm_self_t, 48);
DTM_SIZE_(dtm_worker_t, 120);
DTM_SIZE_(dtm_accept_t, 136);
DTM_SIZE_(dtm_event_t, 48);
DTM_SIZE_(dtm_report_t, 3640);
DTM_SIZE_(dtm_result_t, 64);
DTM_SIZE_(dtm_listen_t, 40);
DTM_SIZE_(dtm_func_t, 56);
DTM_SIZE_(dtm_command_t, 24);
DTM_SIZE_(dtm_console_t, 48);
DTM_SIZE_(dtm_phase_t, 96);
DTM_SIZE_(dtm_action_t, 56);
DTM_SIZE_(dtm_action_info_t, 72);
DTM_SIZE_(dtm_write_t, 48);
DTM_SIZE_(dtm_store_t, 120);
DTM_SIZE_(dtm_config_t, 368);
DTM_SIZE_(dtm_callbacks_t, 184);
#undef DTM_SIZE_
#endif
