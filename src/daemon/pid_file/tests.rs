use super::*;
use std::fs;
use std::path::PathBuf;

struct Folder(PathBuf);

impl Folder {
    fn new(name: &str) -> Self {
        let path = std::env::temp_dir().join(format!("dtm-pid-{name}-{}", std::process::id()));
        let _ = fs::remove_dir_all(&path);
        fs::create_dir(&path).unwrap();
        Self(path)
    }

    fn file(&self) -> String {
        self.0.join("x.pid").to_str().unwrap().to_owned()
    }

    fn count(&self) -> usize {
        fs::read_dir(&self.0).unwrap().count()
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

#[test]
fn taken_told_removed() {
    let folder = Folder::new("taken");
    let path = folder.file();
    let mine = PidFile::take(&path).unwrap();
    let text = fs::read_to_string(&path).unwrap();
    let me = std::process::id();
    assert!(text.starts_with(&format!("{me}\nstart=")), "{text}");
    assert_eq!(fs::metadata(&path).unwrap().mode() & 0o777, 0o600);
    let second = PidFile::take(&path).err().unwrap();
    assert_eq!(second.code, -libc::EBUSY);
    assert_eq!(
        second.text,
        format!("pid_file = {path}: an instance with pid {me} runs already")
    );
    assert_eq!(signal(&path, 0), Ok(me.cast_signed()));
    check(&path).unwrap();
    assert_eq!(signal(&path, 0), Ok(me.cast_signed()));
    drop(mine);
    assert_eq!(folder.count(), 0);
    assert_eq!(signal(&path, 0).unwrap_err().code, -libc::ENOENT);
    check(&path).unwrap();
    assert_eq!(folder.count(), 0);
}

/// C13: whatever number it holds, without a lock it is nobody's.
#[test]
fn stale_files_of_all_kinds() {
    let folder = Folder::new("stale");
    let path = folder.file();
    let me = std::process::id();
    let parent = nix::unistd::getppid();
    let whole = Identity::of(me.cast_signed()).unwrap().to_text();
    for text in [
        whole,
        format!("{me}\n"),
        format!("{parent}\n"),
        "1\n".into(),
        "999999999\n".into(),
        String::new(),
    ] {
        fs::write(&path, &text).unwrap();
        assert_eq!(signal(&path, 0).unwrap_err().code, -libc::ESRCH, "{text}");
        let taken = PidFile::take(&path).unwrap();
        assert_eq!(signal(&path, 0), Ok(me.cast_signed()));
        drop(taken);
        assert_eq!(folder.count(), 0, "{text}");
    }
}

/// P2: a lock alone is not enough either; who holds it must be who wrote the file.
#[test]
fn a_locked_file_with_a_strangers_pid() {
    let folder = Folder::new("stranger");
    let path = folder.file();
    let mine = PidFile::take(&path).unwrap();
    let wrong = Identity::of_text(&format!(
        "1\n{}",
        fs::read_to_string(&path)
            .unwrap()
            .split_once('\n')
            .unwrap()
            .1
    ));
    fs::write(&path, wrong.unwrap().to_text()).unwrap();
    let error = signal(&path, 0).unwrap_err();
    assert_eq!(error.code, -libc::ESRCH);
    assert!(
        error
            .text
            .contains("pid 1 is not the process that wrote it"),
        "{}",
        error.text
    );
    fs::write(&path, "").unwrap();
    assert_eq!(signal(&path, 0).unwrap_err().code, -libc::EAGAIN);
    drop(mine);
    assert_eq!(folder.count(), 1, "it names somebody else: it is his");
}

#[test]
fn other_files_are_left_alone() {
    let folder = Folder::new("other");
    let path = folder.file();
    for content in ["root:x:0:0\n", "hello", &"7".repeat(300)] {
        fs::write(&path, content).unwrap();
        let error = PidFile::take(&path).err().unwrap();
        assert!(
            error
                .text
                .ends_with("something else than a pid file: left alone"),
            "{}",
            error.text
        );
        assert_eq!(check(&path).unwrap_err(), error);
        assert_eq!(fs::read_to_string(&path).unwrap(), content);
    }
    fs::remove_file(&path).unwrap();
    std::os::unix::fs::symlink("/tmp/elsewhere", &path).unwrap();
    assert_eq!(PidFile::take(&path).err().unwrap().code, -libc::ELOOP);
    let gone = PidFile::take(&format!("{path}/no")).err().unwrap();
    assert_eq!(gone.code, -libc::ENOENT);
}

/// An upgrade: the lock is never free, and the file names one of the two.
#[test]
fn handed_over() {
    let folder = Folder::new("handed");
    let path = folder.file();
    let old = PidFile::take(&path).unwrap();
    let new = PidFile::take_over(&path, old.fd().try_clone_to_owned().unwrap()).unwrap();
    // The new one fails: the file names the old one, here another process.
    let mine = fs::read(&path).unwrap();
    let parent = Identity::of(nix::unistd::getppid().as_raw()).unwrap();
    fs::write(&path, parent.to_text()).unwrap();
    drop(new);
    fs::write(&path, mine).unwrap();
    assert_eq!(PidFile::take(&path).err().unwrap().code, -libc::EBUSY);
    let new = PidFile::take_over(&path, old.fd().try_clone_to_owned().unwrap()).unwrap();
    new.claim().unwrap();
    assert_eq!(PidFile::take(&path).err().unwrap().code, -libc::EBUSY);
    let other = PidFile::take_over("/dev/null", old.fd().try_clone_to_owned().unwrap());
    assert!(
        other
            .err()
            .unwrap()
            .text
            .contains("not the file that was handed over")
    );
}
