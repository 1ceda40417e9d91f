//! Life events: the master tells, subscribers and those who wait for a command hear.

use super::conn::Waiting;
use super::value::{Resp, Value};
use super::{Connection, Console, glob};
use crate::channel::Life;
use crate::controller::Controller;
use crate::ffi::*;

/// A reload begins: for the console only, in which it has the name of its end.
pub(crate) const RELOADING: u32 = 0x8000_0001;
/// A phase of an action; these come from the controller itself.
pub(super) const ACTION: u32 = 0x8000_0002;

/// What can be subscribed to.
const NAMES: &[(u32, &str)] = &[
    (DTM_EVENT_FORK, "fork"),
    (DTM_EVENT_READY, "ready"),
    (DTM_EVENT_OPEN, "open"),
    (DTM_EVENT_DRAINING, "draining"),
    (DTM_EVENT_EXIT, "exit"),
    (DTM_EVENT_RELOAD, "reload"),
    (RELOADING, "reload"),
    (DTM_EVENT_CONFIG, "config"),
    (DTM_EVENT_HANG, "hang"),
    (DTM_EVENT_FAILED, "failed"),
    (DTM_EVENT_RECYCLE, "recycle"),
    (DTM_EVENT_SCALE, "scale"),
    (DTM_EVENT_UPGRADE, "upgrade"),
    (ACTION, "action"),
];

fn name(kind: u32) -> Option<&'static str> {
    NAMES
        .iter()
        .find(|(k, _)| *k == kind)
        .map(|(_, name)| *name)
}

/// Is there an event of that name? Else: which there are.
pub(super) fn check(wanted: &str) -> Result<(), String> {
    if NAMES.iter().any(|(_, name)| *name == wanted) {
        return Ok(());
    }
    let mut names: Vec<&str> = NAMES.iter().map(|(_, name)| *name).collect();
    names.dedup();
    Err(format!(
        "ERR no event '{wanted}': there are {}",
        names.join(", ")
    ))
}

/// One event as an object, the same for all who hear of it.
fn describe(life: &Life, name: &'static str, text: &str) -> Value {
    let child = life.role != 0;
    let number = |n: u32| if child { Value::count(n) } else { Value::Null };
    Value::Map(vec![
        ("event", name.into()),
        (
            "phase",
            if life.kind == RELOADING {
                "begin"
            } else {
                "end"
            }
            .into(),
        ),
        ("time", Value::count(crate::sys::wall_seconds())),
        (
            "role",
            Value::or_null(child.then(|| crate::role::name(life.role))),
        ),
        ("slot", number(life.slot)),
        ("generation", Value::count(life.generation)),
        (
            "spawn",
            if child {
                Value::count(life.spawn)
            } else {
                Value::Null
            },
        ),
        (
            "pid",
            if child {
                Value::Int(life.pid.into())
            } else {
                Value::Null
            },
        ),
        ("status", Value::Int(life.status.into())),
        ("text", text.into()),
    ])
}

impl Console {
    /// The master tells.
    pub(crate) fn hear_of_life(&self, controller: &Controller, bytes: &[u8]) {
        if let Some((life, text)) = Life::decode(bytes) {
            self.publish(controller, &life, &text);
        }
    }

    /// An action has gone on by a step.
    pub(crate) fn hear_of_action(&self, controller: &Controller, text: &str) {
        self.publish(controller, &Life::of_service(ACTION, 0), text);
    }

    pub(super) fn publish(&self, controller: &Controller, life: &Life, text: &str) {
        let Some(name) = name(life.kind) else { return };
        let json = describe(life, name, text).json();
        let conns: Vec<Connection> = self.conns.borrow().values().cloned().collect();
        for conn in &conns {
            for value in heard(conn, name, &json) {
                self.tell(controller, conn, &value);
            }
        }
    }
}

/// What one connection hears of an event.
fn heard(conn: &Connection, name: &str, json: &str) -> Vec<Value> {
    // Borrowed: it is in the middle of the command that brought this about.
    let Ok(conn) = conn.try_borrow() else {
        return Vec::new();
    };
    let mut all = Vec::new();
    if conn.events.contains(name) {
        all.push(Value::Push(vec![
            "message".into(),
            name.into(),
            json.into(),
        ]));
    }
    for pattern in conn
        .patterns
        .iter()
        .filter(|p| glob::matches(p.as_bytes(), name.as_bytes()))
    {
        let parts = ["pmessage", pattern.as_str(), name, json];
        all.push(Value::Push(parts.map(Value::from).into()));
    }
    // RESP3 can say something between a question and its answer.
    if all.is_empty()
        && conn.resp == Resp::Three
        && matches!(conn.waiting, Some(Waiting::Master(_)))
    {
        all.push(Value::Push(vec![
            "progress".into(),
            name.into(),
            json.into(),
        ]));
    }
    all
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn events_have_names() {
        assert!(check("fork").is_ok() && check("reload").is_ok());
        let error = check("Fork").unwrap_err();
        assert!(
            error.contains("fork, ready") && error.matches("reload").count() == 1,
            "{error}"
        );
        assert_eq!(name(99), None);
    }

    #[test]
    fn an_event_as_json() {
        let life = Life {
            kind: DTM_EVENT_EXIT,
            role: DTM_ROLE_WORKER,
            slot: 3,
            generation: 2,
            spawn: 9,
            pid: 44,
            status: 9,
        };
        let json = describe(&life, "exit", "killed \"now\"").json();
        assert!(
            json.contains(r#""event":"exit""#) && json.contains(r#""role":"worker""#),
            "{json}"
        );
        assert!(json.contains(r#""text":"killed \"now\"""#), "{json}");
        let of_all = describe(&Life::of_service(RELOADING, 4), "reload", "x").json();
        assert!(
            of_all.contains(r#""phase":"begin""#) && of_all.contains(r#""slot":null"#),
            "{of_all}"
        );
    }
}
