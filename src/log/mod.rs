//! Logging: the `log` macros, written `::log::info!` in this crate, lead here.
//!
//! The sink belongs to the thread that owns the runtime, which is the one that goes
//! on after a fork. It is set up anew in every process. No line is waited for: what
//! the target does not take is dropped, counted, and reported when it takes again.

mod line;
mod out;
#[cfg(feature = "syslog")]
mod syslog;
mod target;

pub(crate) use target::Target;

use crate::error::{Context, Error, Result};
use crate::ffi::*;
use ::log::{Level, LevelFilter, Log, Metadata, Record};
use line::Speaker;
use std::cell::Cell;
use std::ffi::c_void;
use std::fmt::{Arguments, Write};
use std::fs::File;
use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::fs::OpenOptionsExt;

#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct LogConfig {
    pub(crate) level: LevelFilter,
    pub(crate) target: Target,
}

struct Sink {
    output: Output,
    /// As it was configured.
    target: Target,
    name: String,
    /// The file's path, %r replaced.
    file: Option<String>,
    line: String,
    /// Lines lost in this process, and how many of them were reported.
    dropped: u64,
    reported: u64,
}

enum Output {
    Off,
    Stderr,
    File(File),
    Callback(LogCallback, *mut c_void),
    #[cfg(feature = "syslog")]
    Syslog(syslog::Syslog),
}

type LogCallback = unsafe extern "C-unwind" fn(u32, *const std::ffi::c_char, usize, *mut c_void);

thread_local! {
    /// Empty while a line is written: what is logged meanwhile (a log callback that
    /// calls back, against its rules) is lost instead of recursing.
    static SINK: Cell<Option<Box<Sink>>> = const { Cell::new(None) };
    static LOST_INSIDE: Cell<u64> = const { Cell::new(0) };
    /// In a child: where warnings and errors are kept for the master, besides.
    static KEEPER: Cell<Option<Keeper>> = const { Cell::new(None) };
}

type Keeper = Box<dyn Fn(&str)>;

/// From now on this hears of every warning and error of this process, whatever the
/// target does with them.
pub(crate) fn keep_complaints(keeper: impl Fn(&str) + 'static) {
    KEEPER.set(Some(Box::new(keeper)));
}

fn complain(text: Arguments<'_>) {
    if let Ok(Some(keeper)) = KEEPER.try_with(Cell::take) {
        keeper(&text.to_string());
        KEEPER.set(Some(keeper));
    }
}

/// Open the target for this process. What was open before (also: inherited) is
/// closed; on failure it stays in use.
pub(crate) fn setup(
    config: &LogConfig,
    callback: dtm_log_cb,
    user_data: *mut c_void,
    name: &str,
) -> Result<()> {
    let mut file = None;
    let output = match &config.target {
        Target::Off => Output::Off,
        Target::Stderr => Output::Stderr,
        Target::Callback => {
            let callback = callback.ok_or_else(|| {
                Error::config("log_target = callback: the callback table has no `log`")
            })?;
            Output::Callback(callback, user_data)
        }
        Target::File(path) => {
            let path = target::file_of(path, crate::role::current());
            let opened = open(&path)?;
            file = Some(path);
            Output::File(opened)
        }
        #[cfg(feature = "syslog")]
        Target::Syslog(path) => {
            Output::Syslog(syslog::Syslog::open(path).context("syslog socket")?)
        }
        #[cfg(not(feature = "syslog"))]
        Target::Syslog(_) => {
            let text = "log_target = syslog: this libdtm was built without it";
            return Err(Error::new(DTM_ENOTSUP, text));
        }
    };
    let sink = Sink {
        output,
        target: config.target.clone(),
        name: name.into(),
        file,
        line: String::new(),
        dropped: 0,
        reported: 0,
    };
    SINK.set(Some(Box::new(sink)));
    // Used for the first time it asks the C library for memory, which there may be none of.
    KEEPER.with(|_| ());
    LOST_INSIDE.set(0);
    // Fails when it is there already, which is as good.
    let _ = ::log::set_logger(&Facade);
    ::log::set_max_level(config.level);
    Ok(())
}

/// Is this the one that is open? After a failure it is an older one.
pub(crate) fn leads_to(target: &Target) -> bool {
    with_sink(|sink| sink.target == *target).unwrap_or(false)
}

/// Close the target; lines go nowhere from now on (dtm_free).
pub(crate) fn close() {
    SINK.set(None);
    ::log::set_max_level(LevelFilter::Off);
}

/// Open the log file anew, after somebody moved it away. On failure the old one
/// stays in use.
pub(crate) fn reopen() -> Result<()> {
    with_sink(|sink| {
        if let (Some(path), Output::File(file)) = (&sink.file, &mut sink.output) {
            *file = open(path)?;
        }
        Ok(())
    })
    .unwrap_or(Ok(()))
}

/// For a child, which may have lost the right to open it, or the sight of it.
pub(crate) fn open_for(config: &LogConfig, role: u32) -> Option<Result<File>> {
    match &config.target {
        Target::File(path) => Some(open(&target::file_of(path, role))),
        _ => None,
    }
}

