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


#ifndef DTM_H
#define DTM_H

#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

/* The version of this header; dtm_version() is the library's. */
#define DTM_VERSION "0.1.0"
#define DTM_VERSION_NUMBER 0x000100

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


/**
 * The ABI number: part of the SONAME (`libdtm.so.0`). It changes only when a
 * program compiled against an older header could break.
 */
#define DTM_ABI_VERSION 0

/**
 * Success.
 */
#define DTM_OK 0

/**
 * An argument is NULL, out of range or contradicts another one (-EINVAL).
 */
#define DTM_EINVAL -22

/**
 * A struct's `size` is none that this library can read: 0, too small, absurdly
 * large, or the pointer is not aligned.
 */
#define DTM_EABI -4101

/**
 * Not available in this build or version, or a newer caller asks (by non-zero
 * bytes in a struct's unknown tail) for what this library does not know.
 */
#define DTM_ENOTSUP -4102

/**
 * The call may not be made from this process, thread or callback.
 */
#define DTM_EROLE -4103

/**
 * The calling process was forked by the service, not by libdtm: the handle is
 * not valid here and nothing was done.
 */
#define DTM_EFORKED -4104

/**
 * The call comes too early, too late or for the second time (dtm_run() twice,
 * dtm_listen() while it runs but in config_load, a second runtime in one process).
 */
#define DTM_ESTATE -4105

/**
 * A configuration value or file is wrong; dtm_last_error() names file, line and key.
 */
#define DTM_ECONFIG -4106

/**
 * The process has more than one thread, so forking would be unsafe.
 */
#define DTM_ETHREADS -4107

/**
 * An internal error was caught at the API boundary. The runtime of this
 * process is poisoned: every later call answers this code.
 */
#define DTM_EPANIC -4108

/**
 * The handle or id names something that is gone: a closed client, a dead worker.
 */
#define DTM_EGONE -4109

/**
 * The other side received the message or command and said no.
 */
#define DTM_EREFUSED -4110

/**
 * Refused because the controller has forbidden forking.
 */
#define DTM_ENOFORK -4111

/**
 * The operation was tried and did not succeed; the old state is in force.
 */
#define DTM_EFAILED -4112

/**
 * Never produced by libdtm: for the service's own use in callbacks.
 */
#define DTM_EUSER -4999

/**
 * The process that called dtm_new(), while dtm_run() is not running.
 */
#define DTM_ROLE_HOST 1

/**
 * The process inside dtm_run(): forks, supervises, holds every listener.
 */
#define DTM_ROLE_MASTER 2

/**
 * Accepts and drives clients.
 */
#define DTM_ROLE_WORKER 4

/**
 * Brings workers up to date, answers operators, commands the master.
 */
#define DTM_ROLE_CONTROLLER 8

/**
 * A helper process, see dtm_func_register().
 */
#define DTM_ROLE_FUNC 16

/**
 * Worker state: `worker_init` is running, or it is to be forked yet (`pid` is 0).
 */
#define DTM_WORKER_STARTING 1

/**
 * Worker state: initialised, waits at its gate for the controller's update.
 */
#define DTM_WORKER_READY 2

/**
 * Worker state: up to date, waits for the master to open the gate.
 */
#define DTM_WORKER_UPDATED 3

/**
 * Worker state: open for business, accepts when the schedule gives it the turn.
 */
#define DTM_WORKER_OPEN 4

/**
 * Worker state: takes no new client, finishes the ones it has.
 */
#define DTM_WORKER_DRAINING 5

/**
 * Worker state: it died; its slot waits for a replacement (back-off, or forking forbidden).
 */
#define DTM_WORKER_DEAD 6

/**
 * Worker state: given up after too many deaths, see `respawn_budget`, until DTM_CMD_RESET
 * or a reload.
 */
#define DTM_WORKER_FAILED 7

/**
 * How a slot stands to what is wanted of it: wanted, and nobody serves there yet.
 */
#define DTM_CLASS_NOT_STARTED 1

/**
 * Class: its process does what it should.
 */
#define DTM_CLASS_VALID 2

/**
 * Class: its process is on its way out, for its generation or its place is not wanted
 * any more.
 */
#define DTM_CLASS_DISALLOWED 3

/**
 * Class: its process did not start, go on or leave in time, and is about to be killed.
 */
#define DTM_CLASS_TIMED_OUT 4

/**
 * Why a process ended: it exited, unasked.
 */
#define DTM_REASON_EXIT 1

/**
 * Why a process ended: by a signal that the master did not send.
 */
#define DTM_REASON_SIGNAL 2

/**
 * Why a process ended: it was not ready within `start_timeout`.
 */
#define DTM_REASON_START 3

/**
 * Why a process ended: it made no progress for `hang_timeout`.
 */
#define DTM_REASON_HANG 4

/**
 * Why a process ended: it was told to leave, and did not in time.
 */
#define DTM_REASON_DEADLINE 5

/**
 * Why a process ended: it used more than `memory_hard`.
 */
#define DTM_REASON_MEMORY 6

/**
 * Why a process ended: it left, as told.
 */
#define DTM_REASON_TOLD 7

/**
 * Why a process ended: it left, as told, for it was recycled.
 */
#define DTM_REASON_RECYCLE 8

/**
 * Why a process ended: nobody knows, for the service itself waited for it.
 */
#define DTM_REASON_UNKNOWN 9

/**
 * Interest and event: readable.
 */
#define DTM_READ 1

/**
 * Interest and event: writable.
 */
#define DTM_WRITE 2

/**
 * Interest: tell me when the peer shuts down its sending side. Event: it did,
 * or the connection failed. Failures are reported whatever the interest is.
 */
#define DTM_HUP 4

/**
 * Event only: dtm_client_wake() or dtm_watch_wake() was called.
 */
#define DTM_WAKE 16

/**
 * Event only: the worker began to drain while this client was busy. Delivered once.
 */
#define DTM_DRAIN 32

/**
 * Step result: wait for nothing but a wake-up, a timeout or a failure.
 */
#define DTM_WAIT 0

/**
 * Step result: keep the interest as it is.
 */
#define DTM_KEEP 256

/**
 * Step result: final state. The close callback runs and the fd is closed.
 */
#define DTM_DONE 512

/**
 * Result of `client_open` in a service with its own event loop: the service
 * polls the fd itself; libdtm only counts the client, until dtm_client_release()
 * or dtm_client_close().
 */
#define DTM_TAKEN 1024

/**
 * Close reason: the step returned DTM_DONE.
 */
#define DTM_CLOSE_DONE 1

/**
 * Close reason: dtm_client_close() or dtm_watch_close() was called.
 */
#define DTM_CLOSE_ASKED 2

/**
 * Close reason: the peer is gone and the step did not ask to go on.
 */
#define DTM_CLOSE_PEER 3

/**
 * Close reason: no activity for the idle timeout.
 */
#define DTM_CLOSE_TIMEOUT 4

/**
 * Close reason: the worker drains and the client was idle.
 */
#define DTM_CLOSE_DRAIN 5

/**
 * Close reason: the worker drains and the client was busy past the drain deadline.
 */
#define DTM_CLOSE_DEADLINE 6

/**
 * Close reason: the process stops at once (fast shutdown, or the master is gone).
 */
#define DTM_CLOSE_SHUTDOWN 7

/**
 * Close reason: the step returned a negative value, or the kernel reported an error.
 */
#define DTM_CLOSE_ERROR 8

/**
 * For a timeout or limit: no timeout, no limit. (0 means: the default.)
 */
#define DTM_OFF 4294967295

/**
 * Flag: allow threads in the process that calls dtm_run(). The children then
 * own only the forking thread, so the other threads' locks must not be needed.
 */
#define DTM_F_ALLOW_THREADS 1

/**
 * Flag: children leave through exit() instead of _exit(), running the
 * service's atexit handlers once per child.
 */
#define DTM_F_CHILD_ATEXIT 2

/**
 * Flag: ignore SIGPIPE in the children. libdtm itself never raises it.
 */
#define DTM_F_IGNORE_SIGPIPE 4

/**
 * Accept schedule: steer where it can be loaded, token otherwise; the log says
 * which and why, once.
 */
#define DTM_ACCEPT_AUTO 0

/**
 * Accept schedule: a run queue of k tokens; the k least loaded workers stand
 * armed in the kernel's exclusive wait queue. Needs no privilege, works for every
 * listener, and passes over busy, stopped and dead workers by itself. Each client moves a
 * token; where clients come and go and their steps are short, one in up to eight does.
 */
#define DTM_ACCEPT_TOKEN 1

/**
 * Accept schedule: a socket per worker, and an eBPF program that chooses the least
 * loaded one for each connection when it arrives. Linux 5.5 and CAP_BPF with
 * CAP_NET_ADMIN (or root) at dtm_run(); a Unix listener is scheduled by token.
 */
#define DTM_ACCEPT_STEER 2

/**
 * Accept schedule: a socket per worker, chosen by the connection's hash among those
 * that take clients. The load plays no part. A Unix listener is scheduled by token.
 */
#define DTM_ACCEPT_HASH 3

/**
 * Accept schedule: all workers wait at one listener; who has accepted goes to the
 * end of the queue. The load plays no part.
 */
#define DTM_ACCEPT_SHARED 4

/**
 * Accept schedule: the master accepts and passes the descriptors on, to the least
 * loaded worker or in turn (`accept_pass`). A worker that is killed before it has
 * taken one loses nothing, and one that is stopped or blocked is not waited for: after
 * 10 ms another one gets it. Costs about half as much again for each connection.
 */
#define DTM_ACCEPT_PASS 5

/**
 * Accept schedule: who has the lock accepts, as with nginx's accept_mutex: for
 * comparison, and for those who want the old behaviour. While clients come, workers
 * without it look again every 100 ms. The master gives it to somebody when a client waits
 * and nobody has it, and takes it from a holder that makes no move for 250 ms meanwhile.
 */
#define DTM_ACCEPT_LOCK 6

/**
 * A worker's load is the number of its open clients.
 */
#define DTM_LOAD_CLIENTS 0

/**
 * A worker's load is the number of its busy clients, see dtm_client_set_busy().
 */
#define DTM_LOAD_BUSY 1

/**
 * DTM_ACCEPT_PASS: to the worker with the least load.
 */
#define DTM_PASS_LEAST 0

/**
 * DTM_ACCEPT_PASS: in turn; one that declines or does not answer is passed over.
 */
#define DTM_PASS_ROTATE 1

/**
 * Signal table: SIGTERM and SIGQUIT graceful, SIGINT fast, SIGHUP reload,
 * SIGUSR1 reopen logs, SIGUSR2 upgrade, SIGTTIN/SIGTTOU scale, and the DTM
 * service's SIGWINCH reload (without a terminal) and SIGALRM loadconf.
 */
#define DTM_SIGNALS_DEFAULT 0

/**
 * Signal table of the original DTM service only: SIGTERM shutdown, SIGWINCH
 * reload, SIGALRM loadconf.
 */
#define DTM_SIGNALS_DTM 1

/**
 * Signal table for who is used to gunicorn: as the default one, but SIGQUIT is a fast
 * shutdown, and SIGWINCH without a terminal stops the workers (DTM_CMD_STOP).
 */
#define DTM_SIGNALS_GUNICORN 2

/**
 * Signal table as DTM_SIGNALS_DTM, but SIGWINCH (without a terminal) is an upgrade: the
 * original service's reload executed its program anew, so that the operator who has
 * installed another one gets it. The new binary loads the configuration, too.
 */
#define DTM_SIGNALS_DTM_UPGRADE 3

/**
 * A drain closes idle clients at once.
 */
#define DTM_IDLE_CLOSE 0

/**
 * A drain keeps idle clients until their next request has been answered, or the
 * deadline: no request that is on its way is lost. Mark a client busy as soon as a
 * request begins, see dtm_client_set_busy(): an idle one of which something came since
 * the drain began is closed.
 */
#define DTM_IDLE_KEEP 1

/**
 * When the master is gone: every process leaves at once; the kernel kills it
 * even when it is stopped or hangs, and the ports are free.
 */
#define DTM_ORPHAN_EXIT 0

/**
 * When the master is gone: listeners are closed at once, workers finish their
 * clients for at most 5 s, then leave.
 */
#define DTM_ORPHAN_DRAIN 1

/**
 * Log level: errors.
 */
#define DTM_LOG_ERROR 1

/**
 * Log level: warnings.
 */
#define DTM_LOG_WARN 2

/**
 * Log level: one line per life event (the default).
 */
#define DTM_LOG_INFO 3

/**
 * Log level: decisions in detail.
 */
#define DTM_LOG_DEBUG 4

/**
 * Log level: every message and token move.
 */
#define DTM_LOG_TRACE 5

/**
 * Read the configuration again in the master; children forked later have it.
 */
#define DTM_CMD_LOADCONF 1

/**
 * Load the configuration, start a new generation, and when all of it is ready
 * and up to date, open it and drain the old one. All or nothing.
 */
#define DTM_CMD_RELOAD 2

/**
 * Start all workers and funcs; does nothing if any runs. Answered when it has
 * begun; DTM_EVENT_OPEN tells the rest.
 */
#define DTM_CMD_START 3

/**
 * Drain and stop all workers and funcs; the controller stays.
 */
#define DTM_CMD_STOP 4

/**
 * Set the number of workers to `arg`, until a configuration is loaded: `workers`
 * of that one counts then. Answered when it has begun; -ENOSPC without room.
 */
#define DTM_CMD_SCALE 5

/**
 * Forbid forking for `arg` milliseconds (0: `nofork_max_ms`, which is also the
 * longest: more is DTM_EINVAL). Done means: no fork is in flight and none will
 * start until the ban ends: by DTM_CMD_FORK, its time, or this controller's end.
 */
#define DTM_CMD_NOFORK 6

/**
 * Allow forking again.
 */
#define DTM_CMD_FORK 7

/**
 * Replace the running binary: start what is now at the path of this program, with the
 * same arguments, environment and directory. It gets the listeners, comes up beside this
 * one, and takes over; then this one drains, and its dtm_run() returns DTM_END_UPGRADED.
 * If the new one fails, DTM_EFAILED says why, and this one serves on. DTM_EREFUSED while
 * all workers are stopped, DTM_ENOFORK, -EBUSY during a reload or another upgrade.
 */
#define DTM_CMD_UPGRADE 8

/**
 * Stop everything gracefully; dtm_run() returns.
 */
#define DTM_CMD_SHUTDOWN 9

/**
 * Stop everything at once; dtm_run() returns.
 */
#define DTM_CMD_SHUTDOWN_NOW 10

/**
 * Close and reopen the log target in every process. DTM_EFAILED: not in all of them, and
 * the first error; those go on with what they had.
 */
#define DTM_CMD_REOPEN_LOG 11

/**
 * Replace the worker whose spawn id is `arg`: it drains when its successor is open.
 * Answered when that is forked. DTM_EGONE: no such worker is open; -ENOSPC: no free slot.
 */
#define DTM_CMD_RECYCLE 12

