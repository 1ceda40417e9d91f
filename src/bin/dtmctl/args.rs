//! The command line and the environment. Pure, but for the files that it names.

use crate::fail::{Fail, Result};
use crate::link::Place;
use crate::options::find;
use crate::out::Colours;
use std::time::Duration;

#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Options {
    pub(crate) place: Option<Place>,
    pub(crate) password: Option<String>,
    pub(crate) askpass: bool,
    pub(crate) json: bool,
    pub(crate) quiet: bool,
    pub(crate) timeout: Option<Duration>,
    pub(crate) colours: Colours,
    pub(crate) help: bool,
    pub(crate) version: bool,
    pub(crate) check: bool,
    pub(crate) wait: bool,
    pub(crate) count: Option<u64>,
    pub(crate) interval: Duration,
    pub(crate) sort: Option<String>,
    pub(crate) reverse: bool,
    /// The command and its arguments.
    pub(crate) words: Vec<String>,
    /// Options that not every command takes.
    pub(crate) special: Vec<&'static str>,
}

/// Where the console may be, before that is decided.
#[derive(Default)]
struct Where {
    socket: Option<String>,
    host: Option<String>,
    port: Option<String>,
}

pub(crate) fn parse(
    args: impl Iterator<Item = String>,
    env: impl Fn(&str) -> Option<String>,
) -> Result<Options> {
    let mut options = Options {
        place: None,
        password: None,
        askpass: false,
        json: false,
        quiet: false,
        timeout: None,
        colours: Colours::Auto,
        help: false,
        version: false,
        check: false,
        wait: false,
        count: None,
        interval: Duration::from_secs(2),
        sort: None,
        reverse: false,
        words: Vec::new(),
        special: Vec::new(),
    };
    let mut place = Where::default();
    let mut args = args;
    while let Some(arg) = args.next() {
        // What `raw` sends is the console's, not ours.
        let is_raw = options.words.first().is_some_and(|w| w == "raw");
        let is_help = options.words.len() == 1 && arg == "--help";
        if is_raw && !is_help || arg == "--" {
            let first = (arg != "--").then_some(arg);
            options.words.extend(first.into_iter().chain(args));
            break;
        }
        let is_word = !arg.starts_with('-')
            || arg == "-"
            || arg[1..].starts_with(|c: char| c.is_ascii_digit());
        if is_word {
            options.words.push(arg);
            continue;
        }
        let (found, glued) = find(&arg)?;
        let value = match (found.value.is_empty(), glued) {
            (true, None) => String::new(),
            (true, Some(_)) => return Err(Fail::usage(format!("--{} takes no value", found.long))),
            (false, Some(value)) => value,
            (false, None) => args.next().ok_or_else(|| {
                let hint = if arg == "-h" {
                    "; for help: --help"
                } else {
                    ""
                };
                Fail::usage(format!("{arg} needs a value: {}{hint}", found.value))
            })?,
        };
        if !found.global {
            options.special.push(found.long);
        }
        apply(&mut options, &mut place, found.long, value)?;
    }
    options.place = decide(place, &env)?;
    if options.password.is_none() && !options.askpass {
        options.password = match (env("DTMCTL_PASSWORD"), env("DTMCTL_PASSWORD_FILE")) {
            (Some(password), _) => Some(password),
            (None, Some(file)) => Some(read_password(&file)?),
            (None, None) => None,
        };
    }
    Ok(options)
}

fn apply(options: &mut Options, place: &mut Where, long: &str, value: String) -> Result<()> {
    match long {
        "socket" => place.socket = Some(value),
        "host" => place.host = Some(value),
        "port" => place.port = Some(value),
        "password" => options.password = Some(value),
        "password-file" => options.password = Some(read_password(&value)?),
        "askpass" => options.askpass = true,
        "json" => options.json = true,
        "quiet" => options.quiet = true,
        "timeout" => options.timeout = Some(seconds("--timeout", &value)?),
        "color" => {
            options.colours = match value.as_str() {
                "auto" => Colours::Auto,
                "always" => Colours::Always,
                "never" => Colours::Never,
                _ => {
                    return Err(Fail::usage(format!(
                        "--color {value}: auto, always or never"
                    )));
                }
            };
        }
        "help" => options.help = true,
        "version" => options.version = true,
        "check" => options.check = true,
        "once" => options.count = Some(1),
        "count" => {
            let count = value.parse().ok().filter(|n| *n > 0);
            options.count = Some(
                count.ok_or_else(|| Fail::usage(format!("--count {value}: a number from 1")))?,
            );
        }
        "interval" => options.interval = seconds("--interval", &value)?,
        "sort" => options.sort = Some(value),
        "reverse" => options.reverse = true,
        _ => options.wait = true,
    }
    Ok(())
}

