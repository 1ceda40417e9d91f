use super::*;
#[cfg(feature = "syslog")]
use std::os::unix::net::UnixDatagram;
use std::path::PathBuf;

fn path(name: &str) -> PathBuf {
    let path = std::env::temp_dir().join(format!("dtm-log-{name}-{}", std::process::id()));
    let _ = std::fs::remove_file(&path);
    path
}

/// Level TRACE in every test: the level is the only thing that threads share.
fn set(target: Target) {
    let config = LogConfig {
        level: LevelFilter::Trace,
        target,
    };
    setup(&config, None, std::ptr::null_mut(), "svc").unwrap();
}

fn file(path: &std::path::Path) -> Target {
    Target::File(path.to_str().unwrap().into())
}

#[test]
fn lines_reach_a_file_and_follow_its_reopening() {
    let (log, moved) = (path("file"), path("moved"));
    set(file(&log));
    ::log::info!("one\ntwo");
    std::fs::rename(&log, &moved).unwrap();
    line(Level::Warn, "three");
    reopen().unwrap();
    ::log::trace!("four");
    let old = std::fs::read_to_string(&moved).unwrap();
    let lines: Vec<&str> = old
        .lines()
        .map(|line| line.split_once("Z ").unwrap().1)
        .collect();
    let pid = std::process::id();
    let who = format!("svc[{pid}] stranger");
    assert_eq!(
        lines,
        [format!("{who} info: one two"), format!("{who} warn: three")]
    );
    assert!(
        std::fs::read_to_string(&log)
            .unwrap()
            .ends_with("trace: four\n")
    );
    assert_eq!(dropped(), 0);
    let mode = std::os::unix::fs::MetadataExt::mode(&std::fs::metadata(&log).unwrap());
    assert_eq!(mode & 0o7137, 0);
    std::fs::remove_file(log).unwrap();
    std::fs::remove_file(moved).unwrap();
}

#[test]
fn a_failure_leaves_the_old_target_in_use() {
    let log = path("kept");
    set(file(&log));
    let bad = LogConfig {
        level: LevelFilter::Trace,
        target: Target::File("/no/such/x".into()),
    };
    let error = setup(&bad, None, std::ptr::null_mut(), "svc").unwrap_err();
    assert_eq!(error.code, -libc::ENOENT);
    assert!(
        error.text.starts_with("log file /no/such/x: "),
        "{}",
        error.text
    );
    let none = LogConfig {
        level: LevelFilter::Trace,
        target: Target::Callback,
    };
    assert_eq!(
        setup(&none, None, std::ptr::null_mut(), "svc")
            .unwrap_err()
            .code,
        DTM_ECONFIG
    );
    ::log::info!("still here");
    let text = std::fs::read_to_string(&log).unwrap();
    assert!(text.ends_with("still here\n"), "{text}");

    // Nor does a reopening that fails: a folder stands where the file was.
    let moved = path("kept-moved");
    std::fs::rename(&log, &moved).unwrap();
    std::fs::create_dir(&log).unwrap();
    assert_eq!(reopen().unwrap_err().code, -libc::EISDIR);
    ::log::info!("and here");
    let text = std::fs::read_to_string(&moved).unwrap();
    assert!(text.ends_with("and here\n"), "{text}");
    std::fs::remove_dir(log).unwrap();
    std::fs::remove_file(moved).unwrap();
}

#[test]
fn dropped_lines_are_reported_once_the_target_takes_again() {
    let fifo = path("fifo");
    nix::unistd::mkfifo(&fifo, nix::sys::stat::Mode::S_IRWXU).unwrap();
    let flags = libc::O_NONBLOCK;
    let mut options = std::fs::OpenOptions::new();
    let mut reader = options.read(true).custom_flags(flags).open(&fifo).unwrap();
    set(file(&fifo));
    let long = "x".repeat(4000);
    let mut sent = 0;
    while dropped() < 3 {
        ::log::info!("{sent} {long}");
        sent += 1;
        assert!(sent < 1000, "a full pipe never dropped a line");
    }
    let mut read = String::new();
    let _ = std::io::Read::read_to_string(&mut reader, &mut read); // until EAGAIN
    ::log::info!("after");
    let _ = std::io::Read::read_to_string(&mut reader, &mut read);
    let all: Vec<&str> = read.lines().collect();
    assert_eq!(all.len(), sent - 3 + 2);
    assert!(
        all[all.len() - 2].ends_with("warn: 3 log lines were dropped"),
        "{}",
        all[all.len() - 2]
    );
    assert!(all[all.len() - 1].ends_with("info: after"));
    assert_eq!(dropped(), 3);
    std::fs::remove_file(fifo).unwrap();
}

thread_local! {
    static SEEN: Cell<Vec<String>> = const { Cell::new(Vec::new()) };
}

unsafe extern "C-unwind" fn record(
    level: u32,
    line: *const std::ffi::c_char,
    len: usize,
    user_data: *mut c_void,
) {
    // SAFETY: terminated by libdtm.
    let text = unsafe { std::ffi::CStr::from_ptr(line) }.to_str().unwrap();
    assert_eq!(text.len(), len);
    let mut seen = SEEN.take();
    seen.push(format!("{level} {} {text}", user_data.addr()));
    SEEN.set(seen);
    ::log::error!("from inside of the callback");
}

#[test]
fn a_callback_that_logs_does_not_recurse() {
    let config = LogConfig {
        level: LevelFilter::Trace,
        target: Target::Callback,
    };
    setup(
        &config,
        Some(record),
        std::ptr::without_provenance_mut(5),
        "svc",
    )
    .unwrap();
    ::log::warn!("one");
    ::log::debug!("two");
    assert_eq!(SEEN.take(), ["2 5 stranger: one", "4 5 stranger: two"]);
    assert_eq!(dropped(), 2);
}

#[cfg(feature = "syslog")]
fn receive(server: &UnixDatagram) -> Option<String> {
    let mut buffer = [0; 8192];
    let len = server.recv(&mut buffer).ok()?;
    Some(String::from_utf8(buffer[..len].to_vec()).unwrap())
}

#[cfg(feature = "syslog")]
#[test]
fn syslog_never_blocks_and_follows_a_restart() {
    let socket = path("syslog");
    let bind = || {
        let server = UnixDatagram::bind(&socket).unwrap();
        server.set_nonblocking(true).unwrap();
        server
    };
    // Nobody there yet: lost, not an error.
    set(Target::Syslog(socket.to_str().unwrap().into()));
    ::log::info!("early");
    assert_eq!(dropped(), 1);

    let server = bind();
    ::log::error!("a\nb");
    let pid = std::process::id();
    let report = format!("<28>svc[{pid}]: stranger: 1 log line was dropped");
    assert_eq!(receive(&server).unwrap(), report);
    assert_eq!(
        receive(&server).unwrap(),
        format!("<27>svc[{pid}]: stranger: a b")
    );

    // A flood is cut, not waited for.
    let flood = 5_000;
    (0..flood).for_each(|n| ::log::debug!("{n}"));
    let lost = dropped() - 1;
    assert!(lost > 0);
    let taken = std::iter::from_fn(|| receive(&server)).count() as u64;
    assert_eq!(taken + lost, flood);

    // A new daemon at the same place.
    drop(server);
    std::fs::remove_file(&socket).unwrap();
    let server = bind();
    ::log::info!("hello again");
    assert!(
        receive(&server)
            .unwrap()
            .ends_with("log lines were dropped")
    );
    assert_eq!(
        receive(&server).unwrap(),
        format!("<30>svc[{pid}]: stranger: hello again")
    );
    std::fs::remove_file(&socket).unwrap();
}
