//! Completion for shells, from the table of commands.

use crate::commands::{COMMANDS, Command};
use crate::fail::{Code, Fail, Result};
use crate::options::OPTIONS;
use crate::run::Session;

/// `completion bash|zsh|fish`
pub(crate) fn run(session: &mut Session, args: &[String]) -> Result<Code> {
    let script = match args
        .iter()
        .map(String::as_str)
        .collect::<Vec<_>>()
        .as_slice()
    {
        ["bash"] => bash(),
        ["zsh"] => zsh(),
        ["fish"] => fish(),
        _ => {
            return Err(Fail::usage(
                "completion: for which shell? bash, zsh or fish",
            ));
        }
    };
    session.out.bytes(script.as_bytes())?;
    Ok(Code::Done)
}

fn names() -> String {
    COMMANDS
        .iter()
        .map(|c| c.name)
        .collect::<Vec<_>>()
        .join(" ")
}

/// `--long` options of a command; None: those for every command.
fn options(of: Option<&[&str]>) -> Vec<String> {
    let is_wanted = |long: &str, global: bool| of.map_or(global, |names| names.contains(&long));
    let wanted = OPTIONS.iter().filter(|o| is_wanted(o.long, o.global));
    wanted.map(|o| format!("--{}", o.long)).collect()
}

/// What may follow a command.
fn words_after(c: &Command) -> Vec<String> {
    let next = c.next.iter().map(|w| (*w).to_owned());
    next.chain(options(Some(c.options))).collect()
}

fn with_value() -> String {
    let long = OPTIONS.iter().filter(|o| !o.value.is_empty());
    let names = long.flat_map(|o| {
        o.short
            .map(|c| format!("-{c}"))
            .into_iter()
            .chain([format!("--{}", o.long)])
    });
    names.collect::<Vec<_>>().join("|")
}

fn bash() -> String {
    let mut cases = String::new();
    for c in COMMANDS {
        let words = words_after(c);
        if !words.is_empty() {
            cases += &format!("        {}) words='{}' ;;\n", c.name, words.join(" "));
        }
    }
    format!(
        r#"# dtmctl completion bash
_dtmctl() {{
    local cur=${{COMP_WORDS[COMP_CWORD]}} prev=${{COMP_WORDS[COMP_CWORD-1]}} command='' words='' i
    case $prev in
        -s|--socket|--password-file) COMPREPLY=($(compgen -f -- "$cur")); return ;;
        -h|--host) COMPREPLY=($(compgen -A hostname -- "$cur")); return ;;
        --color) COMPREPLY=($(compgen -W 'auto always never' -- "$cur")); return ;;
        {values}) return ;;
    esac
    for ((i = 1; i < COMP_CWORD; i++)); do
        case ${{COMP_WORDS[i]}} in
            {values}) ((i++)) ;;
            -*) ;;
            *) command=${{COMP_WORDS[i]}}; break ;;
        esac
    done
    case $command in
        '') words='{names}' ;;
        help) words='{names}' ;;
{cases}    esac
    [[ $cur == -* ]] && words+=' {global}'
    COMPREPLY=($(compgen -W "$words" -- "$cur"))
}}
complete -F _dtmctl dtmctl
"#,
        values = with_value(),
        names = names(),
        global = options(None).join(" "),
    )
}

/// For text within single quotes and brackets.
fn quoted(text: &str) -> String {
    text.replace('\'', "'\\''")
        .replace('[', "(")
        .replace(']', ")")
        .replace(':', "\\:")
}

fn zsh() -> String {
    let mut commands = String::new();
    let mut cases = String::new();
    for c in COMMANDS {
        commands += &format!("        '{}:{}'\n", c.name, quoted(c.summary));
        let words = words_after(c);
        if !words.is_empty() {
            cases += &format!("        {}) compadd -- {} ;;\n", c.name, words.join(" "));
        }
    }
    let mut global = String::new();
    for o in OPTIONS.iter().filter(|o| o.global) {
        let rest = match (o.value, o.long) {
            ("", _) => String::new(),
            ("PATH" | "FILE", _) => format!(":{}:_files", o.value),
            (_, "host") => ":HOST:_hosts".into(),
            (_, "color") => ":WHEN:(auto always never)".into(),
            (value, _) => format!(":{value}: "),
        };
        let equals = if o.value.is_empty() { "" } else { "=" };
        global += &format!(
            "        '--{}{equals}[{}]{rest}' \\\n",
            o.long,
            quoted(o.help)
        );
        if let Some(short) = o.short {
            let plus = if o.value.is_empty() { "" } else { "+" };
            global += &format!("        '-{short}{plus}[{}]{rest}' \\\n", quoted(o.help));
        }
    }
    format!(
        r#"#compdef dtmctl
# dtmctl completion zsh
_dtmctl() {{
    local -a commands line
    local state
    commands=(
{commands}    )
    _arguments -C \
{global}        '1: :->command' '*: :->more' && return
    case $state in
    command) _describe command commands ;;
    more)
        # Without the options in front of it.
        case $line[1] in
        help) _describe command commands ;;
{cases}        esac ;;
    esac
}}
# From a file of $fpath, or by source <(dtmctl completion zsh).
if [[ $funcstack[1] == _dtmctl ]]; then
    _dtmctl "$@"
else
    compdef _dtmctl dtmctl
fi
"#
    )
}

fn fish() -> String {
    let quoted = |text: &str| text.replace('\\', "\\\\").replace('\'', "\\'");
    let mut out = String::from("# dtmctl completion fish\ncomplete -c dtmctl -f\n");
    for o in OPTIONS {
        let short = o.short.map_or_else(String::new, |c| format!(" -s {c}"));
        let value = match (o.value, o.long) {
            ("", _) => "",
            ("PATH" | "FILE", _) => " -r -F",
            (_, "color") => " -x -a 'auto always never'",
            _ => " -x",
        };
        let users: Vec<&str> = COMMANDS
            .iter()
            .filter(|c| c.options.contains(&o.long))
            .map(|c| c.name)
            .collect();
        let when = match users.is_empty() {
            true => String::new(),
            false => format!(" -n '__fish_seen_subcommand_from {}'", users.join(" ")),
        };
        out += &format!(
            "complete -c dtmctl{when}{short} -l {}{value} -d '{}'\n",
            o.long,
            quoted(o.help)
        );
    }
    for c in COMMANDS {
        out += &format!(
            "complete -c dtmctl -n __fish_use_subcommand -a {} -d '{}'\n",
            c.name,
            quoted(c.summary)
        );
        if !c.next.is_empty() {
            out += &format!(
                "complete -c dtmctl -n '__fish_seen_subcommand_from {}' -a '{}'\n",
                c.name,
                c.next.join(" ")
            );
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_command_is_there() {
        for script in [bash(), zsh(), fish()] {
            for command in COMMANDS {
                assert!(script.contains(command.name), "{}", command.name);
            }
            assert!(script.contains("dtmctl completion"));
        }
    }
}
