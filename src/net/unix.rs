//! Unix listeners and their files. A file that nobody listens on is left over from
//! a crash and replaced; anything else that stands in the way is left alone.

use super::Address;
use super::listener::What;
use super::socket::{new_socket, start};
use crate::error::{Context, Error, Result};
use nix::errno::Errno;
use nix::sys::socket::{AddressFamily, UnixAddr, bind, connect};
use std::fs::{self, Permissions};
use std::os::fd::{AsRawFd, OwnedFd};
use std::os::unix::fs::{FileTypeExt, MetadataExt, PermissionsExt};

/// A socket file that this process has made.
pub(super) struct SocketFile {
    path: String,
    device: u64,
    inode: u64,
    /// Children inherit the listener, not the right to remove its file.
    owner: nix::unistd::Pid,
}

impl SocketFile {
    /// The one that is there, made by the binary that this one replaces. Nobody's yet.
    pub(super) fn of_another(path: &str) -> std::io::Result<Self> {
        let file = fs::symlink_metadata(path)?;
        Ok(Self {
            path: path.into(),
            device: file.dev(),
            inode: file.ino(),
            owner: nix::unistd::Pid::from_raw(0),
        })
    }

    /// Put it where clients look for it.
    pub(super) fn show(&mut self, path: &str) -> std::io::Result<()> {
        fs::rename(&self.path, path)?;
        self.path = path.into();
        Ok(())
    }

    pub(super) fn set_mode(&self, mode: u32) -> std::io::Result<()> {
        fs::set_permissions(&self.path, Permissions::from_mode(mode))
    }

    /// The user and group that its mode speaks of; `None`: unchanged.
    pub(super) fn give_to(&self, user: Option<u32>, group: u32) -> Result<()> {
        std::os::unix::fs::lchown(&self.path, user, Some(group))
            .context(format_args!("owner of the socket file {}", self.path))
    }

    /// This process removes it, or nobody does.
    pub(super) fn own(&mut self, own: bool) {
        self.owner = match own {
            true => nix::unistd::getpid(),
            false => nix::unistd::Pid::from_raw(0),
        };
    }

    /// Is it still the one that was made?
    pub(super) fn is_there(&self) -> bool {
        let same = |file: fs::Metadata| file.dev() == self.device && file.ino() == self.inode;
        fs::symlink_metadata(&self.path).is_ok_and(same)
    }

    /// If it is this very process that has made it.
    pub(super) fn remove(&self) {
        if self.owner == nix::unistd::getpid() && self.is_there() {
            // Gone already, or no right to: nothing to be done.
            let _ = fs::remove_file(&self.path);
        }
    }
}

impl Drop for SocketFile {
    fn drop(&mut self) {
        self.remove();
    }
}

/// Not listening yet.
pub(super) fn bind_abstract(name: &str) -> nix::Result<OwnedFd> {
    let fd = new_socket(AddressFamily::Unix)?;
    bind(fd.as_raw_fd(), &UnixAddr::new_abstract(name.as_bytes())?)?;
    Ok(fd)
}

/// The file is made under another name and moved in place when it listens, by
/// [`SocketFile::show`]: it is never seen half-made, nor with the wrong permissions, nor
/// missing while it is replaced.
pub(super) fn listen_path(path: &str, mode: u32, backlog: u32) -> Result<(OwnedFd, SocketFile)> {
    let address = Address::Path(path.into());
    let what = What(&address);
    let owner = nix::unistd::getpid();
    let unfinished = format!("{path}.{owner}");
    let name = UnixAddr::new(unfinished.as_str()).map_err(|_| {
        let room = 107 - (unfinished.len() - path.len());
        Error::invalid(format!(
            "{what}: the path is too long, at most {room} bytes fit here"
        ))
    })?;
    check_free(path, &address)?;

    // Of a process that had our pid before.
    let _ = fs::remove_file(&unfinished);
    let fd = new_socket(AddressFamily::Unix).context(&what)?;
    bind(fd.as_raw_fd(), &name).context(&what)?;
    let made = start(&fd, backlog)
        .map_err(std::io::Error::from)
        .and_then(|()| fs::set_permissions(&unfinished, Permissions::from_mode(mode)))
        .and_then(|()| fs::symlink_metadata(&unfinished));
    if made.is_err() {
        let _ = fs::remove_file(&unfinished);
    }
    let file = made.context(&what)?;
    let file = SocketFile {
        path: unfinished,
        device: file.dev(),
        inode: file.ino(),
        owner,
    };
    Ok((fd, file))
}

