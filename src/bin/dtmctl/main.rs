//! dtmctl: operators' tool for services that are built with libdtm. It talks to the
//! ready-made console and needs nothing of the library: docs/dtmctl.md is its manual.
//!
//! | file | what it holds |
//! |---|---|
//! | `args`, `options`, `commands`, `help`, `completion` | the command line, and the one table of commands |
//! | `link`, `resp`, `value`, `json`, `writing`, `wait` | the connection, and what comes over it |
//! | `text`, `human`, `table`, `show` | from values to lines of text; pure |
//! | `out`, `term` | pipes and terminals |
//! | `run/` | what the commands do |

mod args;
mod commands;
mod completion;
mod fail;
mod help;
mod human;
mod json;
mod link;
mod options;
mod out;
mod resp;
mod run;
mod show;
mod table;
mod term;
mod text;
mod value;
mod wait;
/// The same as the console's.
#[path = "../../console/json.rs"]
mod writing;

use commands::Run;
use fail::{Code, Fail, Result};
use out::{Out, complain};
use run::Session;
use std::process::ExitCode;

fn main() -> ExitCode {
    let code = match run() {
        Ok(code) => code,
        Err(fail) => {
            if !fail.text.is_empty() {
                complain(&fail.text);
            }
            fail.code
        }
    };
    ExitCode::from(code as u8)
}

fn run() -> Result<Code> {
    let words = std::env::args_os().skip(1);
    let words: Vec<String> = words
        .map(|word| {
            word.into_string()
                .map_err(|word| Fail::usage(format!("{}: is no UTF-8", word.display())))
        })
        .collect::<Result<_>>()?;
    let env = |name: &str| std::env::var(name).ok().filter(|value| !value.is_empty());
    let mut options = args::parse(words.into_iter(), env)?;
    let out = Out::new(options.colours);
    if options.version {
        out.bytes(concat!("dtmctl ", env!("CARGO_PKG_VERSION"), "\n").as_bytes())?;
        return Ok(Code::Done);
    }
    let words = std::mem::take(&mut options.words);
    let wants_help = options.help;
    let mut session = Session::new(options, out);
    let Some(name) = words.first() else {
        if wants_help {
            return help::run(&mut session, &[]);
        }
        return Err(Fail::usage("which command? For help: dtmctl --help"));
    };
    if wants_help {
        return help::run(&mut session, &words);
    }
    let known = commands::find(name);
    let taken = known.map_or(&[][..], |c| c.options);
    if let Some(option) = session.options.special.iter().find(|o| !taken.contains(o)) {
        return Err(Fail::usage(format!(
            "{name} takes no --{option}; for help: dtmctl {name} --help"
        )));
    }
    match known.map_or(Run::Ask, |c| c.run) {
        Run::Own(run) => run(&mut session, &words[1..]),
        Run::Operate => run::operate::run(&mut session, &commands::translate(&words)),
        Run::Ask => {
            let answer = session.ask(&commands::translate(&words))?;
            let columns = run::columns::of(name);
            session.show(&answer, &columns)
        }
    }
}
