//! The state as Prometheus reads it: text format 0.0.4, base units, counters that end in
//! `_total`. Gate: promtool in tests/examples/console.sh.

mod accept;
mod console;
mod service;
mod text;
mod workers;

use super::status::Status;
use text::Text;

pub(super) const KIND: &str = "text/plain; version=0.0.4; charset=utf-8";

pub(super) fn render(s: &Status) -> String {
    let mut out = Text::default();
    service::write(s, &mut out);
    workers::write(s, &mut out);
    accept::write(s, &mut out);
    console::write(s, &mut out);
    own_counters(s, &mut out);
    out.into_text()
}

/// Counters that the service has registered: `dtm_service_NAME_total`.
fn own_counters(s: &Status, out: &mut Text) {
    for (name, value) in &s.counters {
        let name = name.strip_suffix("_total").unwrap_or(name);
        out.counter(
            &format!("dtm_service_{name}_total"),
            "A counter of the service's own.",
            *value,
        );
    }
}