/**
 * Change the accept schedule to `arg`, a DTM_ACCEPT_*, until a configuration is
 * loaded: `accept_mode` of that one counts then. No connection is lost. DTM_EFAILED:
 * it cannot be had here, dtm_accept_stats() shows what is in force.
 */
#define DTM_CMD_ACCEPT_MODE 13

/**
 * Set the number of accept tokens to `arg`, 1..=64 (0: the default), until a
 * configuration is loaded.
 */
#define DTM_CMD_ACCEPT_TOKENS 14

/**
 * Set the log level of every process to `arg`, a DTM_LOG_*, until a configuration is
 * loaded: `log_level` of that one counts then.
 */
#define DTM_CMD_LOG_LEVEL 15

/**
 * Fork at once whoever is not there: slots that were given up (DTM_WORKER_FAILED) get
 * another chance, and all back-off ends. Answered when it has begun.
 */
#define DTM_CMD_RESET 16

/**
 * Restart policy: whenever the process ends.
 */
#define DTM_RESTART_ALWAYS 0

/**
 * Restart policy: when it ends by a signal or with a status other than 0; with 0 it is done
 * for good.
 */
#define DTM_RESTART_ON_FAILURE 1

/**
 * Restart policy: never; it runs once per generation.
 */
#define DTM_RESTART_ONCE 2

/**
 * Restart policy: none. `main` runs once per generation in a process that is not the
 * service's any more (nginx's DETACHED): a session of its own, without channel, listeners
 * and libdtm's signal handlers; calls answer DTM_EFORKED. Neither a reload nor the end of the
 * service or the death of the master ends it: it must end by itself. Its pid is in the log.
 */
#define DTM_RESTART_DETACHED 3

/**
 * Start phase: before the workers; they are forked when it is running.
 */
#define DTM_PHASE_BEFORE_WORKERS 0

/**
 * Start phase: when the generation's workers are open.
 */
#define DTM_PHASE_AFTER_OPEN 1

/**
 * Life event: a child was forked.
 */
#define DTM_EVENT_FORK 1

/**
 * Life event: a child finished its initialisation.
 */
#define DTM_EVENT_READY 2

/**
 * Life event: a worker's gate opened, or a controller got the control lock.
 */
#define DTM_EVENT_OPEN 3

/**
 * Life event: a child was told to drain and leave, or is killed, which may follow on that.
 */
#define DTM_EVENT_DRAINING 4

/**
 * Life event: a child ended; `status` is its wait status.
 */
#define DTM_EVENT_EXIT 5

/**
 * Life event: a reload ended; `status` is DTM_OK or why it failed.
 */
#define DTM_EVENT_RELOAD 6

/**
 * Life event: the configuration was loaded; `status` is DTM_OK or why not.
 */
#define DTM_EVENT_CONFIG 7

/**
 * Life event: a process hangs and is about to be killed; its report is stored, see
 * dtm_reports().
 */
#define DTM_EVENT_HANG 8

/**
 * Life event: a slot was given up, see `respawn_budget`; its last process is named.
 */
#define DTM_EVENT_FAILED 9

/**
 * Life event: a worker is being replaced, see `recycle_clients` and DTM_CMD_RECYCLE.
 */
#define DTM_EVENT_RECYCLE 10

/**
 * Life event: automatic scaling changes the number of workers; `status` is the new one.
 */
#define DTM_EVENT_SCALE 11

/**
 * Life event: an upgrade ended; `status` is DTM_OK or why it failed.
 */
#define DTM_EVENT_UPGRADE 12

/**
 * Report: a process crashed, or was killed by somebody else.
 */
#define DTM_REPORT_CRASH 1

/**
 * Report: a process made no progress for `hang_timeout`.
 */
#define DTM_REPORT_HANG 2

/**
 * Report: a process was not ready within `start_timeout`.
 */
#define DTM_REPORT_START 3

/**
 * Report: a process was told to leave, and did not in time.
 */
#define DTM_REPORT_DEADLINE 4

/**
 * Report: a process used more than `memory_hard`.
 */
#define DTM_REPORT_MEMORY 5

/**
 * Why dtm_run() returned: a signal or a command asked for a graceful end.
 */
#define DTM_END_GRACEFUL 1

/**
 * Why dtm_run() returned: a signal or a command asked for a fast end.
 */
#define DTM_END_FAST 2

/**
 * Why dtm_run() returned: a new binary has replaced this one, and serves. The host has to
 * leave what belongs to the service, such as files, to it.
 */
#define DTM_END_UPGRADED 5

/**
 * Why dtm_run() returned: it failed to start.
 */
#define DTM_END_START_FAILED 3

/**
 * Why dtm_run() returned: an internal error; everything was stopped in order.
 */
#define DTM_END_INTERNAL 4

/**
 * Exit status of a child whose init callback failed.
 */
#define DTM_EXIT_INIT 64

/**
 * Exit status of a child in which a callback was left by longjmp, or in which libdtm found
 * an internal error. A C++ exception ends the process with SIGABRT.
 */
#define DTM_EXIT_BROKEN 70

/**
 * Exit status of a child whose runtime descriptors were closed or replaced, such as by
 * closefrom(3) in `worker_init`.
 */
#define DTM_EXIT_FDS 71

/**
 * Exit status of a child that left because the master is gone.
 */
#define DTM_EXIT_ORPHAN 72

/**
 * Exit status with which a child asks not to be restarted.
 */
#define DTM_EXIT_NO_RESTART 125

/**
 * Largest payload of one message between controller and workers, in bytes.
 */
#define DTM_MESSAGE_MAX 65536

/**
 * Most counters a service can register.
 */
#define DTM_COUNTERS_MAX 32

/**
 * Most commands a service can add to the ready-made console.
 */
#define DTM_COMMANDS_MAX 256

/**
 * Longest text of one part of a console reply, in bytes.
 */
#define DTM_REPLY_TEXT_MAX 262144

/**
 * Most listeners a runtime can have.
 */
#define DTM_LISTENERS_MAX 32

/**
 * Most locks a service can register.
 */
#define DTM_LOCKS_MAX 64

/**
 * Result of dtm_lock_take(): the lock is yours, but its last owner died with it.
 */
#define DTM_LOCK_RECOVERED 1

/**
 * Action phase result: go on with the next phase, or with the one that dtm_action_jump()
 * named, after the wait that dtm_action_wait() asked for. After the last phase: done.
 */
#define DTM_ACTION_NEXT 0

/**
 * Action phase result: the action is complete.
 */
#define DTM_ACTION_DONE 1

/**
 * Action phase result: run this phase again, as a new step, after its wait.
 */
#define DTM_ACTION_AGAIN 2

/**
 * Action phase result: this attempt goes on in the background. The callback is called
 * again, in the same attempt, after dtm_action_wake() or at the limit that
 * dtm_action_wait() set, or when what dtm_txn_fetch() has asked for is there. What it has
 * put into the transaction is dropped.
 */
#define DTM_ACTION_PENDING 3

/**
 * Action phase result: give the instance up now, without further attempts.
 */
#define DTM_ACTION_FAIL 4

/**
 * Wait: for some time.
 */
#define DTM_WAIT_TIME 0

/**
 * Wait: until all workers are open and up to date, and none waits for a replacement.
 */
#define DTM_WAIT_UPDATED 1

/**
 * Wait: until no worker drains any more.
 */
#define DTM_WAIT_DRAINED 2

/**
 * Wait: until an operator says go.
 */
#define DTM_WAIT_GO 3

/**
 * Verb of dtm_action_control(): no further step is begun until it is resumed.
 */
#define DTM_VERB_PAUSE 1

/**
 * Verb of dtm_action_control(): go on; a parked instance gets its attempts anew.
 */
#define DTM_VERB_RESUME 2

/**
 * Verb of dtm_action_control(): end it where it stands.
 */
#define DTM_VERB_CANCEL 3

/**
 * Verb of dtm_action_control(): the go that it waits for.
 */
#define DTM_VERB_GO 4

/**
 * Instance state: has its turn soon.
 */
#define DTM_INSTANCE_ACTIVE 1

/**
 * Instance state: waits, see DTM_WAIT_*.
 */
#define DTM_INSTANCE_WAITING 2

/**
 * Instance state: paused by an operator.
 */
#define DTM_INSTANCE_PAUSED 3

/**
 * Instance state: its attempts are used up; an operator may resume or cancel it.
 */
#define DTM_INSTANCE_PARKED 4

/**
 * Instance state: complete.
 */
#define DTM_INSTANCE_DONE 5

/**
 * Instance state: cancelled by an operator.
 */
#define DTM_INSTANCE_CANCELLED 6

/**
 * Instance state: it has said DTM_ACTION_FAIL.
 */
#define DTM_INSTANCE_FAILED 7

/**
 * Store write: change nothing, only compare the version.
 */
#define DTM_WRITE_CHECK 0

/**
 * Store write: set the value.
 */
#define DTM_WRITE_PUT 1

/**
 * Store write: remove the key.
 */
#define DTM_WRITE_DELETE 2

/**
 * Expected version of a write: whatever it is.
 */
#define DTM_VERSION_ANY UINT64_MAX

/**
 * What a store's call answers that has to wait, see dtm_store_t.
 */
#define DTM_STORE_AGAIN 1

/**
 * Longest arguments of an action, in bytes.
 */
#define DTM_ARGS_MAX 4096

/**
 * Most instances that are not finished; starting one more is -ENOSPC.
 */
#define DTM_INSTANCES_MAX 16384

/**
 * Most keys that a phase can read and change through its transaction.
 */
#define DTM_TXN_KEYS_MAX 64

/**
 * Longest key of dtm_txn_put(), in bytes.
 */
#define DTM_TXN_KEY_MAX 128

/**
 * Longest value of dtm_txn_put(), in bytes.
 */
#define DTM_TXN_VALUE_MAX 16384

/**
 * One connected client of a worker or of the controller. Valid from its open
 * callback until its close callback returns or dtm_client_release(), in that process only.
 */
typedef struct dtm_client_t dtm_client_t;

/**
 * A lock between the processes of one runtime, see dtm_lock_register().
 */
typedef struct dtm_lock_t dtm_lock_t;

/**
 * A reply under construction in a console command handler.
 */
typedef struct dtm_reply_t dtm_reply_t;

/**
 * The runtime. One per process; create it with dtm_new().
 */
typedef struct dtm_t dtm_t;

/**
 * A timer. Valid from dtm_timer_add() until dtm_timer_free().
 */
typedef struct dtm_timer_t dtm_timer_t;

/**
 * The transaction of an action's phase, see dtm_txn_put(). Valid while the phase's
 * callback runs.
 */
typedef struct dtm_txn_t dtm_txn_t;

/**
 * Any other fd that takes part in the event loop. Valid from dtm_watch_add()
 * until its close callback returns or dtm_watch_release().
 */
typedef struct dtm_watch_t dtm_watch_t;

/**
 * Configuration. Zero means the default everywhere; DTM_OFF switches a timeout
 * or limit off, but for those that must have one: then it is out of range. All strings are copied by dtm_new(). Every member but `size`,
 * `flags` and `config_file` can also be set in the `[dtm]` section of
 * `config_file`, which wins over the struct and is read again on loadconf;
 * there, `client_timeout = 20m` sets `client_timeout_ms`. "Fixed at start": what a later
 * load says of it is named in the log, and takes effect at the next start.
 */