/// The file that the master has opened anew for this process, which is to have this target
/// and may have failed to open it.
pub(crate) fn replace(fresh: File, target: &Target) {
    with_sink(|sink| {
        if let Target::File(path) = target {
            sink.file = Some(target::file_of(path, crate::role::current()));
            sink.target = target.clone();
            sink.output = Output::File(fresh);
        } else if let Output::File(file) = &mut sink.output {
            *file = fresh;
        }
    });
}

/// Lines lost in this process since its log was set up.
#[cfg(test)]
pub(crate) fn dropped() -> u64 {
    with_sink(|sink| sink.dropped).unwrap_or(0) + LOST_INSIDE.get()
}

/// A line of the service's.
pub(crate) fn line(level: Level, text: &str) {
    ::log::log!(level, "{text}");
}

/// Of a DTM_LOG_* level.
pub(crate) fn filter(level: u32) -> LevelFilter {
    level_of(level).map_or(LevelFilter::Info, |level| level.to_level_filter())
}

/// The DTM_LOG_* level of a filter.
pub(crate) fn number(wanted: LevelFilter) -> u32 {
    let mut levels = DTM_LOG_ERROR..=DTM_LOG_TRACE;
    levels
        .find(|level| filter(*level) == wanted)
        .unwrap_or(DTM_LOG_INFO)
}

/// Of a DTM_LOG_* level.
pub(crate) fn level_of(level: u32) -> Option<Level> {
    match level {
        DTM_LOG_ERROR => Some(Level::Error),
        DTM_LOG_WARN => Some(Level::Warn),
        DTM_LOG_INFO => Some(Level::Info),
        DTM_LOG_DEBUG => Some(Level::Debug),
        DTM_LOG_TRACE => Some(Level::Trace),
        _ => None,
    }
}

fn open(path: &str) -> Result<File> {
    std::fs::OpenOptions::new()
        .append(true)
        .create(true)
        .mode(0o640)
        .custom_flags(libc::O_NONBLOCK | libc::O_NOCTTY) // it may be a FIFO
        .open(path)
        .context(format_args!("log file {path}"))
}

fn with_sink<R>(f: impl FnOnce(&mut Sink) -> R) -> Option<R> {
    // The thread-local may be gone at the end of the thread.
    let mut sink = SINK.try_with(Cell::take).ok().flatten()?;
    let result = f(&mut sink);
    // If the callback set up another one, that one is meant to stay.
    SINK.with(|place| {
        let newer = place.take();
        place.set(newer.or(Some(sink)));
    });
    Some(result)
}

struct Facade;

impl Log for Facade {
    fn enabled(&self, metadata: &Metadata<'_>) -> bool {
        metadata.level() <= ::log::max_level()
    }

    fn log(&self, record: &Record<'_>) {
        if !self.enabled(record.metadata()) {
            return;
        }
        if record.level() <= Level::Warn {
            complain(*record.args());
        }
        if with_sink(|sink| sink.log(record.level(), *record.args())).is_none() {
            let _ = LOST_INSIDE.try_with(|lost| lost.set(lost.get() + 1));
        }
    }

    fn flush(&self) {}
}

impl Sink {
    fn log(&mut self, level: Level, text: Arguments<'_>) {
        let missing = self.dropped - self.reported;
        if missing > 0 {
            let lines = if missing == 1 {
                "line was"
            } else {
                "lines were"
            };
            if self.write(Level::Warn, format_args!("{missing} log {lines} dropped")) {
                self.reported = self.dropped;
            }
        }
        if !self.write(level, text) {
            self.dropped += 1;
        }
    }

    /// False: the line was lost.
    fn write(&mut self, level: Level, text: Arguments<'_>) -> bool {
        let who = Speaker::here();
        self.line.clear();
        // On a full disk, a line may have been cut off in its middle: begin a new one.
        let lost = self.dropped > self.reported;
        match &mut self.output {
            Output::Off => true,
            Output::Stderr => {
                // SAFETY: used for this one call only, which answers EBADF if there
                // is no stderr.
                let stderr = unsafe { BorrowedFd::borrow_raw(libc::STDERR_FILENO) };
                if lost && out::is_regular(stderr) {
                    self.line.push('\n');
                }
                line::full(&mut self.line, &self.name, &who, level, text);
                self.line.push('\n');
                out::write_line(stderr, self.line.as_bytes())
            }
            Output::File(file) => {
                if lost && out::is_regular(file.as_fd()) {
                    self.line.push('\n');
                }
                line::full(&mut self.line, &self.name, &who, level, text);
                self.line.push('\n');
                out::write_line(file.as_fd(), self.line.as_bytes())
            }
            Output::Callback(callback, user_data) => {
                let _ = write!(self.line, "{who}: ");
                line::message(&mut self.line, text);
                let len = self.line.len();
                self.line.push('\0');
                let (ptr, data) = (self.line.as_ptr().cast(), *user_data);
                // SAFETY: the service's function, as dtm_callbacks_t asks for it; the
                // line stays as it is until it returns.
                crate::guard::callback(|| unsafe { callback(level as u32, ptr, len, data) });
                true
            }
            #[cfg(feature = "syslog")]
            Output::Syslog(syslog) => {
                let _ = write!(self.line, "{who}: ");
                line::message(&mut self.line, text);
                syslog.send(&self.name, &who, level, format_args!("{}", self.line))
            }
        }
    }
}

#[cfg(test)]
mod tests;
