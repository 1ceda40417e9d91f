/*
 * dtm.h - the process model of a C service: a master that forks and supervises,
 * workers that serve clients, a controller that brings them up to date and
 * answers operators, and helper processes ("funcs") under the same care.
 *
 * This header is the manual. It is generated; the text comes from src/ffi/.
 *
 *
 * THE PROCESSES
 *
 *             operators                       clients
 *                 |                              |
 *           control listener             service listeners      (bound by the master,
 *                 |                          |   |   |           held open for life)
 *        +--------v-------+  messages  +-----v---v---v-----+
 *        |   controller   |----------->|  worker  worker   |  generation n
 *        +--------^-------+            +---------^---------+
 *                 | commands,                    | forks, watches, stops,
 *                 | replies                      | schedules who accepts
 *        +--------v------------------------------+---------+      +------+
 *        |                     master                      |----->| func |
 *        +-------------------------------------------------+      +------+
 *
 * A worker is forked, runs `worker_init`, and waits at its gate. The controller
 * is told of it and calls `update_new_worker`, which sends it what it must know.
 * When the worker has handled all of that and refused none, the master opens
 * its gate: only then does it accept clients. A reload starts a whole new
 * generation this way and touches the old one only when the new one is open.
 *
 *
 * A SERVICE
 *
 *     #include <dtm.h>
 *     #include <stdio.h>
 *     #include <unistd.h>
 *
 *     static int step(dtm_t *rt, dtm_client_t *client, uint32_t events, void *user)
 *     {
 *         char buffer[4096];
 *         ssize_t n = read(dtm_client_fd(client), buffer, sizeof buffer);
 *         (void)rt, (void)events, (void)user;
 *         if (n <= 0)
 *             return DTM_DONE;
 *         if (write(dtm_client_fd(client), buffer, (size_t)n) != n)
 *             return DTM_DONE;  // c-examples/echo.c does partial writes right
 *         dtm_client_set_busy(client, 0);
 *         return DTM_READ;
 *     }
 *
 *     int main(void)
 *     {
 *         dtm_config_t config = DTM_CONFIG_INIT;
 *         dtm_callbacks_t callbacks = DTM_CALLBACKS_INIT;
 *         dtm_listen_t listen = DTM_LISTEN_INIT;
 *         dtm_t *rt;
 *         callbacks.client_step = step;
 *         listen.address = "127.0.0.1:7000";
 *         if (dtm_new(&config, &callbacks, NULL, &rt) < 0 || dtm_listen(rt, &listen) < 0
 *             || dtm_run(rt, NULL, 0) < 0) {
 *             fprintf(stderr, "%s\n", dtm_last_error());
 *             return 1;
 *         }
 *         dtm_free(rt);
 *         return 0;
 *     }
 *
 *
 * WHICH CALLBACK RUNS WHERE
 *
 *                         host  master  worker  controller  func
 *     config_load           -     x       -         x         -   after the master's success
 *     config_revert         -     x       -         x         -   the reload was cancelled
 *     event                 -     x       -         -         -
 *     log                   x     x       x         x         x   log_target = callback
 *     worker_*              -     -       x         -         -
 *     client_*              -     -       x         -         -
 *     controller_*          -     -       -         x         -
 *     update_new_worker     -     -       -         x         -
 *     worker_answer         -     -       -         x         -
 *     control_*             -     -       -         x         -
 *     func main, message    -     -       -         -         x
 *     watch, timer          -     -       x         x         x
 *
 * Callbacks run one at a time, in the process's only libdtm thread. They must
 * not block for long: while one runs, its process does nothing else. In the
 * master that would stop the supervision; one that takes over a second is logged.
 * A positive result where only 0 and negative ones mean something is logged and
 * taken for DTM_EINVAL.
 * A callback must return: leaving it by longjmp ends the process with
 * DTM_EXIT_BROKEN (in the master: dtm_run() is over), a C++ exception ends it
 * with SIGABRT. exit(), abort() or a crash in a child is a death like any
 * other: it is reported and replaced, and harms no other process.
 *
 *
 * SIGNALS
 *
 *                    master                        worker, controller, func
 *     TERM, QUIT     graceful shutdown             drain and leave
 *     INT            fast shutdown                 ignored (the group gets it)
 *     HUP            reload                        ignored
 *     USR1           reopen logs                   drain and leave
 *     USR2           upgrade of the binary         ignored
 *     WINCH          reload, without a terminal    ignored
 *     ALRM           loadconf                      ignored
 *     TTIN, TTOU     one worker more, less         ignored
 *     CHLD           deaths; the host's handler    the service's own
 *                    is called as well
 *     PIPE           not touched; libdtm never raises it
 *
 * That is DTM_SIGNALS_DEFAULT: nginx's table, but for TERM, which is graceful, as service
 * managers send it to stop a service. Of the others, DTM_SIGNALS_DTM knows only TERM,
 * WINCH, ALRM and CHLD; all else is ignored. DTM_SIGNALS_GUNICORN differs in two: QUIT is a
 * fast shutdown, and WINCH without a terminal stops all workers (`start` brings them back).
 * With DTM_SIGNALS_DTM_UPGRADE, WINCH is an upgrade, as the original service's reload was.
 * Who comes from HAProxy: its USR1 is TERM here, and its USR2 is HUP, or USR2 for a new
 * binary, too.
 *
 * "Ignored" is logged. A second request to shut down makes it fast, a third one kills
 * who is left. dtm_run()
 * installs these handlers (SA_RESTART) and puts the host's back before it
 * returns. Signals that the program was started with as blocked are let through
 * while libdtm waits. Of the host's state nothing else is changed, but what
 * dtm_config_t asks for (`working_dir`, `rlimit_nofile`, both put back at the end;
 * `daemonize`): not umask, locale, nor other signals.
 *
 * As process 1 (of a container) the master also waits for processes that lost their
 * parents, but for those that the host had started before dtm_run().
 *
 *
 * FORK
 *
 * Children get a copy of everything that existed before dtm_run(). Open
 * databases, TLS contexts' random numbers, threads and epoll fds in
 * `worker_init`, `controller_init` or a func's main, not before. dtm_run()
 * refuses to fork a process with several threads (DTM_F_ALLOW_THREADS): it looks when it
 * starts, and a load of the configuration that finds one fails with DTM_ETHREADS.
 * A process that the service itself forks has no runtime: every call answers
 * DTM_EFORKED and does nothing, and signals do what they did before dtm_run(). Such a
 * process should close what it inherited, or exec: everything of libdtm is close-on-exec.
 *
 *
 * THREADS AND SIGNAL HANDLERS
 *
 * libdtm starts no threads, but for one in the controller that looks up the host's name
 * of an etcd:// store. A child may have threads of its own; only the thread
 * that runs the callbacks may call libdtm, others get DTM_EROLE. Safe in a signal
 * handler and in any thread are only the functions whose `Signal:` line says so.
 *
 *
 * STRUCTS, STRINGS, FDS
 *
 * Structs begin with their size and grow only at the end; what a caller does not
 * know is zero, and zero is the default. Out parameters come last, are named
 * ret_* and are written on success only (ret_result: always). Strings
 * that go in are copied unless said otherwise. A function that takes an fd says so.
 *
 * Every function's comment ends with five lines: the processes that may call
 * it, the thread, signal safety, what fork means for it, and who owns what.
 */