typedef struct {
    /**
     * sizeof(dtm_config_t). DTM_CONFIG_INIT sets it.
     */
    size_t size;
    /**
     * DTM_F_*.
     */
    uint64_t flags;
    /**
     * Name for logs; default "dtm". Fixed at start.
     */
    const char *name;
    /**
     * The service's configuration file; may be NULL. Its `[dtm]` section is libdtm's.
     */
    const char *config_file;
    /**
     * Workers per generation, 1..=512; default: the CPUs this process may use
     * (affinity mask and cgroup quota).
     */
    uint32_t workers;
    /**
     * Size of the process table, 4..=1024; default 200. Fixed at start.
     * A reload needs room for two generations.
     */
    uint32_t max_processes;
    /**
     * DTM_ACCEPT_*; default DTM_ACCEPT_AUTO. Changes on a running service lose nothing.
     */
    uint32_t accept_mode;
    /**
     * Accept tokens k, 1..=64; default workers/2 within 1..=8. With up to k - 1
     * blocked workers new clients do not wait. Whoever has one gets a client in its turn,
     * whatever its load is: so while loads differ by more than four no more than two are in
     * use. In a service with a `worker_main` the default is 1; the master adds one for a
     * while when its holder does not serve the queue.
     */
    uint32_t accept_tokens;
    /**
     * Clients per worker, 1..=16777216; default: what RLIMIT_NOFILE leaves. Not DTM_OFF.
     */
    uint32_t max_clients;
    /**
     * Idle time after which a client is closed, in ms; default off.
     */
    uint32_t client_timeout_ms;
    /**
     * Idle time after which a watch is closed, in ms; default off.
     */
    uint32_t watch_timeout_ms;
    /**
     * How long draining clients may take, in ms; default 30,000.
     */
    uint32_t drain_timeout_ms;
    /**
     * From the request to stop (plus the drain time) to SIGKILL, in ms, not DTM_OFF; default
     * 2,000.
     */
    uint32_t kill_grace_ms;
    /**
     * From fork to ready, in ms; default 60,000. Also the time that a reload's
     * new generation has to be ready and up to date.
     */
    uint32_t start_timeout_ms;
    /**
     * Time without progress after which a worker or the controller counts as hung, in ms,
     * or DTM_OFF; default 30,000. It is at work, in one and the same callback, or the
     * kernel says that it is stopped. See dtm_extend(). In a loop of the service's own:
     * inside of dtm_loop_dispatch(), or dtm_loop_fd() is readable and it is not called.
     */
    uint32_t hang_timeout_ms;
    /**
     * First delay before a slot that died early is forked again, in ms, 1..; default 100.
     */
    uint32_t respawn_delay_ms;
    /**
     * Largest such delay, in ms; default 5,000.
     */
    uint32_t respawn_delay_max_ms;
    /**
     * Uptime that clears a slot's record of deaths, in ms; default 30,000.
     */
    uint32_t respawn_reset_ms;
    /**
     * Longest time that forking may stay forbidden, in ms, not DTM_OFF; default 60,000.
     * Fixed at start.
     */
    uint32_t nofork_max_ms;
    /**
     * Period of `worker_tick`, in ms; default off.
     */
    uint32_t worker_tick_ms;
    /**
     * Longest time between two controller passes, in ms; default off: passes
     * happen on events only.
     */
    uint32_t controller_tick_ms;
    /**
     * Most bytes queued for one process whose channel is full, 65536..; default 64 MiB. Of
     * that for the controller, what workers say to it takes at most half. Fixed at start.
     */
    uint32_t channel_queue;
    /**
     * DTM_SIGNALS_*. Fixed at start.
     */
    uint32_t signals;
    /**
     * DTM_ORPHAN_*.
     */
    uint32_t orphan;
    /**
     * DTM_LOG_*; default DTM_LOG_INFO. LIBDTM_LOG=level[,target] in the
     * environment wins.
     */
    uint32_t log_level;
    /**
     * DTM_LOAD_*: what the accept schedule compares; dtm_set_load() goes before.
     */
    uint32_t accept_load;
    /**
     * `stderr` (default), `callback`, `syslog`, `syslog:/path/of/socket`, `off`, or
     * `file:/path`, in which %r becomes the role. Set up anew in every process.
     */
    const char *log_target;
    /**
     * Store of actions: `sqlite:/path`, `etcd://host:port`, or one that
     * dtm_store_register() adds; default none: actions cannot be started. Fixed at start.
     */
    const char *store;
    /**
     * DTM_PASS_*: whom DTM_ACCEPT_PASS gives a client.
     */
    uint32_t accept_pass;
    /**
     * DTM_IDLE_*: what a drain does with idle clients; default DTM_IDLE_CLOSE: workers
     * leave soon, and a client whose next request crosses the close has to send it
     * again. DTM_IDLE_KEEP loses none, if the service ends its answers with a hint to
     * close while dtm_draining().
     */
    uint32_t drain_idle;
    /**
     * Workers of a new generation that must be up to date and healthy before the rest
     * of it is forked, 1..=512, or DTM_OFF: all at once; default 1: a generation that
     * cannot start costs one process and no time for the others. Each part has
     * `start_timeout_ms` of its own.
     */
    uint32_t canary;
    /**
     * Most old generations alive at a time, 1..=16; default 2: one that has drained
     * since the last reload, and one before it whose clients take long. With one more,
     * the oldest closes what it has left, with DTM_CLOSE_DEADLINE, before the new
     * generation opens.
     */
    uint32_t old_generations;
    /**
     * Time that a new binary has to start, be up to date and take over, in ms, not DTM_OFF;
     * default 120,000: twice the default start timeout. Then it is killed, and the old one serves on.
     */
    uint32_t upgrade_timeout_ms;
    /**
     * Deaths within `respawn_window_ms` after which a slot is given up
     * (DTM_WORKER_FAILED), 1.., or DTM_OFF; default 10. The last worker that serves and
     * the controller are never given up.
     */
    uint32_t respawn_budget;
    /**
     * See `respawn_budget`, in ms; default 60,000.
     */
    uint32_t respawn_window_ms;
    /**
     * Replace a worker that has accepted so many clients; default off. Its successor is
     * open before it drains; so for all limits below.
     */
    uint32_t recycle_clients;
    /**
     * Replace a worker after so many requests: a client that was busy and is idle
     * again, see dtm_client_set_busy(); default off.
     */
    uint32_t recycle_requests;
    /**
     * Replace a worker that has been open for so long, in ms; default off.
     */
    uint32_t recycle_age_ms;
    /**
     * Replace a worker that has had no client for so long, in ms; default off.
     */
    uint32_t recycle_idle_ms;
    /**
     * Percent of each of these limits that is added per worker index, so that they do not
     * all end at once, 1..=100, or DTM_OFF; default 10. Never more than 100 in all: from the
     * start again behind that.
     */
    uint32_t recycle_stagger;
    /**
     * No worker is recycled that has been open for less, in ms; default 10,000.
     */
    uint32_t recycle_min_age_ms;
    /**
     * Most workers that are recycled at a time, those that still drain included, 1..=64;
     * default 1.
     */
    uint32_t recycle_parallel;
    /**
     * Recycle a worker that uses more memory (PSS: what it shares with others counts in
     * parts), in MiB; default off.
     */
    uint32_t memory_soft_mib;
    /**
     * Kill a worker that uses more memory, in MiB; default off.
     */
    uint32_t memory_hard_mib;
    /**
     * Least number of workers under automatic scaling, 1..=512; default off: the number
     * is fixed. With `workers_max`, or neither.
     */
    uint32_t workers_min;
    /**
     * Largest number of workers under automatic scaling, 1..=512; default off.
     */
    uint32_t workers_max;
    /**
     * Idle workers (their load is 0) that automatic scaling keeps ready, 1..=512; default 1.
     */
    uint32_t workers_spare;
    /**
     * How often automatic scaling decides, in ms; default 1,000. One worker goes when more
     * were idle 10 times in a row.
     */
    uint32_t scale_period_ms;
    /**
     * 1 (key: yes): dtm_run() goes into the background, in a session of its own, with
     * stdin, stdout and stderr on /dev/null. The process that was started leaves when the
     * first generation is open, with status 0; or with 1 and the reason on stderr, and
     * nothing is left running. Needs another log_target than stderr. Default 0, as
     * systemd and containers want a service in the foreground. Fixed at start.
     */
    uint32_t daemonize;
    /**
     * Titles of the processes in ps, such as `svc: master` and `svc: worker 3 gen 7
     * draining` (3 is the slot); DTM_OFF: none; default on. argv and environ are not
     * touched, and dtm_run() gives the host its own title back. Fixed at start.
     */
    uint32_t process_titles;
    /**
     * Priority of the children (nice value, not an increment), -20..=19; 0: unchanged.
     * The master stays as it is: who supervises must not wait for those whom it supervises.
     */
    int32_t nice;
    /**
     * RLIMIT_NOFILE of all processes while dtm_run() runs; default unchanged. Root may
     * raise it up to the sysctl fs.nr_open, others up to their hard limit. Fixed at start.
     */
    uint32_t rlimit_nofile;
    /**
     * RLIMIT_CORE of the children, in MiB, or DTM_OFF: unlimited; default unchanged.
     */
    uint32_t rlimit_core_mib;
    /**
     * 1: the ready-made console may listen on TCP beyond loopback; needs a password; default
     * 0: what stops a service is not for the network. Fixed at start.
     */
    uint32_t control_remote;
    /**
     * Absolute path of a file that the master keeps locked while it runs and removes at
     * the end; default none. Its first line is the master's pid. It is the lock that
     * counts: a file that a crash has left does no harm, a second instance is refused with
     * -EBUSY, and dtm_signal_running() signals nobody else. Mode 0600, as who can read
     * it could lock it, too. Fixed at start.
     */
    const char *pid_file;
    /**
     * User that the children run as, by name or number; default unchanged. With its
     * supplementary groups. Unix socket files become this user's. The master keeps its privileges: it opens the children's logs
     * for them, and kills who does not leave. Listeners, shared memory and the log are
     * open before the change. Children may dump core (PR_SET_DUMPABLE). Fixed at start.
     */
    const char *user;
    /**
     * Group that the children run as, by name or number; default the user's. Fixed at start.
     */
    const char *group;
    /**
     * Root directory of the children, which start in its `/`; default unchanged. Paths
     * that the children open themselves are below it; config_file, log_target and
     * listeners are not. Fixed at start.
     */
    const char *chroot;
    /**
     * Working directory of all processes while dtm_run() runs; default unchanged, `/` with
     * `daemonize`, so that no mounted file system is kept busy by accident. Fixed at start.
     */
    const char *working_dir;
    /**
     * Working directory of the children instead (below `chroot`): where core files go
     * when /proc/sys/kernel/core_pattern is a plain name. `user` must be able to write there.
     */
    const char *core_dir;
    /**
     * `auto` (worker i on the i-th CPU that this process may use), lists such as
     * `0-3;4,5` (worker 0; worker 1, then from the start again) or `off`, the default, as
     * the kernel moves workers away from CPUs that others use. For workers only.
     */
    const char *cpu_affinity;
    /**
     * Capabilities that the children have, such as `cap_net_bind_service, cap_net_raw`, or
     * `none`; also with another `user`, and at most these for programs that they start.
     * Default: with another `user` none, without unchanged. Fixed at start.
     */
    const char *capabilities;
    /**
     * umask of the children, octal, such as `027`; default unchanged.
     */
    const char *umask;
    /**
     * Users and groups (`@wheel`) that are operators on the ready-made console's Unix
     * socket, as in `root,alice,@wheel`; default root and the service's own user, who could
     * stop the service anyway. Everybody else who may connect only looks.
     */
    const char *control_operators;
    /**
     * Password of the ready-made console (AUTH), by which anybody becomes an operator. Over
     * TCP nothing is answered before it; without a password TCP clients only look. Default
     * none.
     */
    const char *control_password;
    /**
     * Address for /metrics (Prometheus), /healthz and /readyz over HTTP, as for
     * dtm_listen(); default none. It only tells: no password, so choose who reaches it.
     * Fixed at start.
     */
    const char *metrics_listen;
    /**
     * Name of this host in a fleet; default the machine's. Fixed at start.
     */
    const char *host;
    /**
     * Most connections to the ready-made console, 1..=10000, not DTM_OFF; default 64: more than people
     * and monitors need, few enough that their buffers stay below 100 MiB. One more is kept
     * for root and the service's own user.
     */
    uint32_t control_clients;
    /**
     * Idle time after which a console connection is closed, in ms, or DTM_OFF; default
     * 600,000: who forgot a terminal comes back to it within that time, or not at all.
     * Subscribers and those who wait for an answer are not idle.
     */
    uint32_t control_timeout_ms;
    /**
     * Longest time that one call of the store may take, in ms, not DTM_OFF; default 1,000.
     */
    uint32_t store_timeout_ms;
    /**
     * Lease of a host in a fleet, in ms; default 10,000.
     */
    uint32_t fleet_lease_ms;
    /**
     * Hosts that a fleet-wide action may work on at a time, 1..; default 1.
     */
    uint32_t fleet_unavailable;
    /**
     * Reserved, 0.
     */
    uint32_t reserved;
} dtm_config_t;

/**
 * Master, and controller after a successful load in the master: load and check
 * the service's own configuration. `path` is the `config_file` of dtm_config_t
 * or NULL. 0, or a negative code: then nothing that runs is changed; the same for a
 * positive one, such as an index of dtm_listen(). Keep what was loaded before until
 * `config_revert` can no longer come (see there).
 */
typedef int32_t (*dtm_config_load_cb)(dtm_t *rt, const char *path, void *user_data);

/**
 * Process-wide notification without further arguments.
 */
typedef void (*dtm_notify_cb)(dtm_t *rt, void *user_data);

/**
 * A life event, for the `event` callback in the master.
 */
typedef struct {
    /**
     * sizeof(dtm_event_t), set by libdtm.
     */
    size_t size;
    /**
     * DTM_EVENT_*.
     */
    uint32_t kind;
    /**
     * DTM_ROLE_* of the child; 0 for events of the runtime itself.
     */
    uint32_t role;
    /**
     * Index in the process table.
     */
    uint32_t slot;
    /**
     * Generation.
     */
    uint32_t generation;
    /**
     * Unique id of the fork.
     */
    uint64_t spawn;
    /**
     * Process id.
     */
    int32_t pid;
    /**
     * Wait status (DTM_EVENT_EXIT) or result code (RELOAD, CONFIG).
     */
    int32_t status;
    /**
     * One line for people; valid during the callback.
     */
    const char *reason;
} dtm_event_t;

/**
 * Master: a life event happened. Must return quickly.
 */
typedef void (*dtm_event_cb)(dtm_t *rt, const dtm_event_t *event, void *user_data);

/**
 * Any process: one log line without line end, for `log_target = callback`.
 * Must not call libdtm, fork or block.
 */
typedef void (*dtm_log_cb)(uint32_t level, const char *line, size_t len, void *user_data);

/**
 * Process-wide callback: 0, or a negative code: it has failed. Of `worker_main`: the exit
 * status.
 */
typedef int32_t (*dtm_init_cb)(dtm_t *rt, void *user_data);

/**
 * Worker: a message from the controller. 0: taken. Negative: refused; before
 * the gate has opened this keeps it shut and the controller tries again.
 */
typedef int32_t (*dtm_message_cb)(dtm_t *rt, const void *data, size_t len, void *user_data);

/**
 * Worker or controller: a client was accepted. Returns its first interest
 * (DTM_READ, or DTM_WRITE where the server speaks first), DTM_TAKEN, or a
 * negative code to refuse it: it is closed and the close callback runs.
 */
typedef int32_t (*dtm_client_open_cb)(dtm_t *rt, dtm_client_t *client, void *user_data);

/**
 * Worker or controller: the client's state machine. `events` says why: DTM_READ,
 * DTM_WRITE, DTM_HUP, DTM_WAKE, DTM_DRAIN. Returns the next interest, DTM_WAIT,
 * DTM_KEEP, DTM_DONE, or a negative code to close it with DTM_CLOSE_ERROR.
 */
typedef int32_t (*dtm_client_step_cb)(dtm_t *rt,
                                      dtm_client_t *client,
                                      uint32_t events,
                                      void *user_data);

/**
 * Worker or controller: the end of a client, exactly once for each that was
 * opened and not released, with DTM_CLOSE_*. The fd is still open here and closed
 * afterwards, see dtm_client_release().
 */
typedef void (*dtm_client_close_cb)(dtm_t *rt,
                                    dtm_client_t *client,
                                    int32_t reason,
                                    void *user_data);

/**
 * One worker, as the controller sees it; or a slot that waits for one.
 */
typedef struct {
    /**
     * sizeof(dtm_worker_t), set by libdtm.
     */
    size_t size;
    /**
     * Unique id of the fork: the address for dtm_send(). A dead worker's id
     * never means another process. 0: the slot has no process now.
     */
    uint64_t spawn;
    /**
     * Index in the process table.
     */
    uint32_t slot;
    /**
     * Generation.
     */
    uint32_t generation;
    /**
     * Position among the workers of the generation, from 0.
     */
    uint32_t index;
    /**
     * DTM_WORKER_*.
     */
    uint32_t state;
    /**
     * Process id; 0 when there is none.
     */
    int32_t pid;
    /**
     * Open clients, as the worker reports them; like `load` and `accepted`, 0 without a
     * process.
     */
    uint32_t clients;
    /**
     * How often the update of this worker was tried before, by this controller.
     */
    uint32_t attempt;
    /**
     * Its load, as the accept schedule sees it.
     */
    uint32_t load;
    /**
     * Clients it has accepted.
     */
    uint64_t accepted;
    /**
     * DTM_CLASS_*: how the slot stands to what the master wants of it.
     */
    uint32_t slot_class;
    /**
     * How the slot's last process ended, DTM_REASON_*; 0: none has yet.
     */
    uint32_t reason;
    /**
     * The wait status of that process.
     */
    int32_t status;
    /**
     * Milliseconds until the next fork in a slot without a process; DTM_OFF: none is
     * planned (DTM_WORKER_FAILED), or there is a process.
     */
    uint32_t fork_ms;
    /**
     * Milliseconds for which the slot has stood so.
     */
    uint64_t since_ms;
    /**
     * Processes forked in this slot since dtm_run(). This and all that follow belong to
     * the slot: they never fall, whoever lives there.
     */
    uint32_t forks;
    /**
     * Those of them that ended although nobody had asked them to.
     */
    uint32_t deaths;
    /**
     * ... by a signal that the master did not send: a crash.
     */
    uint32_t crashes;
    /**
     * Killed because they did not start, go on or leave in time.
     */
    uint32_t timeouts;
    /**
     * Told to leave because their generation or place was not wanted any more.
     */
    uint32_t disallowed;
    /**
     * Told to leave because they were recycled.
     */
    uint32_t recycled;
    /**
     * Clients accepted in this slot.
     */
    uint64_t total_accepted;
    /**
     * Requests served in this slot: how often a client became idle that was busy, see
     * dtm_client_set_busy().
     */
    uint64_t total_requests;
} dtm_worker_t;

