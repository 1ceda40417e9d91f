/* A client of the ready-made console: bytes there, one reply back. */
#ifndef CONSOLE_H
#define CONSOLE_H

#include "peer.h"

#ifdef __cplusplus
extern "C" {
#endif

struct service a_console(void); /* a_service() without a control_step */
int console(void);              /* a connection to its Unix socket */
void send_bytes(int fd, const void *bytes, size_t len);
void send_text(int fd, const char *text); /* as it is: no line end is added */
/* One reply as text: "+OK", "-ERR ...", ":1", "$text", "[a, b]", "{k, v}", ">[a, b]", "_",
 * "#t",
 * ",1.5", "=txt:..."; NULL when the other side has hung up. Valid until the next one. */
const char *reply(int fd);
/* Send a line (its end is added) and read one reply. */
const char *tell(int fd, const char *format, ...) __attribute__((format(printf, 2, 3)));
/* The same on a connection of its own. */
const char *console_says(const char *format, ...) __attribute__((format(printf, 1, 2)));
bool begins(const char *text, const char *with);

#ifdef __cplusplus
}
#endif

#endif