/// May this path be taken?
fn check_free(path: &str, address: &Address) -> Result<()> {
    let what = What(address);
    let taken = |why: &str| Error::new(-libc::EADDRINUSE, format!("{what}: {why}"));
    let file = match fs::symlink_metadata(path) {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(()),
        result => result.context(&what)?,
    };
    if !file.file_type().is_socket() {
        return Err(taken("a file that is not a socket is in the way"));
    }
    let probe = new_socket(AddressFamily::Unix).context(&what)?;
    let name = UnixAddr::new(path).context(&what)?;
    match connect(probe.as_raw_fd(), &name) {
        Err(Errno::ECONNREFUSED | Errno::ENOENT) => Ok(()),
        // EAGAIN: it is so busy that its queue is full. EPROTOTYPE: not a stream.
        Ok(()) | Err(Errno::EAGAIN | Errno::EPROTOTYPE) => {
            Err(taken("Address already in use by a process that listens"))
        }
        Err(errno) => Err(Error::os(errno, what)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::net::{Inherited, ListenSpec, Listener, Peer, Use, accept};
    use std::os::unix::net::{UnixDatagram, UnixListener, UnixStream};
    use std::path::{Path, PathBuf};

    struct Folder(PathBuf);

    impl Folder {
        fn new(name: &str) -> Self {
            let path = std::env::temp_dir().join(format!("dtm-{name}-{}", std::process::id()));
            let _ = fs::remove_dir_all(&path);
            fs::create_dir(&path).unwrap();
            Self(path)
        }

        fn names(&self) -> Vec<String> {
            let name = |entry: fs::DirEntry| entry.file_name().into_string().unwrap();
            fs::read_dir(&self.0)
                .unwrap()
                .map(|entry| name(entry.unwrap()))
                .collect()
        }
    }

    impl Drop for Folder {
        fn drop(&mut self) {
            let _ = fs::remove_dir_all(&self.0);
        }
    }

    fn listen(path: &Path, control: bool) -> Result<Listener> {
        let address = format!("unix:{}", path.display());
        Listener::bind(
            &ListenSpec {
                address,
                tag: 0,
                backlog: 1,
                mode: 0,
                used: if control { Use::Control } else { Use::Service },
            },
            &Inherited::default(),
        )
    }

    fn mode(path: &Path) -> u32 {
        fs::metadata(path).unwrap().mode() & 0o7777
    }

    #[test]
    fn made_used_removed() {
        let folder = Folder::new("made");
        let path = folder.0.join("s");
        let listener = listen(&path, false).unwrap();
        assert_eq!(
            (mode(&path), folder.names(), listener.port()),
            (0o666, vec!["s".into()], 0)
        );
        let _client = UnixStream::connect(&path).unwrap();
        assert!(matches!(accept(listener.fd()), Ok(Some((_, Peer::Unix)))));
        drop(listener);
        assert!(folder.names().is_empty());
        let control = listen(&path, true).unwrap();
        assert_eq!(mode(&path), 0o600);
        drop(control);
    }

    #[test]
    fn a_stale_file_is_replaced_and_a_live_one_is_not() {
        let folder = Folder::new("stale");
        let path = folder.0.join("s");
        drop(UnixListener::bind(&path).unwrap());
        let first = listen(&path, false).unwrap();
        let error = listen(&path, false).err().unwrap();
        assert_eq!(error.code, -libc::EADDRINUSE);
        assert!(
            error.text.contains(path.to_str().unwrap()),
            "{}",
            error.text
        );
        // Each probe stays in the queue (backlog 1 takes two): a full one answers, too.
        for _ in 0..3 {
            assert_eq!(listen(&path, false).err().unwrap().code, -libc::EADDRINUSE);
        }
        assert_eq!(folder.names(), ["s"]);
        drop(first);
        listen(&path, false).unwrap();
    }

    #[test]
    fn other_files_are_left_alone() {
        let folder = Folder::new("other");
        let path = folder.0.join("s");
        fs::write(&path, "precious").unwrap();
        assert_eq!(listen(&path, false).err().unwrap().code, -libc::EADDRINUSE);
        assert_eq!(fs::read(&path).unwrap(), b"precious");
        fs::remove_file(&path).unwrap();
        let _datagram = UnixDatagram::bind(&path).unwrap();
        assert_eq!(listen(&path, false).err().unwrap().code, -libc::EADDRINUSE);
        let gone = listen(&folder.0.join("no/s"), false).err().unwrap();
        assert_eq!(gone.code, -libc::ENOENT);
        assert_eq!(folder.names(), ["s"]);
    }

    #[test]
    fn cleanup_spares_a_successor_and_another_process() {
        let folder = Folder::new("successor");
        let path = folder.0.join("s");
        let first = listen(&path, false).unwrap();
        fs::remove_file(&path).unwrap();
        let _successor = UnixListener::bind(&path).unwrap();
        drop(first);
        assert_eq!(folder.names(), ["s"]);
        fs::remove_file(&path).unwrap();
        let file = fs::File::create(&path).unwrap().metadata().unwrap();
        let (device, inode) = (file.dev(), file.ino());
        let owner = nix::unistd::getppid();
        SocketFile {
            path: path.to_str().unwrap().into(),
            device,
            inode,
            owner,
        }
        .remove();
        assert_eq!(folder.names(), ["s"]);
    }

    #[test]
    fn long_paths() {
        let error = listen(Path::new(&format!("/{}", "x".repeat(105))), false)
            .err()
            .unwrap();
        assert_eq!(error.code, crate::ffi::DTM_EINVAL);
        let name = format!("dtm-{}", std::process::id());
        let spec = |name: &str| ListenSpec {
            address: format!("unix:@{name}"),
            tag: 0,
            backlog: 0,
            mode: 0,
            used: Use::Service,
        };
        let first = Listener::bind(&spec(&name), &Inherited::default()).unwrap();
        assert_eq!(
            Listener::bind(&spec(&name), &Inherited::default())
                .err()
                .unwrap()
                .code,
            -libc::EADDRINUSE
        );
        drop(first);
    }
}