/**
 * Controller: bring this worker to the newest state with dtm_send(). 0: it is
 * up to date; its gate opens when it has handled every message sent here and
 * refused none. -EAGAIN: call again later. Other negative: failed, tried again
 * with back-off. A controller that was restarted is called for workers that
 * are open already, too (`worker->state`): they stay open meanwhile.
 */
typedef int32_t (*dtm_update_cb)(dtm_t *rt, const dtm_worker_t *worker, void *user_data);

/**
 * Controller: a worker sent data with dtm_answer() (`status` 0), or refused a
 * message (`status` is its code, `data` is empty). If it died meanwhile,
 * `worker->state` is DTM_WORKER_DEAD and `worker->slot` is 0xffffffff.
 */
typedef void (*dtm_answer_cb)(dtm_t *rt,
                              const dtm_worker_t *worker,
                              int32_t status,
                              const void *data,
                              size_t len,
                              void *user_data);

/**
 * Everything a service can be asked or told. Copied by dtm_new(); the
 * functions must stay callable as long as the runtime exists. NULL members are
 * skipped. `client_step` is the only one that a service must have, unless it
 * has a `worker_main`.
 */
typedef struct {
    /**
     * sizeof(dtm_callbacks_t). DTM_CALLBACKS_INIT sets it.
     */
    size_t size;
    /**
     * Master and controller: load the service's configuration (at start, on
     * loadconf, before a reload). In the master it may call dtm_listen() and
     * dtm_unlisten(); dtm_self() tells which of the two this is.
     */
    dtm_config_load_cb config_load;
    /**
     * Master and controller: the reload for which `config_load` ran was
     * cancelled, or (master only) the load was refused with DTM_ETHREADS: put back what
     * was there before, so that replacements of the old generation's workers get it.
     * Never called after DTM_EVENT_RELOAD.
     */
    dtm_notify_cb config_revert;
    /**
     * Master: a life event.
     */
    dtm_event_cb event;
    /**
     * Any process: a log line.
     */
    dtm_log_cb log;
    /**
     * Worker: after fork, before the gate. Open databases, start threads, seed
     * random numbers here, not before. Change the user here, not later: the kernel forgets
     * then that the worker is to end with the master, and is told again when this returns.
     * Failure: DTM_EXIT_INIT.
     */
    dtm_init_cb worker_init;
    /**
     * Worker: last callback before the process ends in order.
     */
    dtm_notify_cb worker_exit;
    /**
     * Worker: a message from the controller, at the gate or later.
     */
    dtm_message_cb worker_message;
    /**
     * Worker: every `worker_tick_ms`.
     */
    dtm_notify_cb worker_tick;
    /**
     * Worker: a drain began.
     */
    dtm_notify_cb worker_drain;
    /**
     * Worker: before the gate opens: is everything well? Negative: not opened.
     */
    dtm_init_cb worker_health;
    /**
     * Worker: the service runs its own event loop here, see dtm_loop_fd().
     * The process leaves when it returns.
     */
    dtm_init_cb worker_main;
    /**
     * Worker: a client was accepted. NULL: first interest DTM_READ.
     */
    dtm_client_open_cb client_open;
    /**
     * Worker: a client goes on.
     */
    dtm_client_step_cb client_step;
    /**
     * Worker: a client ends.
     */
    dtm_client_close_cb client_close;
    /**
     * Controller: after fork, before it holds the control lock.
     */
    dtm_init_cb controller_init;
    /**
     * Controller: last callback before the process ends in order.
     */
    dtm_notify_cb controller_exit;
    /**
     * Controller: once per pass, with a fresh worker list; see `controller_tick_ms`.
     */
    dtm_notify_cb controller_pass;
    /**
     * Controller: bring a new worker up to date. NULL: every worker is.
     */
    dtm_update_cb update_new_worker;
    /**
     * Controller: a worker answered or refused.
     */
    dtm_answer_cb worker_answer;
    /**
     * Controller: a client of the control listener was accepted.
     */
    dtm_client_open_cb control_open;
    /**
     * Controller: a control client goes on. NULL: the ready-made console, which
     * redis-cli and every Redis client talk to; `control_open` and `control_close` are
     * not called then. See docs/console.md.
     */
    dtm_client_step_cb control_step;
    /**
     * Controller: a control client ends.
     */
    dtm_client_close_cb control_close;
} dtm_callbacks_t;

/**
 * A listening socket.
 */
typedef struct {
    /**
     * sizeof(dtm_listen_t). DTM_LISTEN_INIT sets it.
     */
    size_t size;
    /**
     * Reserved flags, 0.
     */
    uint64_t flags;
    /**
     * `127.0.0.1:7000`, `[::1]:7000`, `*:7000` (all IPv4 and IPv6), port 0 for
     * any free port, `unix:/path`, `unix:@abstract`, or `systemd:NAME`, the socket that
     * systemd passes under this name. Copied.
     */
    const char *address;
    /**
     * The service's own mark, see dtm_client_tag().
     */
    uint64_t tag;
    /**
     * Length of the kernel's accept queue; 0: 511, cut by net.core.somaxconn.
     */
    uint32_t backlog;
    /**
     * Permission bits of a Unix socket file; 0: 0666 for services, 0600 for control.
     */
    uint32_t mode;
} dtm_listen_t;

/**
 * Main function of a helper process; the result (0..=255) is its exit status. If it
 * changes the user, the kernel forgets that it is to end with the master, until
 * dtm_loop_dispatch() is called the next time.
 */
typedef int32_t (*dtm_func_main_cb)(dtm_t *rt, void *data);

/**
 * A helper process got a message. 0: taken. Negative: refused.
 */
typedef int32_t (*dtm_func_message_cb)(dtm_t *rt, const void *msg, size_t len, void *data);

/**
 * A helper process.
 */
typedef struct {
    /**
     * sizeof(dtm_func_t). DTM_FUNC_INIT sets it.
     */
    size_t size;
    /**
     * Name for logs. Copied.
     */
    const char *name;
    /**
     * Copies to run; 0: 1.
     */
    uint32_t count;
    /**
     * DTM_RESTART_*.
     */
    uint32_t restart;
    /**
     * DTM_PHASE_*.
     */
    uint32_t phase;
    /**
     * Milliseconds to wait before each restart (PostgreSQL's `bgw_restart_time`); 0: by the
     * back-off of workers.
     */
    uint32_t restart_ms;
    /**
     * The process's main function; its result is the exit status. NULL is an
     * error. It should return soon after dtm_loop_dispatch() answers DTM_EGONE.
     */
    dtm_func_main_cb main;
    /**
     * Handed to `main` and `message`.
     */
    void *data;
    /**
     * A message from the controller arrived; may be NULL.
     */
    dtm_func_message_cb message;
} dtm_func_t;

/**
 * How dtm_run() ended.
 */
typedef struct {
    /**
     * sizeof(dtm_result_t), set by libdtm.
     */
    size_t size;
    /**
     * DTM_END_*.
     */
    uint32_t reason;
    /**
     * The signal that asked for the end; 0 when a command did.
     */
    int32_t signal;
    /**
     * Children forked in all.
     */
    uint64_t forks;
    /**
     * Children that ended although nobody had asked them to.
     */
    uint64_t deaths;
    /**
     * Children that had to be killed at a deadline.
     */
    uint64_t killed;
    /**
     * Reloads that were carried out.
     */
    uint64_t reloads;
    /**
     * Reloads that failed; the service went on as it was.
     */
    uint64_t failed_reloads;
    /**
     * Clients that were still busy at a drain's deadline, and closed; also those of a worker
     * that had to be killed then.
     */
    uint64_t late_clients;
} dtm_result_t;

/**
 * Who the calling process is. Filled by dtm_self().
 */
typedef struct {
    /**
     * sizeof(dtm_self_t), set by libdtm.
     */
    size_t size;
    /**
     * DTM_ROLE_*.
     */
    uint32_t role;
    /**
     * Index in the process table; 0xffffffff in host and master.
     */
    uint32_t slot;
    /**
     * The generation this process belongs to; counts reloads from 1. 0 for
     * host, master and controller, which belong to none.
     */
    uint32_t generation;
    /**
     * Position among the workers of the generation, or among the copies of
     * the func, from 0.
     */
    uint32_t index;
    /**
     * Unique id of this fork, from 1, never reused in the life of a runtime.
     */
    uint64_t spawn;
    /**
     * Process id.
     */
    int32_t pid;
    /**
     * Process id of the master.
     */
    int32_t master_pid;
    /**
     * 1 from the moment this process was told to drain or stop, else 0.
     */
    uint32_t draining;
    /**
     * Open clients of this process.
     */
    uint32_t clients;
} dtm_self_t;

/**
 * The step of a watch, like a client's.
 */
typedef int32_t (*dtm_watch_step_cb)(dtm_t *rt, dtm_watch_t *watch, uint32_t events, void *data);

/**
 * The end of a watch, exactly once, with DTM_CLOSE_*. The fd is closed afterwards.
 */
typedef void (*dtm_watch_close_cb)(dtm_t *rt, dtm_watch_t *watch, int32_t reason, void *data);

/**
 * A timer fired.
 */
typedef void (*dtm_timer_cb)(dtm_t *rt, dtm_timer_t *timer, void *data);

/**
 * A command for the master.
 */
typedef struct {
    /**
     * sizeof(dtm_command_t). DTM_COMMAND_INIT sets it.
     */
    size_t size;
    /**
     * DTM_CMD_*.
     */
    uint32_t kind;
    /**
     * Reserved, 0.
     */
    uint32_t reserved;
    /**
     * The command's argument, see DTM_CMD_*; otherwise 0.
     */
    uint64_t arg;
} dtm_command_t;

/**
 * Controller: the answer to a command, or to what was asked of actions. `status`: DTM_OK, or why not;
 * `detail` is one line for people. Exactly once per command; not called when
 * the controller itself ends first.
 */
typedef void (*dtm_command_cb)(dtm_t *rt,
                               uint64_t id,
                               int32_t status,
                               const char *detail,
                               void *data);

/**
 * The accept schedule of one listener, or of all together.
 */
typedef struct {
    /**
     * sizeof(dtm_accept_t), set by libdtm.
     */
    size_t size;
    /**
     * The DTM_ACCEPT_* that is wanted.
     */
    uint32_t wanted;
    /**
     * The DTM_ACCEPT_* in force; of all: the first listener's.
     */
    uint32_t mode;
    /**
     * Workers that are open for business.
     */
    uint32_t workers;
    /**
     * Those of them that take clients now: not full, draining, stopped or hung.
     */
    uint32_t willing;
    /**
     * Sockets that listen.
     */
    uint32_t queues;
    /**
     * Accept tokens of each token queue, those that were added for busy workers included.
     */
    uint32_t tokens;
    /**
     * Connections that waited to be accepted at the master's last look; it looks
     * when nobody takes them.
     */
    uint32_t depth;
    /**
     * How long they have waited for a worker that takes clients, in ms; 0: they do not.
     */
    uint32_t waiting_ms;
    /**
     * Least and largest load of the open workers.
     */
    uint32_t load_min;
    /**
     * See load_min.
     */
    uint32_t load_max;
    /**
     * Largest load by the mean, in thousandths: 1000 is perfectly even.
     */
    uint32_t skew;
    /**
     * Reserved, 0.
     */
    uint32_t reserved;
    /**
     * Clients accepted, since dtm_run().
     */
    uint64_t accepted;
    /**
     * Tokens handed from one worker to another.
     */
    uint64_t moves;
    /**
     * Connections that the master took from a worker's queue, because that worker
     * did not, and passed to another; and all that DTM_ACCEPT_PASS passed.
     */
    uint64_t passed;
    /**
     * Passed connections that a worker declined or left behind, passed again.
     */
    uint64_t repassed;
    /**
     * Tokens added, or the lock taken away, because nobody served a queue.
     */
    uint64_t rescues;
    /**
     * Wake-ups that found no connection.
     */
    uint64_t empty;
    /**
     * Failed accepts: out of descriptors, connections that were gone, and the like.
     */
    uint64_t errors;
    /**
     * Changes of the mode on the running service.
     */
    uint64_t switches;
    /**
     * DTM_ACCEPT_LOCK: workers that gave the lock back after it had been taken from them.
     */
    uint64_t late;
    /**
     * Connections that the kernel dropped because the queue was full (`backlog` of
     * dtm_listen_t, cut by net.core.somaxconn), at all listeners together; a client that
     * tries again in vain counts again. The master looks 0.2 s after it has seen that clients
     * wait. 0 where the kernel does not tell: without /proc, and for sockets of another
     * network namespace. A Unix listener drops none: connect() answers EAGAIN, or waits.
     */
    uint64_t drops;
} dtm_accept_t;

/**
 * What is kept of a process that crashed or had to be killed. Filled by dtm_reports().
 * All texts are terminated, and empty when nothing is known.
 */
typedef struct {
    /**
     * sizeof(dtm_report_t), set by libdtm.
     */
    size_t size;
    /**
     * Reports are numbered from 1, since dtm_run().
     */
    uint64_t number;
    /**
     * When: seconds since 1970, UTC.
     */
    int64_t time;
    /**
     * DTM_REPORT_*.
     */
    uint32_t kind;
    /**
     * DTM_ROLE_*.
     */
    uint32_t role;
    /**
     * Index in the process table.
     */
    uint32_t slot;
    /**
     * Generation.
     */
    uint32_t generation;
    /**
     * Unique id of the fork.
     */
    uint64_t spawn;
    /**
     * Process id.
     */
    int32_t pid;
    /**
     * The signal by which it ended, or was told to; 0: it lives still.
     */
    int32_t signal;
    /**
     * `si_code` of that signal, if the process could tell.
     */
    int32_t code;
    /**
     * 1: a core was dumped.
     */
    int32_t core;
    /**
     * Fault address of a crash.
     */
    uint64_t address;
    /**
     * For how long it had made no progress, in ms (DTM_REPORT_HANG and others that are
     * no crash).
     */
    uint64_t stuck_ms;
    /**
     * dtm_client_id() of the client whose callback was running, or ran last; 0: none.
     */
    uint64_t client;
    /**
     * Its listener's tag.
     */
    uint64_t tag;
    /**
     * Its descriptor, or the watch's; -1: none.
     */
    int32_t fd;
    /**
     * Its listener; -1: not known.
     */
    int32_t listener;
    /**
     * The callback that was running, or ran last: `client_step`, `tick`, ...
     */
    char step[32];
    /**
     * What dtm_client_set_state() said of the client.
     */
    char label[48];
    /**
     * The client's address.
     */
    char peer[64];
    /**
     * Of /proc/PID/status and stat, before it was killed: state, threads, memory, signals.
     */
    char process[128];
    /**
     * Where it waited in the kernel.
     */
    char wchan[64];
    /**
     * Number, arguments, stack and instruction pointer of the system call it was in.
     */
    char syscall[128];
    /**
     * Its own stack, the innermost frame first, one a line.
     */
    char stack[3072];
} dtm_report_t;

