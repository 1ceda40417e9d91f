//! Names, rights, the manual.

use super::*;

fn words(line: &str) -> Vec<Vec<u8>> {
    line.split(' ').map(|w| w.as_bytes().to_vec()).collect()
}

fn own(name: &str, arity: i32, operator_only: bool) -> Registered {
    Registered {
        name: name.into(),
        arity,
        operator_only,
        help: String::new(),
        handler: None,
        data: std::ptr::null_mut(),
    }
}

fn look(line: &str, right: Right) -> std::result::Result<String, String> {
    let own = [own("flush", 2, true), own("peek", -1, false)];
    find(&own, &words(line), right).map(|c| c.name().to_owned())
}

#[test]
fn the_longest_name_wins() {
    let name = |line| look(line, Right::Operator).unwrap();
    assert_eq!(name("command"), "COMMAND");
    assert_eq!(name("Command DOCS ping"), "COMMAND DOCS");
    assert_eq!(name("accept mode set hash"), "ACCEPT MODE SET");
    assert_eq!(name("reset"), "RESET");
    assert_eq!(name("reset slots"), "RESET SLOTS");
    assert_eq!(name("PEEK a b"), "peek");
    assert_eq!(name("flush x"), "flush");
}

#[test]
fn errors_say_what_and_how() {
    let error = |line| look(line, Right::Operator).unwrap_err();
    assert!(error("x").starts_with("ERR unknown command 'x'"));
    assert!(error("client nosuch").contains("CLIENT LIST"));
    assert!(error("client").contains("CLIENT LIST"));
    assert!(error("command nosuch").contains("COMMAND DOCS"));
    assert!(error("scale").starts_with("ERR wrong number of arguments for 'scale'"));
    assert!(error("scale 1 2").contains("SCALE workers"));
    assert!(error("flush").starts_with("ERR wrong number"));
}

/// H09: the right to a command depends on nothing but the table.
#[test]
fn every_command_asks_for_its_right() {
    let own = [own("flush", 1, true), own("peek", 1, false)];
    for command in all(&own) {
        let (least, _) = command.count();
        let mut line = words(command.name());
        line.extend((0..least).map(|_| b"1".to_vec()));
        for right in [Right::Stranger, Right::Observer, Right::Operator] {
            let mut cases = vec![line.clone()];
            cases.push(line.iter().map(|w| w.to_ascii_lowercase()).collect());
            for case in cases {
                let found = find(&own, &case, right);
                let allowed = right >= command.right();
                match found {
                    Ok(_) => assert!(allowed, "{}", command.name()),
                    Err(text) if right == Right::Stranger => {
                        assert!(!allowed && text.starts_with("NOAUTH"))
                    }
                    Err(text) => assert!(!allowed && text.starts_with("NOPERM"), "{text}"),
                }
            }
        }
    }
    assert!(find(&own, &words("nosuch"), Right::Stranger).is_err_and(|e| e.starts_with("NOAUTH")));
}

/// The page is the operators' manual: DTM_BLESS=1 renews its table.
#[test]
fn the_page_lists_every_command() {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/docs/console.md");
    let page = std::fs::read_to_string(path).unwrap();
    let mut table = String::from("| command | | |\n|---|---|---|\n");
    for command in all(&[]) {
        let usage = format!("{} {}", command.name(), command.args()).replace('|', "\\|");
        let mark = if command.right() == Right::Operator {
            "O"
        } else {
            ""
        };
        let help = command.help().replace('|', "\\|");
        table += &format!("| `{}` | {mark} | {help} |\n", usage.trim_end());
    }
    let (begin, end) = ("<!-- commands -->\n", "<!-- end -->\n");
    let (before, rest) = page.split_once(begin).unwrap();
    let (_, after) = rest.split_once(end).unwrap();
    let fresh = format!("{before}{begin}{table}{end}{after}");
    if std::env::var_os("DTM_BLESS").is_some() {
        std::fs::write(path, &fresh).unwrap();
    } else {
        assert!(
            fresh == page,
            "docs/console.md is stale: run  DTM_BLESS=1 cargo test"
        );
    }
}

#[test]
fn names_of_the_service() {
    assert!(check_name("my.cmd-1", &[]).is_ok());
    for bad in ["", "a b", "info", "CLIENT", "x\n", "flush"] {
        assert!(check_name(bad, &[own("FLUSH", 1, false)]).is_err(), "{bad}");
    }
}
