//! Asking workers for what only they know: their clients. The question goes over their
//! channels, the answers come by way of the master. Who does not answer in time, being
//! busy or stopped, is named so.

use super::Console;
use super::conn::Waiting;
use super::names::state_name;
use super::status::millis;
use super::value::Value;
use crate::channel::{AT_ONCE, ClientFacts, Clients, Kind, MESSAGES_MAX, MOST_CLIENTS};
use crate::controller::Controller;
use crate::ffi::*;
use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;

/// A worker that takes longer to come by its channel is busy with a step.
const PATIENCE_MS: u64 = 1_000;
/// Clients in one answer: with the longest names, of 512 workers, it fits into what a
/// connection may have unsent.
const MOST_LISTED: usize = 1_500;
/// Questions at a time; each costs every worker a look at all of its clients.
const MOST: usize = 16;

#[derive(Default)]
pub(super) struct Questions {
    last: Cell<u64>,
    /// How often in a row they could not be judged.
    behind: Cell<usize>,
    open: RefCell<BTreeMap<u64, Question>>,
}

struct Question {
    conn: u64,
    json: bool,
    deadline: u64,
    asked: Vec<(dtm_worker_t, Answer)>,
}

enum Answer {
    Awaited,
    Given(Clients),
    /// There will be none, because.
    None(String),
}

impl Questions {
    /// Is nobody to be judged, because there is more to hear first? But a channel that never
    /// runs empty is not waited for: after so many looks it has been read once over.
    fn put_off(&self, has_more: bool) -> bool {
        let behind = self.behind.get();
        let again = has_more && behind < MESSAGES_MAX / AT_ONCE;
        self.behind.set(if again { behind + 1 } else { 0 });
        again
    }
}

impl Console {
    /// The answer comes later.
    pub(super) fn ask_workers(
        &self,
        controller: &Controller,
        conn: u64,
        workers: Vec<dtm_worker_t>,
        json: bool,
    ) -> Result<Waiting, String> {
        if self.questions.open.borrow().len() >= MOST {
            return Err(format!(
                "BUSY {MOST} questions to the workers are open already: try again"
            ));
        }
        let id = self.questions.last.get() + 1;
        self.questions.last.set(id);
        let asked = workers.into_iter().map(|worker| {
            let answer = match controller.ask(worker.spawn, worker.state, id) {
                Ok(()) => Answer::Awaited,
                Err(why) => Answer::None(why),
            };
            (worker, answer)
        });
        let deadline = crate::sys::now_ms() + PATIENCE_MS;
        let question = Question {
            conn,
            json,
            deadline,
            asked: asked.collect(),
        };
        self.questions.open.borrow_mut().insert(id, question);
        // Also when there is nobody to ask: the answer must not come before the question
        // is known to the connection.
        controller.look_at_questions(0);
        Ok(Waiting::Workers(id))
    }

    fn is_answered(&self, id: u64) -> bool {
        let open = self.questions.open.borrow();
        let awaited = |(_, answer): &(_, Answer)| matches!(answer, Answer::Awaited);
        open.get(&id).is_none_or(|q| !q.asked.iter().any(awaited))
    }

    /// A worker has answered.
    pub(crate) fn hear_of_clients(
        &self,
        controller: &Controller,
        spawn: u64,
        id: u64,
        bytes: &[u8],
    ) {
        if let (Some(question), Some(clients)) = (
            self.questions.open.borrow_mut().get_mut(&id),
            Clients::decode(bytes),
        ) && let Some((_, answer)) = question.asked.iter_mut().find(|(w, _)| w.spawn == spawn)
        {
            *answer = Answer::Given(clients);
        }
        if self.is_answered(id) {
            self.close_question(controller, id);
        }
    }

