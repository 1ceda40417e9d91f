//! The console itself, and the store of the durable actions.

use super::super::status::Status;
use super::text::Text;

pub(super) fn write(s: &Status, out: &mut Text) {
    let c = &s.console;
    out.gauge(
        "dtm_console_connections",
        "Open connections to the console.",
        c.open,
    );
    for (name, help, value) in [
        (
            "dtm_console_connections_total",
            "Connections to the console.",
            c.accepted,
        ),
        (
            "dtm_console_rejected_total",
            "Connections to the console that found no room.",
            c.refused,
        ),
        (
            "dtm_console_commands_total",
            "Commands on the console.",
            c.commands,
        ),
    ] {
        out.counter(name, help, value);
    }
    let Some((open, unfinished)) = s.store else {
        return; // none is configured
    };
    out.gauge(
        "dtm_store_up",
        "1 if the store of the actions is open and works.",
        u8::from(open),
    );
    out.gauge(
        "dtm_actions_unfinished",
        "Durable actions that have not ended.",
        unfinished,
    );
}
