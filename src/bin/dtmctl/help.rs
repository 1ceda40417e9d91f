//! `--help`, from the table of commands.

use crate::commands::{COMMANDS, Command, Group, find};
use crate::fail::{Code, Result};
use crate::options::{OPTIONS, Opt};
use crate::run::Session;
use crate::text::{Colour, Line, pad, wrap};

const WIDTH: usize = 79;
const EXIT_CODES: &str =
    "0 done, 1 refused or failed, 2 usage, 3 no connection, 4 denied, 5 timeout";

/// `help [COMMAND]`
pub(crate) fn run(session: &mut Session, args: &[String]) -> Result<Code> {
    let lines = match args.first() {
        None => all(),
        Some(name) => match find(name) {
            Some(command) => one(command),
            // The service's own, or one of the console's.
            None => {
                let words: Vec<String> = std::iter::once("HELP")
                    .map(str::to_owned)
                    .chain(args.iter().cloned())
                    .collect();
                let answer = session.ask(&words)?;
                return session.show(&answer, &[]);
            }
        },
    };
    for line in &lines {
        session.out.long(line)?;
    }
    Ok(Code::Done)
}

fn all() -> Vec<Line> {
    let mut lines = vec![
        Line::of(Colour::Bold, "dtmctl").and(
            Colour::Plain,
            " - looks after a service that is built with libdtm",
        ),
        Line::default(),
        Line::plain("Usage: dtmctl -s SOCKET [OPTION...] COMMAND [ARGUMENT...]"),
        Line::plain("       dtmctl -h HOST -p PORT [OPTION...] COMMAND [ARGUMENT...]"),
    ];
    for (group, title) in Group::ALL {
        lines.extend([Line::default(), Line::of(Colour::Bold, title)]);
        for command in COMMANDS.iter().filter(|c| c.group == group) {
            lines.push(entry(command.name, command.summary));
        }
    }
    lines.extend([Line::default(), Line::of(Colour::Bold, "Options")]);
    lines.extend(OPTIONS.iter().filter(|o| o.global).flat_map(option));
    lines.extend([
        Line::default(),
        Line::plain("Any other command goes to the console as it is. More: dtmctl COMMAND --help"),
        Line::plain(format!("Exit: {EXIT_CODES}")),
    ]);
    lines
}

fn one(command: &Command) -> Vec<Line> {
    let mut usage = format!("Usage: dtmctl {}", command.name);
    let special: Vec<&Opt> = OPTIONS
        .iter()
        .filter(|o| command.options.contains(&o.long))
        .collect();
    if !special.is_empty() {
        usage += " [OPTION...]";
    }
    if !command.args.is_empty() {
        usage += &format!(" {}", command.args);
    }
    let mut lines = vec![
        Line::plain(usage),
        Line::default(),
        Line::plain(format!("{}.", command.summary)),
    ];
    let more = command.more.lines().flat_map(|line| wrap(line, WIDTH));
    lines.extend(more.map(Line::plain));
    if !special.is_empty() {
        lines.push(Line::default());
        lines.extend(special.into_iter().flat_map(option));
    }
    lines.extend([
        Line::default(),
        Line::of(Colour::Dim, "Options for every command: dtmctl --help"),
    ]);
    lines
}

fn entry(name: &str, text: &str) -> Line {
    Line::of(Colour::Name, format!("  {}", pad(name, 12, false))).and(Colour::Plain, text)
}

/// What is too long for 80 columns goes to a second line.
fn option(option: &Opt) -> Vec<Line> {
    let short = option
        .short
        .map_or_else(|| "    ".into(), |c| format!("-{c}, "));
    let value = if option.value.is_empty() {
        String::new()
    } else {
        format!(" {}", option.value)
    };
    let name = Line::of(
        Colour::Name,
        pad(&format!("  {short}--{}{value}", option.long), 29, false),
    );
    let (text, more) = match option.help.rfind(" [").filter(|_| option.help.len() > 50) {
        Some(at) => option.help.split_at(at),
        None => (option.help, ""),
    };
    let mut lines = vec![name.and(Colour::Plain, text)];
    if !more.is_empty() {
        lines.push(Line::plain(" ".repeat(29) + more.trim_start()));
    }
    lines
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn help_fits_eighty_columns() {
        let each = COMMANDS.iter().flat_map(one);
        for line in all().into_iter().chain(each) {
            assert!(line.width() <= 80, "{}", line.paint(false, None));
        }
    }
}