/**
 * A byte string with a length. Not terminated.
 */
typedef struct {
    /**
     * First byte; may be NULL when `len` is 0.
     */
    const char *ptr;
    /**
     * Length in bytes.
     */
    size_t len;
} dtm_str_t;

/**
 * Handler of a console command; argv[0] is the name. Fills the reply.
 */
typedef int32_t (*dtm_console_cb)(dtm_t *rt,
                                  dtm_reply_t *reply,
                                  size_t argc,
                                  const dtm_str_t *argv,
                                  void *data);

/**
 * A command of the service's own on the ready-made console.
 */
typedef struct {
    /**
     * sizeof(dtm_console_t). DTM_CONSOLE_INIT sets it.
     */
    size_t size;
    /**
     * Name, case-insensitive. Copied.
     */
    const char *name;
    /**
     * As in Redis: number of arguments with the name; negative: at least so many.
     */
    int32_t arity;
    /**
     * 0: any observer may call it; 1: operators only.
     */
    uint32_t operator_only;
    /**
     * One line of help. Copied.
     */
    const char *help;
    /**
     * The handler. NULL is an error.
     */
    dtm_console_cb handler;
    /**
     * Handed to the handler.
     */
    void *data;
} dtm_console_t;

/**
 * What an action phase is told.
 */
typedef struct {
    /**
     * sizeof(dtm_phase_t), set by libdtm.
     */
    size_t size;
    /**
     * The action instance.
     */
    uint64_t id;
    /**
     * The action's name.
     */
    const char *name;
    /**
     * The phase, from 0.
     */
    uint32_t phase;
    /**
     * How often this step was begun, from 1; stored before the callback runs. Above 1: an
     * earlier attempt may have taken effect outside of the transaction, also one whose result
     * could not be stored.
     */
    uint32_t attempt;
    /**
     * Names the step: the same in all its attempts, and never that of another step. For
     * idempotent effects elsewhere. At most 63 bytes, letters, digits and `-`.
     */
    dtm_str_t token;
    /**
     * What the starter gave.
     */
    dtm_str_t args;
    /**
     * The store's transaction: what is done through it takes effect exactly once,
     * together with the transition to the next step.
     */
    dtm_txn_t *txn;
    /**
     * Counts the transitions of this instance, from 0. A phase that is entered again, by
     * a jump or by DTM_ACTION_AGAIN, is another step.
     */
    uint64_t step;
    /**
     * 1: the wait before this step ended by its limit, not by what was waited for. 0 again
     * when it was parked and resumed since: what came too late may be there by now.
     */
    uint32_t timed_out;
    /**
     * How often this attempt was resumed by dtm_action_wake() or by the limit of its wait.
     */
    uint32_t resumed;
    /**
     * When resumed: what dtm_action_wake() said; -ETIMEDOUT: the limit.
     */
    int32_t status;
    /**
     * In `failed`: the code that the last attempt ended with; otherwise 0.
     */
    int32_t cause;
} dtm_phase_t;

/**
 * A phase of an action: DTM_ACTION_*, or a negative code: this attempt has failed and
 * is repeated later, at most `attempts` times. See dtm_action_register().
 */
typedef int32_t (*dtm_phase_cb)(dtm_t *rt, const dtm_phase_t *phase, void *data);

/**
 * A durable action.
 */
typedef struct {
    /**
     * sizeof(dtm_action_t). DTM_ACTION_INIT sets it.
     */
    size_t size;
    /**
     * Name: 1..32 letters, digits, `.`, `_` or `-`. `dtm-` is libdtm's. Copied.
     */
    const char *name;
    /**
     * Number of phases, at least 1.
     */
    uint32_t phases;
    /**
     * Attempts of a step, failed ones and those that a controller died in, before the
     * instance is parked; 0: 5. That many outlive a restart or two, and an operator
     * still hears of a lasting fault within a minute.
     */
    uint32_t attempts;
    /**
     * Runs first, as a step of its own; may be NULL.
     */
    dtm_phase_cb preaction;
    /**
     * Runs one phase. NULL is an error.
     */
    dtm_phase_cb action;
    /**
     * Runs, as a step of its own, when the instance is about to be parked or has said
     * DTM_ACTION_FAIL; may jump to a phase that puts things right. May be NULL.
     */
    dtm_phase_cb failed;
    /**
     * Handed to the callbacks.
     */
    void *data;
} dtm_action_t;

/**
 * One instance of an action, for dtm_action_list().
 */
typedef struct {
    /**
     * sizeof(dtm_action_info_t), set by libdtm.
     */
    size_t size;
    /**
     * The instance.
     */
    uint64_t id;
    /**
     * Its action's name; valid until the next call of dtm_action_list().
     */
    const char *name;
    /**
     * The phase it stands at.
     */
    uint32_t phase;
    /**
     * Attempts of that step so far.
     */
    uint32_t attempt;
    /**
     * DTM_INSTANCE_*.
     */
    uint32_t state;
    /**
     * DTM_WAIT_* that it waits for, while it is DTM_INSTANCE_WAITING.
     */
    uint32_t wait;
    /**
     * Transitions so far.
     */
    uint64_t step;
    /**
     * When it was started, CLOCK_REALTIME in ms.
     */
    uint64_t started;
    /**
     * When its stored state changed last, CLOCK_REALTIME in ms.
     */
    uint64_t changed;
    /**
     * One line for people about the state; valid until the next call of dtm_action_list().
     */
    const char *text;
} dtm_action_info_t;

/**
 * Controller: what dtm_store_get() has found. `status`: DTM_OK, or why there is no value.
 * Exactly once per call that returned DTM_OK; not called when the controller itself ends
 * first.
 */
typedef void (*dtm_value_cb)(dtm_t *rt, int32_t status, dtm_str_t value, void *data);

/**
 * Store: connect. `data` is dtm_store_t.data; `err` takes one line for people.
 */
typedef int32_t (*dtm_store_open_cb)(void *data,
                                     const char *uri,
                                     void **ret_store,
                                     char *err,
                                     size_t err_len,
                                     uint32_t timeout_ms);

/**
 * Store: disconnect.
 */
typedef void (*dtm_store_close_cb)(void *store);

/**
 * Store: one line for people about the last failure, or NULL; valid until the next call.
 */
typedef const char *(*dtm_store_error_cb)(void *store);

/**
 * Store: liveness probe; also the end of a transaction without a write.
 */
typedef int32_t (*dtm_store_ping_cb)(void *store, uint32_t timeout_ms);

/**
 * Takes one key that a store has found, its value and version; non-zero ends the walk.
 */
typedef int32_t (*dtm_store_sink_cb)(void *sink,
                                     dtm_str_t key,
                                     dtm_str_t value,
                                     uint64_t version);

/**
 * Store: read one key.
 */
typedef int32_t (*dtm_store_get_cb)(void *store,
                                    dtm_str_t key,
                                    dtm_store_sink_cb emit,
                                    void *sink,
                                    uint32_t timeout_ms);

/**
 * Store: at most `limit` keys that begin with `prefix`, in the order of their bytes,
 * beginning behind `after` (empty: with the first).
 */
typedef int32_t (*dtm_store_list_cb)(void *store,
                                     dtm_str_t prefix,
                                     dtm_str_t after,
                                     size_t limit,
                                     dtm_store_sink_cb emit,
                                     void *sink,
                                     uint32_t timeout_ms);

/**
 * One change that is asked of a store. Of fixed layout.
 */
typedef struct {
    /**
     * At most 256 bytes, printable.
     */
    dtm_str_t key;
    /**
     * The new value, for DTM_WRITE_PUT.
     */
    dtm_str_t value;
    /**
     * The version that the key must have; 0: it must not exist; DTM_VERSION_ANY.
     */
    uint64_t expected;
    /**
     * DTM_WRITE_*.
     */
    uint32_t change;
    /**
     * Reserved, 0.
     */
    uint32_t reserved;
} dtm_write_t;

/**
 * Store: all `count` writes or none. A version is above every earlier one of the store.
 */
typedef int32_t (*dtm_store_write_cb)(void *store,
                                      const dtm_write_t *writes,
                                      size_t count,
                                      uint64_t *ret_version,
                                      uint32_t timeout_ms);

/**
 * Store: begin a transaction, which ends with the next `write` or `rollback`.
 */
typedef int32_t (*dtm_store_begin_cb)(void *store, void **ret_native, uint32_t timeout_ms);

/**
 * Store: acquire a name for `ttl_ms`, or renew it. 0: it is `owner`'s, by the store's
 * own clock, and nobody else's before that time is over; DTM_EREFUSED: another has it.
 */
typedef int32_t (*dtm_store_lease_cb)(void *store,
                                      dtm_str_t name,
                                      dtm_str_t owner,
                                      uint32_t ttl_ms,
                                      uint32_t timeout_ms);

/**
 * Store: give a lease back, if `owner` has it.
 */
typedef int32_t (*dtm_store_unlease_cb)(void *store,
                                        dtm_str_t name,
                                        dtm_str_t owner,
                                        uint32_t timeout_ms);

/**
 * Store: go on with the call that answered DTM_STORE_AGAIN: without waiting for anything.
 * DTM_STORE_AGAIN: it goes on when `*ret_fd` is ready for `*ret_interest`, DTM_READ and
 * DTM_WRITE; otherwise the call's result.
 */
typedef int32_t (*dtm_store_step_cb)(void *store, int32_t *ret_fd, uint32_t *ret_interest);

/**
 * A database for actions, under a scheme of its own. Every call comes from the
 * controller's only thread, after its fork, and must not fork, nor leave signal handlers
 * or timers behind. Results: 0; -ENOENT (no such key); DTM_EGONE (a version is another:
 * nothing was written); -EBUSY (somebody else holds it); -ENOSPC; -EROFS; -EBADMSG
 * (damaged); DTM_ECONFIG (not a store of this version, or a wrong URI); DTM_EFAILED (a
 * write may have happened or not: libdtm connects anew and reads before it decides); any
 * other: it cannot be reached.
 *
 * A database elsewhere must not hold the controller up. Where a call would have to wait,
 * it answers DTM_STORE_AGAIN, and libdtm calls `step`: at once, and then whenever the
 * descriptor that it named is ready, until it answers something else, which is the call's
 * result. Meanwhile operators are answered and workers served; what the call was given
 * (texts, writes, variables, sink) stays as it is, and no other call but `close` is made.
 * A call that has no result after `timeout_ms` is given up: `close` follows, which must
 * not wait either, and must end what is under way. A store without `step` answers at
 * once, such as from memory or a local disk; `timeout_ms` is its own to keep.
 */
typedef struct {
    /**
     * sizeof(dtm_store_t). DTM_STORE_INIT sets it.
     */
    size_t size;
    /**
     * Scheme by which a `store` URI chooses this store, such as "mydb". Copied.
     */
    const char *scheme;
    /**
     * Handed to `open`.
     */
    void *data;
    /**
     * Connect.
     */
    dtm_store_open_cb open;
    /**
     * Disconnect.
     */
    dtm_store_close_cb close;
    /**
     * What the last failure was; may be NULL.
     */
    dtm_store_error_cb error;
    /**
     * Liveness probe.
     */
    dtm_store_ping_cb ping;
    /**
     * Read one key and its version.
     */
    dtm_store_get_cb get;
    /**
     * Walk keys with a prefix.
     */
    dtm_store_list_cb list;
    /**
     * Compare versions and change, all or nothing.
     */
    dtm_store_write_cb write;
    /**
     * Begin a transaction, whose handle the service's phases get by dtm_txn_native(): what
     * they do with it commits with the next `write`. NULL: there is none.
     */
    dtm_store_begin_cb begin;
    /**
     * End a transaction without its effects; needed with `begin`.
     */
    dtm_store_ping_cb rollback;
    /**
     * Acquire or renew a lease; NULL for a store of one host.
     */
    dtm_store_lease_cb lease;
    /**
     * Give a lease back; needed with `lease`.
     */
    dtm_store_unlease_cb unlease;
    /**
     * Go on with a call; NULL: none of them ever answers DTM_STORE_AGAIN.
     */
    dtm_store_step_cb step;
} dtm_store_t;