fn seconds(option: &str, value: &str) -> Result<Duration> {
    let seconds = value.parse().ok().filter(|s: &f64| (0.1..=1e6).contains(s));
    seconds
        .map(Duration::from_secs_f64)
        .ok_or_else(|| Fail::usage(format!("{option} {value}: seconds, from 0.1 to 1000000")))
}

fn read_password(file: &str) -> Result<String> {
    let text = std::fs::read_to_string(file);
    let text = text.map_err(|e| Fail::usage(format!("password file {file}: {e}")))?;
    match text.lines().next() {
        Some(line) if !line.is_empty() => Ok(line.to_owned()),
        _ => Err(Fail::usage(format!(
            "password file {file}: its first line is empty"
        ))),
    }
}

/// What is said on the command line goes before the whole environment.
fn decide(said: Where, env: &impl Fn(&str) -> Option<String>) -> Result<Option<Place>> {
    let said = match &said {
        Where {
            socket: None,
            host: None,
            port: None,
        } => Where {
            socket: env("DTMCTL_SOCKET"),
            host: env("DTMCTL_HOST"),
            port: env("DTMCTL_PORT"),
        },
        _ => said,
    };
    match said {
        Where {
            socket: Some(_),
            host,
            port,
        } if host.is_some() || port.is_some() => {
            Err(Fail::usage("either a socket or a host and port, not both"))
        }
        Where {
            socket: Some(path), ..
        } if path.is_empty() => Err(Fail::usage("the socket's path is empty")),
        Where {
            socket: Some(path), ..
        } => {
            let bare = path.strip_prefix("unix:").unwrap_or(&path);
            Ok(Some(Place::Unix(bare.to_owned())))
        }
        Where {
            host,
            port: Some(port),
            ..
        } => {
            let number = port.parse().ok().filter(|n| *n > 0);
            let number = number
                .ok_or_else(|| Fail::usage(format!("port {port}: a number from 1 to 65535")))?;
            Ok(Some(Place::Tcp(
                host.unwrap_or_else(|| "127.0.0.1".into()),
                number,
            )))
        }
        Where {
            host: Some(host), ..
        } => Err(Fail::usage(format!("host {host}: and which port? -p PORT"))),
        _ => Ok(None),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(line: &str, env: &[(&str, &str)]) -> Result<Options> {
        let words = line.split(' ').filter(|w| !w.is_empty()).map(str::to_owned);
        let get = |name: &str| {
            env.iter()
                .find(|(n, _)| *n == name)
                .map(|(_, v)| (*v).to_owned())
        };
        parse(words, get)
    }

    #[test]
    fn words_and_options_in_any_order() {
        let options = of("-s /run/x top -n5 --sort=cpu -r -i 0.5 --json", &[]).unwrap();
        assert_eq!(options.place, Some(Place::Unix("/run/x".into())));
        assert_eq!(options.words, ["top"]);
        assert_eq!(
            (options.count, options.reverse, options.json),
            (Some(5), true, true)
        );
        assert_eq!(options.special, ["count", "sort", "reverse", "interval"]);
        let raw = of("-p 7 raw -- CONFIG --json", &[]).unwrap();
        assert_eq!(raw.words, ["raw", "CONFIG", "--json"]);
        assert!(!raw.json);
        assert!(of("raw --help", &[]).unwrap().help);
        assert_eq!(
            of("raw SET -1 --x", &[]).unwrap().words,
            ["raw", "SET", "-1", "--x"]
        );
        assert_eq!(of("scale -1", &[]).unwrap().words, ["scale", "-1"]);
    }

    #[test]
    fn the_environment_comes_second() {
        let env = [("DTMCTL_SOCKET", "unix:@x"), ("DTMCTL_PASSWORD", "p")];
        let options = of("status", &env).unwrap();
        assert_eq!(options.place, Some(Place::Unix("@x".into())));
        assert_eq!(options.password.as_deref(), Some("p"));
        let options = of("-p 99 -a q status", &env).unwrap();
        assert_eq!(options.place, Some(Place::Tcp("127.0.0.1".into(), 99)));
        assert_eq!(options.password.as_deref(), Some("q"));
        assert_eq!(of("status", &[]).unwrap().place, None);
    }

    #[test]
    fn mistakes() {
        for (line, part) in [
            ("--nosuch", "no option --nosuch"),
            ("-x", "no option -x"),
            ("-h", "--help"),
            ("-s a -p 1", "not both"),
            ("-p 0", "65535"),
            ("-h a", "which port"),
            ("-t x", "seconds"),
            ("-i 0", "from 0.1"),
            ("-n 0", "from 1"),
            ("--color red", "always"),
            ("--json=1", "no value"),
            ("--password-file /nonexistent/x", "/nonexistent/x"),
        ] {
            let fail = of(line, &[]).unwrap_err();
            assert_eq!(fail.code, crate::fail::Code::Usage);
            assert!(fail.text.contains(part), "{line}: {}", fail.text);
        }
    }
}
