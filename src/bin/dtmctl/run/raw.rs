//! `raw`: the console's command, the console's answer.

use super::Session;
use crate::fail::{Code, Fail, Result};
use crate::value::Value;

pub(crate) fn run(session: &mut Session, args: &[String]) -> Result<Code> {
    if args.is_empty() {
        return Err(Fail::usage(
            "raw: which command? For example: dtmctl raw CONFIG GET workers",
        ));
    }
    let until = session
        .options
        .timeout
        .map(|t| std::time::Instant::now() + t);
    let answer = session.link()?.call(args, until, |_| {})?;
    match &answer {
        Value::Error(text) => return Err(Fail::answered(text)),
        // A terminal is not given what it might obey.
        Value::Text(bytes) if !session.options.json && !session.out.terminal => {
            session.out.bytes(bytes)?;
            if !bytes.ends_with(b"\n") {
                session.out.bytes(b"\n")?;
            }
        }
        answer => return session.show(answer, &[]),
    }
    Ok(Code::Done)
}