    /// The table has changed, or time has passed: some will not answer any more.
    pub(crate) fn see_to_questions(&self, controller: &Controller) {
        let now = crate::sys::now_ms();
        controller.refresh();
        // What was said before that waits there, perhaps, and counts.
        if self.questions.put_off(controller.child.link.has_more()) {
            return controller.look_at_questions(0);
        }
        let mut done = Vec::new();
        let mut next: Option<u64> = None;
        for (id, question) in self.questions.open.borrow_mut().iter_mut() {
            let late = question.deadline <= now;
            for (worker, answer) in &mut question.asked {
                if !matches!(answer, Answer::Awaited) {
                    continue;
                }
                if !controller.is_alive(worker.spawn) {
                    *answer = Answer::None("it has ended".into());
                } else if late {
                    *answer = Answer::None(format!(
                        "no answer within {PATIENCE_MS} ms: it is busy, or stopped"
                    ));
                }
            }
            if question
                .asked
                .iter()
                .any(|(_, answer)| matches!(answer, Answer::Awaited))
            {
                let left = question.deadline - now;
                next = Some(next.map_or(left, |n| n.min(left)));
            } else {
                done.push(*id);
            }
        }
        for id in done {
            self.close_question(controller, id);
        }
        if let Some(left) = next {
            controller.look_at_questions(left);
        }
    }

    fn close_question(&self, controller: &Controller, id: u64) {
        let Some(question) = self.questions.open.borrow_mut().remove(&id) else {
            return;
        };
        let value = describe_all(&question.asked);
        let value = if question.json {
            Value::bulk(value.json())
        } else {
            value
        };
        self.answer(controller, question.conn, Waiting::Workers(id), &value);
    }

    pub(crate) fn has_questions(&self) -> bool {
        !self.questions.open.borrow().is_empty()
    }
}

fn describe_all(asked: &[(dtm_worker_t, Answer)]) -> Value {
    // Each worker has the same part of the list.
    let most = MOST_CLIENTS.min(MOST_LISTED / asked.len().max(1));
    let all = asked
        .iter()
        .map(|(worker, answer)| describe(worker, answer, most));
    Value::Array(all.collect())
}

fn describe(worker: &dtm_worker_t, answer: &Answer, most: usize) -> Value {
    let mut pairs = vec![
        ("slot", Value::count(worker.slot)),
        ("generation", Value::count(worker.generation)),
        ("pid", Value::Int(worker.pid.into())),
        ("state", state_name(worker.state).into()),
    ];
    match answer {
        Answer::Awaited => {}
        Answer::None(why) => pairs.push(("error", why.as_str().into())),
        Answer::Given(clients) => {
            pairs.extend([
                ("clients", Value::count(clients.open)),
                ("busy", Value::count(clients.busy)),
                ("watches", Value::count(clients.watches)),
                (
                    "drain_waits_for",
                    waits_for(clients).map_or(Value::Null, Value::from),
                ),
                ("drain_left_seconds", seconds_left(clients)),
                (
                    "list",
                    Value::Array(clients.list.iter().take(most).map(client).collect()),
                ),
            ]);
            if usize::try_from(clients.open).is_ok_and(|open| open > most) {
                pairs.push(("list_is_cut_at", Value::count(most)));
            }
        }
    }
    Value::Map(pairs)
}

fn seconds_left(clients: &Clients) -> Value {
    match clients.left_ms {
        u64::MAX => Value::Null,
        ms => Value::Double(millis(ms) / 1e3),
    }
}

/// What holds up a drain, in words; None: there is no drain.
fn waits_for(clients: &Clients) -> Option<String> {
    if !clients.draining {
        return None;
    }
    let oldest = clients
        .list
        .iter()
        .filter(|c| c.busy)
        .max_by_key(|c| c.age_s);
    Some(match (clients.busy, oldest) {
        (0, _) if clients.open == 0 => "nothing: it is about to leave".into(),
        (0, _) => format!("{} idle clients, each until its next request", clients.open),
        (busy, Some(c)) => format!(
            "{busy} busy clients; the oldest is {} from {}, {} s old",
            c.id, c.peer, c.age_s
        ),
        (busy, None) => format!("{busy} busy clients"),
    })
}

