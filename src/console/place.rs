//! Where the console may listen: only where no stranger gets at it.

use crate::config::Console as Settings;
use crate::error::{Error, Result};
use crate::net::Address;
use std::net::SocketAddr;
use std::os::unix::fs::MetadataExt;
use std::path::Path;

/// H05: refused at the start, with the reason and what to do.
pub(crate) fn check_place(address: &str, settings: &Settings) -> Result<()> {
    match Address::parse(address)? {
        Address::Path(path) => check_folder(&path),
        Address::Abstract(_) => Ok(()), // SO_PEERCRED says who comes
        Address::Inet(inet) if is_loopback(&inet) => Ok(()),
        // Where that is, only the socket unit knows.
        Address::Inet(_) | Address::Any(_) | Address::Systemd(_) if settings.remote => Ok(()), // it has a password
        Address::Inet(_) | Address::Any(_) | Address::Systemd(_) => Err(Error::invalid(format!(
            "control listener {address}: reachable from other machines; listen on 127.0.0.1 or a \
             Unix socket, or set control_remote = yes and a control_password"
        ))),
    }
}

fn is_loopback(address: &SocketAddr) -> bool {
    address.ip().to_canonical().is_loopback()
}

/// In a folder that everybody may write to, everybody could put a socket of his own in
/// the place of ours. The sticky bit, as /tmp has it, prevents that.
fn check_folder(path: &str) -> Result<()> {
    let folder = Path::new(path).parent().unwrap_or(Path::new("/"));
    let Ok(about) = std::fs::metadata(folder) else {
        return Ok(()); // bind() says what is wrong
    };
    let (everybody, sticky) = (about.mode() & 0o002 != 0, about.mode() & 0o1000 != 0);
    if everybody && !sticky {
        return Err(Error::invalid(format!(
            "control listener unix:{path}: everybody may replace files in {}; chmod o-w it, or \
             choose a folder of the service's own",
            folder.display()
        )));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn settings(remote: bool) -> Settings {
        Settings {
            remote,
            clients: 1,
            timeout_ms: 1,
            operators: None,
            password: remote.then(|| "x".into()),
            metrics: None,
        }
    }

    #[test]
    fn other_machines_only_when_asked_for() {
        let check = |address: &str, remote| check_place(address, &settings(remote));
        for near in [
            "127.0.0.1:1",
            "127.9.9.9:1",
            "[::1]:1",
            "[::ffff:127.0.0.1]:1",
            "unix:@x",
        ] {
            assert!(check(near, false).is_ok(), "{near}");
        }
        for far in ["0.0.0.0:1", "*:1", "[::]:1", "10.0.0.1:1", "[fe80::1]:1"] {
            let error = check(far, false).unwrap_err();
            assert!(error.text.contains("control_remote"), "{}", error.text);
            assert!(check(far, true).is_ok(), "{far}");
        }
    }

    #[test]
    fn a_folder_of_everybody() {
        use std::os::unix::fs::PermissionsExt;
        let folder = std::env::temp_dir().join(format!("dtm-place-{}", std::process::id()));
        std::fs::create_dir(&folder).unwrap();
        let socket = format!("unix:{}/s", folder.display());
        let with = |mode| {
            std::fs::set_permissions(&folder, std::fs::Permissions::from_mode(mode)).unwrap();
            check_place(&socket, &settings(false))
        };
        assert!(with(0o700).is_ok() && with(0o775).is_ok() && with(0o1777).is_ok());
        assert!(with(0o777).unwrap_err().text.contains("chmod o-w"));
        std::fs::remove_dir(&folder).unwrap();
    }
}