#ifdef __cplusplus
extern "C" {
#endif // __cplusplus

/**
 * The library's version, such as "0.1.0".
 *
 * Process: any
 * Thread: any
 * Signal: safe
 * Fork: valid everywhere
 * Owns: static string
 */
DTM_API const char *dtm_version(void);

/**
 * The library's DTM_ABI_VERSION. A program may compare it with the header's.
 *
 * Process: any
 * Thread: any
 * Signal: safe
 * Fork: valid everywhere
 * Owns: nothing changes hands
 */
DTM_API uint32_t dtm_abi_version(void);

/**
 * One line for people about a result code: libdtm's own, or a negated errno.
 * Unknown codes give "unknown error".
 *
 * Process: any
 * Thread: any
 * Signal: safe
 * Fork: valid everywhere
 * Owns: static string
 */
DTM_API const char *dtm_strerror(int32_t code);

/**
 * The name of a result code, such as "DTM_ECONFIG" or "EAGAIN"; "UNKNOWN" otherwise.
 *
 * Process: any
 * Thread: any
 * Signal: safe
 * Fork: valid everywhere
 * Owns: static string
 */
DTM_API const char *dtm_errname(int32_t code);

/**
 * What went wrong in the last failed call of this thread: what, where, and how to
 * mend it. Empty when nothing failed yet.
 *
 * Process: any
 * Thread: any
 * Signal: unsafe
 * Fork: valid everywhere
 * Owns: library; valid until the next failed call in this thread
 */
DTM_API const char *dtm_last_error(void);

/**
 * Zero a config struct and set its size, for callers that cannot use
 * DTM_CONFIG_INIT. `size` is sizeof(dtm_config_t) of the caller's header.
 *
 * Process: any
 * Thread: any
 * Signal: safe
 * Fork: valid everywhere
 * Owns: nothing changes hands
 */
DTM_API int32_t dtm_config_init(dtm_config_t *config, size_t size);

/**
 * The same for a callback table.
 *
 * Process: any
 * Thread: any
 * Signal: safe
 * Fork: valid everywhere
 * Owns: nothing changes hands
 */
DTM_API int32_t dtm_callbacks_init(dtm_callbacks_t *callbacks, size_t size);

/**
 * Create the runtime: check every value, read the `[dtm]` section of the config
 * file, open the log. Nothing is forked, no signal handler is installed.
 *
 * DTM_EABI, DTM_EINVAL, DTM_ECONFIG (a wrong value or file, named by
 * dtm_last_error()), DTM_ENOTSUP, DTM_ESTATE (this process has a runtime already),
 * -ENOENT or -EACCES (config file). `*ret_rt` is written only on success.
 *
 * Process: host
 * Thread: owner
 * Signal: unsafe
 * Fork: children of the service cannot use the handle
 * Owns: the caller owns *ret_rt and gives it back with dtm_free(); config and callbacks are copied, user_data is only passed on
 */
DTM_API
int32_t dtm_new(const dtm_config_t *config,
                const dtm_callbacks_t *callbacks,
                void *user_data,
                dtm_t **ret_rt);

/**
 * Destroy the runtime. NULL is allowed. Closes the listeners and removes the Unix
 * socket files this process bound. Does nothing in any other process, nor
 * while dtm_run() runs.
 *
 * Process: host
 * Thread: owner
 * Signal: unsafe
 * Fork: not inherited; DTM_EFORKED in a process the service forked
 * Owns: takes rt
 */
DTM_API void dtm_free(dtm_t *rt);

/**
 * Bind and open a listener for clients; the workers accept from it. Returns its
 * index (0, 1, ...), or: -EADDRINUSE, -EACCES, -EADDRNOTAVAIL, DTM_EINVAL (the
 * address cannot be read), -ENOSPC (more than DTM_LISTENERS_MAX), DTM_ESTATE.
 *
 * A Unix socket file that nobody listens on is replaced; one with a live owner
 * gives -EADDRINUSE.
 *
 * In the master's `config_load` it is part of what is loaded. For the address of a
 * listener that there is (or that dtm_unlisten() was just told to remove), it returns
 * that one's index and takes over tag, backlog and mode, for the processes forked from
 * then on; at the start, at once. Another address is bound at once, so a failure is known
 * before anything is forked; let `config_load` return that code (never the index), and the
 * reload is cancelled and its answer names the address. Clients get at it when the new
 * generation is open, and never if the reload fails. What fails only then is in the reload's
 * answer, and tried again by the next one. Only workers that are forked for it know it. The
 * address must not overlap
 * with one that is removed (`*:80` and `127.0.0.1:80`: -EADDRINUSE). -EBUSY: it was
 * removed by the last reload, and closes in a second. DTM_ESTATE: DTM_CMD_LOADCONF, which
 * forks nobody, cannot add or remove any. -EMFILE: too many for RLIMIT_NOFILE.
 *
 * Process: host; master in config_load (in the controller's: DTM_EROLE)
 * Thread: owner
 * Signal: unsafe
 * Fork: not inherited; DTM_EFORKED in a process the service forked
 * Owns: the listener belongs to rt
 */
DTM_API int32_t dtm_listen(dtm_t *rt, const dtm_listen_t *listen);

/**
 * Remove a listener. In the host, and in `config_load` at the start, it is closed at once.
 *
 * In `config_load` of a reload it is removed when the new generation is open; until then,
 * and if the reload fails, it serves as before. Then no connection is made there any more
 * (a TCP client may have to wait for a second until it is refused; a socket file is removed at once).
 * Clients that wait there are served by the old generation, before it drains; those that
 * it has not taken within half a second, by the new one, with the listener's index and tag.
 * The index may be another listener's when no process is left that knew this one.
 * A socket that systemd has passed is only not used any more: it is systemd's to close.
 *
 * DTM_OK; -ENOENT: no such listener; DTM_ESTATE as dtm_listen().
 *
 * Process: host; master in config_load (in the controller's: DTM_EROLE)
 * Thread: owner
 * Signal: unsafe
 * Fork: not inherited; DTM_EFORKED in a process the service forked
 * Owns: nothing changes hands
 */
DTM_API
int32_t dtm_unlisten(dtm_t *rt,
                     uint32_t index);

/**
 * The same for the control listener, from which the controller accepts. At most one.
 *
 * Without a `control_step` it is the ready-made console's, which takes care who gets at it:
 * DTM_EINVAL for an address beyond loopback (see `control_remote`) and for a socket file in
 * a folder where everybody may replace it.
 *
 * Process: host
 * Thread: owner
 * Signal: unsafe
 * Fork: not inherited; DTM_EFORKED in a process the service forked
 * Owns: the listener belongs to rt
 */
DTM_API int32_t dtm_listen_control(dtm_t *rt, const dtm_listen_t *listen);

/**
 * The port that listener `index` is bound to (for port 0 in its address); 0 for
 * Unix sockets. -ENOENT when there is no such listener; in a worker: none that it serves.
 *
 * Process: host, master, worker
 * Thread: owner
 * Signal: unsafe
 * Fork: not inherited; DTM_EFORKED in a process the service forked
 * Owns: nothing changes hands
 */
DTM_API int32_t dtm_listen_port(const dtm_t *rt, uint32_t index);

/**
 * Register a helper process. Returns its index.
 *
 * Process: host
 * Thread: owner
 * Signal: unsafe
 * Fork: not inherited; DTM_EFORKED in a process the service forked
 * Owns: func is copied
 */
DTM_API int32_t dtm_func_register(dtm_t *rt, const dtm_func_t *func);

/**
 * Would this service start? Does all that dtm_run() does before its first fork,
 * the `config_load` callback included (as the master, and as in dtm_run()), then undoes
 * it, its listeners too. For `-t` options. Answers what dtm_run() would answer, DTM_OK if
 * it would start; but an instance that runs and holds `pid_file` is no obstacle.
 *
 * Process: host
 * Thread: owner
 * Signal: unsafe
 * Fork: not inherited; DTM_EFORKED in a process the service forked
 * Owns: nothing changes hands
 */
DTM_API int32_t dtm_check(dtm_t *rt);

/**
 * Become the master: fork, supervise, and return when the service has ended, in
 * this process only. Afterwards no child, no fd, no signal handler and no socket
 * file of the runtime is left. Children never return from it.
 *
 * `ret_result` may be NULL; otherwise `result_size` is sizeof(dtm_result_t), and anything
 * else is DTM_EABI. DTM_OK after an orderly end. DTM_ETHREADS, DTM_ECONFIG, -EMFILE and
 * other errors before the first fork; -EBUSY: another instance holds `pid_file`;
 * DTM_ESTATE when it runs or ran already; DTM_EFAILED when the first generation could not
 * start and `daemonize` is set (otherwise it is tried again and again).
 *
 * With `daemonize`, dtm_run() goes on in another process, in the background; the one that
 * called it never returns from it. It waits until the first generation is open, and
 * leaves by _exit() with status 0. If that fails, it writes the reason to stderr and
 * leaves with 1, and dtm_run() returns it in the background, for the service to clean up.
 *
 * Process: host (becomes the master)
 * Thread: owner
 * Signal: unsafe
 * Fork: flushes stdio with fflush(NULL) before each fork; needs one thread, see DTM_F_ALLOW_THREADS
 * Owns: ret_result is the caller's; written on success and on failure (DTM_END_START_FAILED)
 */
DTM_API
int32_t dtm_run(dtm_t *rt,
                dtm_result_t *ret_result,
                size_t result_size);

/**
 * Ask this process's master for something, as a signal would: one of
 * DTM_CMD_LOADCONF, _RELOAD, _UPGRADE, _START, _STOP, _SHUTDOWN, _SHUTDOWN_NOW,
 * _REOPEN_LOG. Returns at once; the log tells the outcome. In a worker, func or
 * controller only the two shutdowns, which mean that process itself.
 *
 * Process: master, worker, controller, func
 * Thread: any
 * Signal: safe
 * Fork: not inherited; DTM_EFORKED in a process the service forked
 * Owns: nothing changes hands
 */
DTM_API int32_t dtm_request(uint32_t command);

/**
 * Signal the running instance of a service, for options such as `-s stop` and `-s
 * reload`. `pid_file`: what the instance was started with; NULL: what the runtime of
 * this process is configured with (`pid_file` of dtm_new(), no more is needed).
 * `signal`: a signal number, see SIGNALS; 0 only asks whether it runs.
 *
 * Answers the pid of the instance. Nobody else is ever signalled: the file must be
 * locked, by the process that it names, with the start time that it names, in this boot.
 * -ESRCH: no instance runs, whatever the file says. -ENOENT: there is no such file.
 * -EACCES, -EPERM: it is another user's. -EAGAIN: it is just starting. DTM_EINVAL.
 *
 * Process: any
 * Thread: owner, or any before dtm_new()
 * Signal: unsafe
 * Fork: valid everywhere
 * Owns: pid_file is only read
 */
DTM_API int32_t dtm_signal_running(const char *pid_file, int32_t signal);

/**
 * Who is the calling process? `size` is sizeof(dtm_self_t). Answers DTM_EFORKED in
 * a process the service itself forked.
 *
 * Process: any
 * Thread: owner
 * Signal: unsafe
 * Fork: not inherited; DTM_EFORKED in a process the service forked
 * Owns: ret_self is the caller's
 */
DTM_API int32_t dtm_self(const dtm_t *rt, dtm_self_t *ret_self, size_t size);

/**
 * Write one line to libdtm's log, with this process's role, slot and generation.
 * Never blocks; lines that the target cannot take are dropped and counted.
 *
 * Process: any
 * Thread: owner
 * Signal: unsafe
 * Fork: not inherited; DTM_EFORKED in a process the service forked
 * Owns: text is only read
 */
DTM_API int32_t dtm_log(const dtm_t *rt, uint32_t level, const char *text);

/**
 * The client's socket, non-blocking. Read and write it; never close it, and leave
 * its place in epoll to libdtm. A duplicate (dup(), SCM_RIGHTS) must be closed before
 * the client is: epoll would go on reporting it. Children that the service forks with
 * fork() may have it. A program that is to have it from posix_spawn(), or exec after
 * vfork(), is not noticed: dtm_client_release() first.
 *
 * Process: worker, controller
 * Thread: owner
 * Signal: unsafe
 * Fork: not inherited; DTM_EFORKED in a process the service forked
 * Owns: borrowed: libdtm closes it after the close callback; dtm_client_release() gives it away
 */
DTM_API int32_t dtm_client_fd(const dtm_client_t *client);

/**
 * A number for logs, unique in this process; 0 for a stale handle.
 *
 * Process: worker, controller
 * Thread: owner
 * Signal: unsafe
 * Fork: not inherited; DTM_EFORKED in a process the service forked
 * Owns: nothing changes hands
 */
DTM_API uint64_t dtm_client_id(const dtm_client_t *client);

/**
 * The tag of the listener that it came from.
 *
 * Process: worker, controller
 * Thread: owner
 * Signal: unsafe
 * Fork: not inherited; DTM_EFORKED in a process the service forked
 * Owns: nothing changes hands
 */
DTM_API uint64_t dtm_client_tag(const dtm_client_t *client);

/**
 * The index of the listener that it came from; -1 for the control listener.
 *
 * Process: worker, controller
 * Thread: owner
 * Signal: unsafe
 * Fork: not inherited; DTM_EFORKED in a process the service forked
 * Owns: nothing changes hands
 */
DTM_API int32_t dtm_client_listener(const dtm_client_t *client);

/**
 * Write the peer's address as text, such as "127.0.0.1:4711", "[::1]:4711" or
 * "unix", terminated and cut to `size`. Returns the full length without the
 * terminator. 64 bytes are enough.
 *
 * Process: worker, controller
 * Thread: owner
 * Signal: unsafe
 * Fork: not inherited; DTM_EFORKED in a process the service forked
 * Owns: buffer is the caller's
 */
DTM_API int32_t dtm_client_peer(const dtm_client_t *client, char *buffer, size_t size);

/**
 * Say in which state this client is: a short text that reports of hangs and crashes, and
 * lists of clients, show. NULL or "": none. For a few constant texts: longer than 47 bytes
 * they are cut; -ENOSPC: the process has used 255 different ones, the old one stays.
 *
 * Process: worker, controller
 * Thread: owner
 * Signal: unsafe
 * Fork: not inherited; DTM_EFORKED in a process the service forked
 * Owns: state is copied
 */
DTM_API int32_t dtm_client_set_state(dtm_client_t *client, const char *state);

/**
 * Attach a pointer of the service's own.
 *
 * Process: worker, controller
 * Thread: owner
 * Signal: unsafe
 * Fork: not inherited; DTM_EFORKED in a process the service forked
 * Owns: the service's; libdtm never touches it
 */
DTM_API int32_t dtm_client_set_data(dtm_client_t *client, void *data);

/**
 * The attached pointer, NULL at first.
 *
 * Process: worker, controller
 * Thread: owner
 * Signal: unsafe
 * Fork: not inherited; DTM_EFORKED in a process the service forked
 * Owns: the service's
 */
DTM_API void *dtm_client_data(const dtm_client_t *client);

/**
 * Say whether a request of this client is in flight. New clients are busy. A
 * drain closes idle clients at once (after what they already sent was served) and
 * lets busy ones finish until the drain deadline.
 *
 * Process: worker, controller
 * Thread: owner
 * Signal: unsafe
 * Fork: not inherited; DTM_EFORKED in a process the service forked
 * Owns: nothing changes hands
 */
DTM_API int32_t dtm_client_set_busy(dtm_client_t *client, int32_t busy);

/**
 * Change what the client waits for from outside of its own step: DTM_READ,
 * DTM_WRITE, DTM_HUP or 0. Its own step says so by its result.
 *
 * Process: worker, controller
 * Thread: owner
 * Signal: unsafe
 * Fork: not inherited; DTM_EFORKED in a process the service forked
 * Owns: nothing changes hands
 */
DTM_API int32_t dtm_client_set_interest(dtm_client_t *client, uint32_t interest);

/**
 * Run this client's step with DTM_WAKE in the same pass. Waking twice is once.
 *
 * Process: worker, controller
 * Thread: owner
 * Signal: unsafe
 * Fork: not inherited; DTM_EFORKED in a process the service forked
 * Owns: nothing changes hands
 */
DTM_API int32_t dtm_client_wake(dtm_client_t *client);

/**
 * Set this client's idle timeout (0: the configured one; DTM_OFF: none). Each step
 * starts it anew; re-arming costs one store.
 *
 * Process: worker, controller
 * Thread: owner
 * Signal: unsafe
 * Fork: not inherited; DTM_EFORKED in a process the service forked
 * Owns: nothing changes hands
 */
DTM_API int32_t dtm_client_set_timeout(dtm_client_t *client, uint32_t idle_ms);

/**
 * Close the client: its close callback runs with DTM_CLOSE_ASKED before this pass
 * ends, in its own step after the step returned.
 *
 * Process: worker, controller
 * Thread: owner
 * Signal: unsafe
 * Fork: not inherited; DTM_EFORKED in a process the service forked
 * Owns: the handle is stale when the close callback has returned
 */
DTM_API int32_t dtm_client_close(dtm_client_t *client);

/**
 * Give the fd away: return it, open and no longer libdtm's; the client is over. The
 * close callback does not run. In that callback itself: leave the fd open afterwards.
 * Also before a program gets it from posix_spawn(), or exec after vfork(): while that has
 * it open, a client that is closed here would be reported without end.
 *
 * Process: worker, controller
 * Thread: owner
 * Signal: unsafe
 * Fork: not inherited; DTM_EFORKED in a process the service forked
 * Owns: the fd is the caller's; the handle is stale, in the client's own callback when that returns
 */
DTM_API
int32_t dtm_client_release(dtm_client_t *client);

/**
 * Put any fd that epoll can take (socket, pipe, eventfd, ...) into this process's
 * event loop. It should be non-blocking. `close` may be NULL. A watch belongs to
 * no client and may outlive the one that made it.
 *
 * -EPERM: an fd that epoll cannot take (a regular file); -EEXIST: it is
 * watched already; -EBADF; DTM_EINVAL.
 *
 * Process: worker, controller, func
 * Thread: owner
 * Signal: unsafe
 * Fork: not inherited; DTM_EFORKED in a process the service forked
 * Owns: takes fd: it is closed after the close callback; dtm_watch_release() gives it back
 */
DTM_API
int32_t dtm_watch_add(dtm_t *rt,
                      int32_t fd,
                      uint32_t interest,
                      dtm_watch_step_cb step,
                      dtm_watch_close_cb close,
                      void *data,
                      dtm_watch_t **ret_watch);

/**
 * The fd.
 *
 * Process: worker, controller, func
 * Thread: owner
 * Signal: unsafe
 * Fork: not inherited; DTM_EFORKED in a process the service forked
 * Owns: borrowed
 */
DTM_API int32_t dtm_watch_fd(const dtm_watch_t *watch);

/**
 * The pointer given to dtm_watch_add() or dtm_watch_set_data().
 *
 * Process: worker, controller, func
 * Thread: owner
 * Signal: unsafe
 * Fork: not inherited; DTM_EFORKED in a process the service forked
 * Owns: the service's
 */
DTM_API void *dtm_watch_data(const dtm_watch_t *watch);

/**
 * Change that pointer.
 *
 * Process: worker, controller, func
 * Thread: owner
 * Signal: unsafe
 * Fork: not inherited; DTM_EFORKED in a process the service forked
 * Owns: the service's
 */
DTM_API int32_t dtm_watch_set_data(dtm_watch_t *watch, void *data);

/**
 * Change what the watch waits for.
 *
 * Process: worker, controller, func
 * Thread: owner
 * Signal: unsafe
 * Fork: not inherited; DTM_EFORKED in a process the service forked
 * Owns: nothing changes hands
 */
DTM_API int32_t dtm_watch_set_interest(dtm_watch_t *watch, uint32_t interest);

/**
 * Run the watch's step with DTM_WAKE in the same pass. Waking twice is once.
 *
 * Process: worker, controller, func
 * Thread: owner
 * Signal: unsafe
 * Fork: not inherited; DTM_EFORKED in a process the service forked
 * Owns: nothing changes hands
 */
DTM_API int32_t dtm_watch_wake(dtm_watch_t *watch);

/**
 * Set the idle timeout (0: `watch_timeout_ms`; DTM_OFF: none). It ends with
 * DTM_CLOSE_TIMEOUT.
 *
 * Process: worker, controller, func
 * Thread: owner
 * Signal: unsafe
 * Fork: not inherited; DTM_EFORKED in a process the service forked
 * Owns: nothing changes hands
 */
DTM_API int32_t dtm_watch_set_timeout(dtm_watch_t *watch, uint32_t idle_ms);

/**
 * Close it: the close callback runs with DTM_CLOSE_ASKED before this pass ends.
 *
 * Process: worker, controller, func
 * Thread: owner
 * Signal: unsafe
 * Fork: not inherited; DTM_EFORKED in a process the service forked
 * Owns: the handle is stale when the close callback has returned
 */
DTM_API int32_t dtm_watch_close(dtm_watch_t *watch);

/**
 * Take the fd out of the loop and return it, open. The close callback does not run.
 *
 * Process: worker, controller, func
 * Thread: owner
 * Signal: unsafe
 * Fork: not inherited; DTM_EFORKED in a process the service forked
 * Owns: the fd is the caller's again; the handle is stale
 */
DTM_API int32_t dtm_watch_release(dtm_watch_t *watch);

/**
 * Start a timer on the monotonic clock: after `first_ms`, then every `period_ms`
 * (0: once). Missed periods are not made up for.
 *
 * Process: worker, controller, func
 * Thread: owner
 * Signal: unsafe
 * Fork: not inherited; DTM_EFORKED in a process the service forked
 * Owns: the caller owns the timer until dtm_timer_free(); libdtm frees the rest when the process ends
 */
DTM_API
int32_t dtm_timer_add(dtm_t *rt,
                      uint32_t first_ms,
                      uint32_t period_ms,
                      dtm_timer_cb fire,
                      void *data,
                      dtm_timer_t **ret_timer);

/**
 * Start it anew, whether it runs or has fired. O(1).
 *
 * Process: worker, controller, func
 * Thread: owner
 * Signal: unsafe
 * Fork: not inherited; DTM_EFORKED in a process the service forked
 * Owns: nothing changes hands
 */
DTM_API int32_t dtm_timer_set(dtm_timer_t *timer, uint32_t first_ms, uint32_t period_ms);

/**
 * Stop and free it; allowed in its own callback.
 *
 * Process: worker, controller, func
 * Thread: owner
 * Signal: unsafe
 * Fork: not inherited; DTM_EFORKED in a process the service forked
 * Owns: takes timer
 */
DTM_API int32_t dtm_timer_free(dtm_timer_t *timer);

/**
 * 1 from the moment this process was told to drain or stop, else 0: time to send
 * `Connection: close` and the like.
 *
 * Process: worker, controller, func
 * Thread: owner
 * Signal: unsafe
 * Fork: not inherited; DTM_EFORKED in a process the service forked
 * Owns: nothing changes hands
 */
DTM_API int32_t dtm_draining(const dtm_t *rt);

/**
 * Ask this process to drain and leave, as SIGTERM would. A worker that leaves
 * this way is replaced.
 *
 * Process: worker, controller, func
 * Thread: owner
 * Signal: unsafe
 * Fork: not inherited; DTM_EFORKED in a process the service forked
 * Owns: nothing changes hands
 */
DTM_API int32_t dtm_leave(dtm_t *rt);

/**
 * Send data to the controller's `worker_answer`, by way of the master. At most
 * DTM_MESSAGE_MAX bytes. Lost, and the log says so, where the controller does not read and
 * half of `channel_queue` is in use. -EAGAIN: the channel is full; -EMSGSIZE.
 *
 * Process: worker, func
 * Thread: owner
 * Signal: unsafe
 * Fork: not inherited; DTM_EFORKED in a process the service forked
 * Owns: data is copied
 */
DTM_API int32_t dtm_answer(dtm_t *rt, const void *data, size_t len);

/**
 * Tell the accept schedule this worker's load in a measure of the service's own; it
 * goes by the number of open clients until the first call. DTM_OFF goes back to that.
 *
 * Process: worker
 * Thread: owner
 * Signal: unsafe
 * Fork: not inherited; DTM_EFORKED in a process the service forked
 * Owns: nothing changes hands
 */
DTM_API int32_t dtm_set_load(dtm_t *rt, uint32_t load);

/**
 * Ask for more time: for the running callback, it does not count as hung for the next
 * `ms`; in `worker_init` and `controller_init`, `start_timeout` begins anew with so much. DTM_OFF: for ever.
 * The time is the master's: it does not pass while that is stopped or frozen.
 * -EAGAIN: the channel to the master is full.
 *
 * Process: worker, controller
 * Thread: owner
 * Signal: unsafe
 * Fork: not inherited; DTM_EFORKED in a process the service forked
 * Owns: nothing changes hands
 */
DTM_API
int32_t dtm_extend(dtm_t *rt,
                   uint32_t ms);

/**
 * Register a counter of the service's own; returns its index. Letters, digits, `_`.
 * Counters are kept per slot and survive the death of a worker.
 *
 * Process: host
 * Thread: owner
 * Signal: unsafe
 * Fork: not inherited; DTM_EFORKED in a process the service forked
 * Owns: name is copied
 */
DTM_API int32_t dtm_counter_register(dtm_t *rt, const char *name);

/**
 * Add to a counter of this process's slot. One addition, without a lock.
 *
 * Process: worker, controller, func
 * Thread: owner
 * Signal: unsafe
 * Fork: not inherited; DTM_EFORKED in a process the service forked
 * Owns: nothing changes hands
 */
DTM_API int32_t dtm_counter_add(dtm_t *rt, uint32_t counter, uint64_t delta);

/**
 * Read a counter of one slot, or the sum over all (`slot` = DTM_OFF).
 *
 * Process: master (in callbacks), worker, controller, func
 * Thread: owner
 * Signal: unsafe
 * Fork: not inherited; DTM_EFORKED in a process the service forked
 * Owns: ret_value is the caller's
 */
DTM_API
int32_t dtm_counter_get(const dtm_t *rt,
                        uint32_t counter,
                        uint32_t slot,
                        uint64_t *ret_value);

/**
 * One fd that is readable when dtm_loop_dispatch() has something to do: for
 * `worker_main` or a func that lives in libuv, libevent or an epoll of its own.
 *
 * Process: worker, controller, func
 * Thread: owner
 * Signal: unsafe
 * Fork: not inherited; DTM_EFORKED in a process the service forked
 * Owns: borrowed
 */
DTM_API int32_t dtm_loop_fd(const dtm_t *rt);

/**
 * One pass of libdtm's loop: waits up to `timeout_ms` (0: not at all, -1: until
 * something happens) and runs the callbacks that are due. Returns 0; DTM_EGONE
 * when this process should leave now: return from `worker_main` or `main`.
 * With a foreign loop, call it with 0 when dtm_loop_fd() is readable.
 *
 * Process: worker (in worker_main), func
 * Thread: owner
 * Signal: unsafe
 * Fork: not inherited; DTM_EFORKED in a process the service forked
 * Owns: nothing changes hands
 */
DTM_API int32_t dtm_loop_dispatch(dtm_t *rt, int32_t timeout_ms);

/**
 * The workers of this pass, oldest first, those that are draining or wait for a
 * replacement included. `size` is sizeof(dtm_worker_t). `*ret_count` is how many
 * there are; when that is above `capacity`, the rest is left out and -ENOSPC returned.
 *
 * Process: controller
 * Thread: owner
 * Signal: unsafe
 * Fork: not inherited; DTM_EFORKED in a process the service forked
 * Owns: the arrays are the caller's
 */
DTM_API
int32_t dtm_workers(const dtm_t *rt,
                    dtm_worker_t *ret_workers,
                    size_t size,
                    uint32_t capacity,
                    uint32_t *ret_count);

/**
 * Send a message to one worker or func. DTM_OK: it is in the process's channel, or
 * queued behind others for it, in order. It reaches exactly that spawn, or nobody.
 * -EAGAIN: `channel_queue` is full; DTM_EGONE: no such process any more; -EMSGSIZE.
 *
 * Process: controller
 * Thread: owner
 * Signal: unsafe
 * Fork: not inherited; DTM_EFORKED in a process the service forked
 * Owns: data is copied
 */
DTM_API int32_t dtm_send(dtm_t *rt, uint64_t spawn, const void *data, size_t len);

/**
 * Send to every worker of a generation (0: of all). `*ret_count` (may be NULL) is
 * how many took it; the result is DTM_OK if all did, otherwise the first error.
 *
 * Process: controller
 * Thread: owner
 * Signal: unsafe
 * Fork: not inherited; DTM_EFORKED in a process the service forked
 * Owns: data is copied
 */
DTM_API
int32_t dtm_send_all(dtm_t *rt,
                     uint32_t generation,
                     const void *data,
                     size_t len,
                     uint32_t *ret_count);

/**
 * Send a command to the master; it takes effect at its next loop pass. `done` (may be
 * NULL) gets the answer: DTM_OK, -EBUSY (one like it is running), DTM_EREFUSED,
 * DTM_ENOFORK, DTM_EFAILED, DTM_ECONFIG, -ENOSPC, DTM_ENOTSUP. Long ones answer at their end.
 *
 * Process: controller
 * Thread: owner
 * Signal: unsafe
 * Fork: not inherited; DTM_EFORKED in a process the service forked
 * Owns: command is copied; data must live until done ran
 */
DTM_API
int32_t dtm_command(dtm_t *rt,
                    const dtm_command_t *command,
                    dtm_command_cb done,
                    void *data,
                    uint64_t *ret_id);

/**
 * How the accept schedule stands, of one listener or of all (`listener` = DTM_OFF).
 * `size` is sizeof(dtm_accept_t). DTM_EINVAL: no listener of this index serves. The share of each worker is in dtm_workers().
 *
 * Process: master (in callbacks), worker, controller, func
 * Thread: owner
 * Signal: unsafe
 * Fork: not inherited; DTM_EFORKED in a process the service forked
 * Owns: ret_accept is the caller's
 */
DTM_API
int32_t dtm_accept_stats(const dtm_t *rt,
                         uint32_t listener,
                         dtm_accept_t *ret_accept,
                         size_t size);

/**
 * What is kept of the processes that crashed or had to be killed: the newest first, at
 * most the last 32. `size` is sizeof(dtm_report_t). `*ret_count` is how many there are;
 * when that is above `capacity`, the rest is left out and -ENOSPC returned. A report is
 * stored before the process is killed; its stack and core flag are added a moment later.
 *
 * Process: master, worker, controller, func
 * Thread: owner
 * Signal: unsafe
 * Fork: not inherited; DTM_EFORKED in a process the service forked
 * Owns: the arrays are the caller's
 */
DTM_API
int32_t dtm_reports(const dtm_t *rt,
                    dtm_report_t *ret_reports,
                    size_t size,
                    uint32_t capacity,
                    uint32_t *ret_count);

/**
 * Add a command to the ready-made console, beside its own: it is found, permitted and
 * documented as they are. The name is one word of letters, digits, `.`, `_` and `-`, and
 * none of the console's own; arity 0 is an error. At most DTM_COMMANDS_MAX (-ENOSPC).
 *
 * Process: host
 * Thread: owner
 * Signal: unsafe
 * Fork: not inherited; DTM_EFORKED in a process the service forked
 * Owns: command is copied
 */
DTM_API int32_t dtm_console_register(dtm_t *rt, const dtm_console_t *command);

/**
 * Append a string to the reply: any bytes, at most DTM_REPLY_TEXT_MAX.
 *
 * A reply of one part is that; of several, an array of them; of none, `OK`, or the name
 * of the handler's negative result as an error. DTM_ESTATE after the handler returned.
 *
 * Process: controller
 * Thread: owner
 * Signal: unsafe
 * Fork: not inherited; DTM_EFORKED in a process the service forked
 * Owns: copied
 */
DTM_API int32_t dtm_reply_text(dtm_reply_t *reply, const char *text, size_t len);

/**
 * Append an integer to the reply.
 *
 * Process: controller
 * Thread: owner
 * Signal: unsafe
 * Fork: not inherited; DTM_EFORKED in a process the service forked
 * Owns: copied
 */
DTM_API int32_t dtm_reply_integer(dtm_reply_t *reply, int64_t value);

/**
 * Append a number with a fraction, of which three digits are sent; a string in RESP2.
 *
 * Process: controller
 * Thread: owner
 * Signal: unsafe
 * Fork: not inherited; DTM_EFORKED in a process the service forked
 * Owns: copied
 */
DTM_API int32_t dtm_reply_double(dtm_reply_t *reply, double value);

/**
 * Append a truth value; 0 or 1 in RESP2.
 *
 * Process: controller
 * Thread: owner
 * Signal: unsafe
 * Fork: not inherited; DTM_EFORKED in a process the service forked
 * Owns: copied
 */
DTM_API int32_t dtm_reply_boolean(dtm_reply_t *reply, int32_t value);

/**
 * Append nothing: Redis's null.
 *
 * Process: controller
 * Thread: owner
 * Signal: unsafe
 * Fork: not inherited; DTM_EFORKED in a process the service forked
 * Owns: nothing changes hands
 */
DTM_API int32_t dtm_reply_null(dtm_reply_t *reply);

/**
 * Make the reply an error, whatever was added to it. `text` may begin with a code in
 * capitals, such as `BUSY try again`; otherwise `ERR` is put before it.
 *
 * Process: controller
 * Thread: owner
 * Signal: unsafe
 * Fork: not inherited; DTM_EFORKED in a process the service forked
 * Owns: copied
 */
DTM_API int32_t dtm_reply_error(dtm_reply_t *reply, const char *text);

/**
 * Begin an array; the next `count` parts are its members. Parts may be arrays and maps,
 * 16 levels deep; a reply has at most 65,536 parts.
 *
 * Process: controller
 * Thread: owner
 * Signal: unsafe
 * Fork: not inherited; DTM_EFORKED in a process the service forked
 * Owns: copied
 */
DTM_API int32_t dtm_reply_array(dtm_reply_t *reply, size_t count);

/**
 * Begin a map of `count` pairs; the next 2 * `count` parts are its keys and values, in
 * turn. An array of them in RESP2.
 *
 * Process: controller
 * Thread: owner
 * Signal: unsafe
 * Fork: not inherited; DTM_EFORKED in a process the service forked
 * Owns: copied
 */
DTM_API int32_t dtm_reply_map(dtm_reply_t *reply, size_t count);

/**
 * Register a durable action: a row of phases that the controller carries out, one at a
 * time, and goes on with after a crash or restart of anything. Each pass of the
 * controller moves one active instance on by one phase, all in turn.
 *
 * The promise: transitions from phase to phase happen exactly once. What a phase does
 * through its transaction (dtm_txn_put(), or the database's own handle) happens exactly
 * once, together with the transition. What it does elsewhere is never skipped; it may
 * be repeated, after a crash or a failure, and then with `attempt` > 1 and the same
 * `token`. No phase runs in two controllers.
 *
 * DTM_EINVAL, DTM_EABI, -EEXIST, DTM_ESTATE (dtm_run() was called).
 *
 * Process: host
 * Thread: owner
 * Signal: unsafe
 * Fork: not inherited; DTM_EFORKED in a process the service forked
 * Owns: action is copied, its data is only passed on
 */
DTM_API int32_t dtm_action_register(dtm_t *rt, const dtm_action_t *action);

/**
 * Start an instance. Outside of a phase: `done`, which may be NULL, is called once in one
 * of the next passes, with the instance's id and DTM_OK when it is stored; its first phase
 * has its turn after that. In a phase, where `done` must be NULL: it is stored with that
 * phase's transition, or not at all, and `*ret_id`, unless `ret_id` is NULL, is its id.
 *
 * Returned at once, or told to `done`: DTM_EINVAL (no such action), -EMSGSIZE
 * (DTM_ARGS_MAX), -ENOSPC (DTM_INSTANCES_MAX, or the disk), DTM_ECONFIG (no store is set),
 * -EBUSY (the store is locked or not open yet), or what else is wrong with the store:
 * nothing was started. DTM_EFAILED: it is not known whether it was; dtm_action_list()
 * tells soon. What was returned is not told again.
 *
 * Process: controller
 * Thread: owner
 * Signal: unsafe
 * Fork: not inherited; DTM_EFORKED in a process the service forked
 * Owns: args are copied; data is only passed on
 */
DTM_API
int32_t dtm_action_start(dtm_t *rt,
                         const char *name,
                         dtm_str_t args,
                         dtm_command_cb done,
                         void *data,
                         uint64_t *ret_id);

/**
 * Do with an instance what DTM_VERB_* says. `done`, which may be NULL, is called once in
 * one of the next passes: DTM_OK when it is stored. A step whose callback is running, or
 * goes on in the background, is not undone: paused meanwhile, it is called again in the same
 * attempt when it is resumed. Returned at once, or told to `done`: DTM_EGONE: no such
 * instance; DTM_EINVAL: no such verb; DTM_EREFUSED: not in its state; DTM_EROLE: in a phase;
 * or what is wrong with the store, as dtm_action_start().
 *
 * Process: controller
 * Thread: owner
 * Signal: unsafe
 * Fork: not inherited; DTM_EFORKED in a process the service forked
 * Owns: data is only passed on
 */
DTM_API
int32_t dtm_action_control(dtm_t *rt,
                           uint64_t id,
                           uint32_t verb,
                           dtm_command_cb done,
                           void *data);

/**
 * A phase that has said DTM_ACTION_PENDING is called again, with `status`. DTM_EGONE: no
 * such instance; DTM_EREFUSED: none of its attempts waits for that (any more).
 *
 * Process: controller
 * Thread: owner
 * Signal: unsafe
 * Fork: not inherited; DTM_EFORKED in a process the service forked
 * Owns: nothing changes hands
 */
DTM_API int32_t dtm_action_wake(dtm_t *rt, uint64_t id, int32_t status);

/**
 * List the instances, oldest first: all that are not finished, and the last 100 that
 * are. `size` is sizeof(dtm_action_info_t). `*ret_count` is how many there are; when
 * that is above `capacity`, the rest is left out and -ENOSPC returned.
 *
 * Process: controller
 * Thread: owner
 * Signal: unsafe
 * Fork: not inherited; DTM_EFORKED in a process the service forked
 * Owns: the array is the caller's; names and texts are libdtm's until the next call
 */
DTM_API
int32_t dtm_action_list(dtm_t *rt,
                        dtm_action_info_t *ret_infos,
                        size_t size,
                        uint32_t capacity,
                        uint32_t *ret_count);

/**
 * What has become of an instance. `done` is called once in one of the next passes; with
 * DTM_OK, its text has a line for each change, oldest first, at most the last 64, each
 * ended by a newline. Returned at once, or told to `done`: DTM_EGONE: no such instance; or
 * what is wrong with the store, as dtm_action_start().
 *
 * Process: controller
 * Thread: owner
 * Signal: unsafe
 * Fork: not inherited; DTM_EFORKED in a process the service forked
 * Owns: the text is libdtm's, valid during the call of `done`; data is only passed on
 */
DTM_API int32_t dtm_action_history(dtm_t *rt, uint64_t id, dtm_command_cb done, void *data);

/**
 * How it is with the store: DTM_OK when it is open, DTM_ECONFIG when none is set,
 * otherwise what dtm_action_start() would answer now; dtm_last_error() says why.
 *
 * Process: controller
 * Thread: owner
 * Signal: unsafe
 * Fork: not inherited; DTM_EFORKED in a process the service forked
 * Owns: nothing changes hands
 */
DTM_API int32_t dtm_store_status(dtm_t *rt);

/**
 * Read a key that a phase has written by dtm_txn_put(), outside of any phase: what is in
 * force. `done` is called once in one of the next passes, with the value; -ENOENT: no such
 * key. Between that call and the next pass, no phase changes it. Returned at once, or told
 * to `done`: what dtm_store_status() answers: it may be open a moment later.
 *
 * Process: controller
 * Thread: owner
 * Signal: unsafe
 * Fork: not inherited; DTM_EFORKED in a process the service forked
 * Owns: key is copied; the value is libdtm's, valid during the call of `done`
 */
DTM_API int32_t dtm_store_get(dtm_t *rt, dtm_str_t key, dtm_value_cb done, void *data);

/**
 * In a phase: go on with phase `next` instead of the following one, if the phase ends
 * with DTM_ACTION_NEXT.
 *
 * Process: controller (in a phase)
 * Thread: owner
 * Signal: unsafe
 * Fork: not inherited; DTM_EFORKED in a process the service forked
 * Owns: nothing changes hands
 */
DTM_API int32_t dtm_action_jump(const dtm_phase_t *phase, uint32_t next);

/**
 * In a phase: when it ends with DTM_ACTION_NEXT or DTM_ACTION_AGAIN, the next step does
 * not begin before what `kind`, a DTM_WAIT_*, names has happened; at the latest after
 * `ms` milliseconds (0: however long it takes), and then `timed_out` is 1. With
 * DTM_ACTION_PENDING, `ms` is the limit of the attempt. The last call counts.
 *
 * Process: controller (in a phase)
 * Thread: owner
 * Signal: unsafe
 * Fork: not inherited; DTM_EFORKED in a process the service forked
 * Owns: nothing changes hands
 */
DTM_API int32_t dtm_action_wait(const dtm_phase_t *phase, uint32_t kind, uint64_t ms);

/**
 * In a phase: read a key that dtm_txn_put() has written, by this action or another.
 * `*ret_len` is the value's length. -ENOENT: no such key; -ENOSPC: `size` is too small.
 * What was read still holds when the phase commits, or the attempt is repeated.
 *
 * The value of a key that was not fetched, see dtm_txn_fetch(), is waited for if the store
 * is elsewhere: at most for `store_timeout`, and operators and workers wait, too; then
 * -ETIMEDOUT, or what else is wrong with the store.
 *
 * Process: controller (in a phase)
 * Thread: owner
 * Signal: unsafe
 * Fork: not inherited; DTM_EFORKED in a process the service forked
 * Owns: the buffer is the caller's
 */
DTM_API
int32_t dtm_txn_get(dtm_txn_t *txn,
                    dtm_str_t key,
                    void *ret_value,
                    size_t size,
                    size_t *ret_len);

/**
 * In a phase: have a key read without waiting for it. DTM_OK: it is there, dtm_txn_get()
 * has it at once. -EAGAIN: end the phase with DTM_ACTION_PENDING; then the key is read, and
 * the callback is called again from its beginning, in the same attempt, as if it had not
 * been called: what it did through its transaction, its waits and jumps are forgotten, and
 * `resumed` is what it was. So fetch first, and act afterwards. A store on this machine
 * always answers DTM_OK. -ENOSPC: DTM_TXN_KEYS_MAX.
 *
 * Process: controller (in a phase)
 * Thread: owner
 * Signal: unsafe
 * Fork: not inherited; DTM_EFORKED in a process the service forked
 * Owns: key is copied
 */
DTM_API int32_t dtm_txn_fetch(dtm_txn_t *txn, dtm_str_t key);

/**
 * In a phase: write a key, in a space that all actions of this store share. It takes
 * effect with the phase's transition, exactly once; not at all if the attempt fails.
 * -ENOSPC: DTM_TXN_KEYS_MAX; -EMSGSIZE: DTM_TXN_VALUE_MAX.
 *
 * Process: controller (in a phase)
 * Thread: owner
 * Signal: unsafe
 * Fork: not inherited; DTM_EFORKED in a process the service forked
 * Owns: key and value are copied
 */
DTM_API int32_t dtm_txn_put(dtm_txn_t *txn, dtm_str_t key, dtm_str_t value);

/**
 * In a phase: remove a key, likewise.
 *
 * Process: controller (in a phase)
 * Thread: owner
 * Signal: unsafe
 * Fork: not inherited; DTM_EFORKED in a process the service forked
 * Owns: key is copied
 */
DTM_API int32_t dtm_txn_del(dtm_txn_t *txn, dtm_str_t key);

/**
 * In a phase: the database's own handle, inside of the transaction that commits with the
 * phase's transition: `sqlite3 *` of a `sqlite:` store, to be used with the SQLite that
 * libdtm is linked with; what `begin` gave of a store of the service's own. NULL: it has
 * none. Do not end the transaction, nor touch the tables `kv` and `revision`. What it asks
 * a server elsewhere, the phase waits for, and operators and workers with it: use the
 * database's calls that have a time limit.
 *
 * Process: controller (in a phase)
 * Thread: owner
 * Signal: unsafe
 * Fork: not inherited; DTM_EFORKED in a process the service forked
 * Owns: libdtm's; valid while the phase's callback runs
 */
DTM_API void *dtm_txn_native(dtm_txn_t *txn);

/**
 * Add a database for actions, chosen by its scheme in `store`. DTM_EINVAL, DTM_EABI,
 * -EEXIST, DTM_ESTATE (dtm_run() was called).
 *
 * Process: host
 * Thread: owner
 * Signal: unsafe
 * Fork: not inherited; DTM_EFORKED in a process the service forked
 * Owns: store is copied, its data is only passed on
 */
DTM_API int32_t dtm_store_register(dtm_t *rt, const dtm_store_t *store);

/**
 * Register a lock that the children of the runtime share: for what several of them
 * change, such as shared memory or a file of the service's own. `*ret_lock` is
 * valid in every process forked by dtm_run(). The name is for the log: 1 to 32
 * letters, digits, `_`, `.`, `-`, and no other lock's (DTM_EINVAL). -ENOSPC: more than
 * DTM_LOCKS_MAX; DTM_ESTATE after dtm_run().
 *
 * Process: host
 * Thread: owner
 * Signal: unsafe
 * Fork: the handle is valid in every process of the runtime
 * Owns: rt owns the lock; name is copied
 */
DTM_API int32_t dtm_lock_register(dtm_t *rt, const char *name, dtm_lock_t **ret_lock);

/**
 * Take it: 0 tries, DTM_OFF waits for ever, other timeouts are in milliseconds.
 *
 * DTM_OK; DTM_LOCK_RECOVERED: taken, but its last owner died with it, so repair what
 * it protects. If this process dies as well before it gives the lock back, the next
 * one is told the same. -ETIMEDOUT; -EDEADLK: this process has it already; DTM_EGONE:
 * another one has it, and the master is gone; DTM_EINVAL: no such lock.
 *
 * Without contention it is one atomic instruction. A wait blocks the process and
 * so all of its clients, and a signal does not end it: hold a lock for a moment
 * only, never while waiting for anything. Who waits longest is not served first.
 *
 * Process: worker, controller, func
 * Thread: owner
 * Signal: unsafe
 * Fork: not inherited; DTM_EFORKED in a process the service forked
 * Owns: the process has the lock until it gives it back or dies
 */
DTM_API int32_t dtm_lock_take(dtm_lock_t *lock, uint32_t timeout_ms);

/**
 * Give it back. -EPERM: this process does not have it, and nothing was done.
 *
 * Process: worker, controller, func
 * Thread: owner
 * Signal: unsafe
 * Fork: not inherited; DTM_EFORKED in a process the service forked
 * Owns: nothing changes hands
 */
DTM_API int32_t dtm_lock_give(dtm_lock_t *lock);

#ifdef __cplusplus
}  // extern "C"
#endif  // __cplusplus

#endif  /* DTM_H */


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