fn client(client: &ClientFacts) -> Value {
    let waits = match client.interest & (DTM_READ | DTM_WRITE) {
        0 => "nothing",
        DTM_READ => "read",
        DTM_WRITE => "write",
        _ => "read or write",
    };
    let state = (!client.state.is_empty()).then_some(client.state.as_str());
    Value::Map(vec![
        ("id", Value::count(client.id)),
        ("peer", client.peer.as_str().into()),
        ("listener", Value::Int(client.listener.into())),
        ("age_seconds", Value::count(client.age_s)),
        (
            "quiet_seconds",
            Value::Double(millis(client.quiet_ms) / 1e3),
        ),
        ("busy", Value::Bool(client.busy)),
        ("state", Value::or_null(state)),
        ("waits_for", waits.into()),
    ])
}

impl Controller {
    /// Ask one worker. An error says why there will be no answer. H07
    fn ask(&self, spawn: u64, state: u32, question: u64) -> Result<(), String> {
        match state {
            DTM_WORKER_STARTING | DTM_WORKER_DEAD | DTM_WORKER_FAILED => {
                return Err(format!("it is {}: it hears nothing", state_name(state)));
            }
            _ => {}
        }
        let asked = self.send_kind(spawn, Kind::AskClients, question);
        asked.map_err(|error| error.text.into_owned())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// H03: no answer alone is more than what a connection may have unsent.
    #[test]
    fn the_longest_answer_fits() {
        let long = ClientFacts {
            id: u64::MAX,
            peer: "p".repeat(crate::channel::LONGEST_TEXT),
            state: "s".repeat(crate::channel::LONGEST_TEXT),
            ..ClientFacts::default()
        };
        let clients = || Clients {
            open: u32::MAX,
            busy: u32::MAX,
            draining: true,
            list: vec![long.clone(); MOST_CLIENTS],
            ..Clients::default()
        };
        for workers in [1, 7, 8, 64, 512] {
            // SAFETY: a struct of integers.
            let worker: dtm_worker_t = unsafe { std::mem::zeroed() };
            let asked: Vec<_> = (0..workers)
                .map(|_| (worker, Answer::Given(clients())))
                .collect();
            let value = describe_all(&asked);
            let mut out = Vec::new();
            value.encode(crate::console::value::Resp::Two, &mut out);
            let most = crate::console::conn::OUTPUT_MAX;
            assert!(out.len() < most && value.json().len() < most, "{workers}");
            let listed = String::from_utf8_lossy(&out).matches("ssss\r\n").count();
            assert!(listed >= workers.min(200), "{workers}: {listed}");
        }
    }

    #[test]
    fn nobody_is_judged_before_all_was_heard_but_not_for_ever() {
        let questions = Questions::default();
        assert!(!questions.put_off(false));
        assert!(questions.put_off(true));
        assert!(!questions.put_off(false));
        let looks = (0..1_000).take_while(|_| questions.put_off(true)).count();
        assert_eq!(looks, MESSAGES_MAX / AT_ONCE);
    }

    #[test]
    fn what_a_drain_waits_for() {
        let client = |id, busy, age_s| ClientFacts {
            id,
            busy,
            age_s,
            peer: "unix".into(),
            ..ClientFacts::default()
        };
        let mut clients = Clients {
            open: 3,
            busy: 2,
            ..Clients::default()
        };
        clients.list = vec![client(4, true, 7), client(5, true, 9), client(1, false, 99)];
        assert_eq!(waits_for(&clients), None);
        clients.draining = true;
        let text = waits_for(&clients).unwrap();
        assert_eq!(text, "2 busy clients; the oldest is 5 from unix, 9 s old");
        clients.busy = 0;
        assert!(waits_for(&clients).unwrap().starts_with("3 idle clients"));
        clients.open = 0;
        assert!(waits_for(&clients).unwrap().starts_with("nothing"));
    }
}
