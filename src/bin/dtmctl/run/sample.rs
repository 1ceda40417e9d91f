//! Two looks at the service make rates. Pure.

use crate::value::{Value, map};
use std::time::Instant;

pub(crate) struct Sample {
    pub(crate) at: Instant,
    pub(crate) status: Value,
    pub(crate) workers: Value,
}

/// What `top` shows and `top --json` prints: status and workers, with rates where there
/// was a look before.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct View {
    pub(crate) service: Value,
    pub(crate) workers: Vec<Value>,
    pub(crate) seconds: Option<f64>,
}

impl View {
    pub(crate) fn of(before: Option<&Sample>, now: &Sample) -> Self {
        let seconds = before
            .map(|b| now.at.duration_since(b.at).as_secs_f64())
            .filter(|s| *s > 0.0);
        let workers: Vec<Value> = now
            .workers
            .items()
            .iter()
            .map(|w| with_rates(w, before, seconds))
            .collect();
        let mut service = now.status.clone();
        for key in ["accepts_per_second", "requests_per_second", "cpu"] {
            let known: Vec<f64> = workers.iter().filter_map(|w| w.get(key).number()).collect();
            let sum = (!known.is_empty()).then(|| round(known.iter().sum()));
            service.set(key, sum.map_or(Value::Null, Value::Double));
        }
        Self {
            service,
            workers,
            seconds,
        }
    }

    pub(crate) fn to_value(&self, time: f64) -> Value {
        map([
            ("time", Value::Double(round(time))),
            (
                "interval_seconds",
                self.seconds
                    .map_or(Value::Null, |s| Value::Double(round(s))),
            ),
            ("service", self.service.clone()),
            ("workers", Value::List(self.workers.clone())),
        ])
    }
}

fn round(n: f64) -> f64 {
    (n * 1e3).round() / 1e3
}

fn with_rates(worker: &Value, before: Option<&Sample>, seconds: Option<f64>) -> Value {
    let same = |key: &str| {
        let workers = before?.workers.items();
        workers.iter().find(|w| w.get(key) == worker.get(key))
    };
    // A slot counts over all its processes, a process only for itself.
    let (slot, process) = (same("slot"), same("spawn"));
    let mut worker = worker.clone();
    for (key, counter, then) in [
        ("accepts_per_second", "total_accepted", slot),
        ("requests_per_second", "total_requests", slot),
        ("cpu", "cpu_seconds", process),
    ] {
        let rate = match (worker.get(counter).number(), seconds) {
            (Some(now), Some(seconds)) => {
                // New since the last look: what it has done, it did since then.
                let was = then.map_or(Some(0.0), |w| w.get(counter).number());
                was.map(|was| round((now - was) / seconds))
                    .filter(|rate| *rate >= 0.0)
            }
            _ => None,
        };
        worker.set(key, rate.map_or(Value::Null, Value::Double));
    }
    worker
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    fn sample(at: Instant, workers: &[(i64, i64, i64, f64)]) -> Sample {
        let worker = |&(slot, spawn, accepted, cpu): &(i64, i64, i64, f64)| {
            map([
                ("slot", Value::Int(slot)),
                ("spawn", Value::Int(spawn)),
                ("total_accepted", Value::Int(accepted)),
                ("cpu_seconds", Value::Double(cpu)),
            ])
        };
        Sample {
            at,
            status: map([]),
            workers: Value::List(workers.iter().map(worker).collect()),
        }
    }

    #[test]
    fn rates() {
        let begin = Instant::now();
        let one = sample(begin, &[(1, 1, 100, 1.0), (2, 2, 50, 1.0)]);
        let first = View::of(None, &one);
        assert_eq!(first.workers[0].get("cpu"), &Value::Null);
        assert_eq!(first.service.get("cpu"), &Value::Null);

        let two = sample(
            begin + Duration::from_secs(2),
            &[(1, 1, 120, 2.0), (2, 9, 60, 0.5), (3, 10, 4, 0.1)],
        );
        let view = View::of(Some(&one), &two);
        let rate = |i: usize, key: &str| view.workers[i].get(key).number();
        assert_eq!(
            (rate(0, "accepts_per_second"), rate(0, "cpu")),
            (Some(10.0), Some(0.5))
        );
        // Its process is a new one, the slot counts on.
        assert_eq!(
            (rate(1, "accepts_per_second"), rate(1, "cpu")),
            (Some(5.0), Some(0.25))
        );
        assert_eq!(rate(2, "accepts_per_second"), Some(2.0));
        assert_eq!(rate(0, "requests_per_second"), None);
        assert_eq!(view.service.get("accepts_per_second").number(), Some(17.0));
        assert!(
            view.to_value(1.0)
                .json()
                .starts_with(r#"{"time":1,"interval_seconds":2,"#)
        );

        // The service was started anew: no negative rates.
        let three = sample(begin + Duration::from_secs(4), &[(1, 1, 0, 0.0)]);
        assert_eq!(
            View::of(Some(&two), &three).workers[0].get("accepts_per_second"),
            &Value::Null
        );
    }
}
