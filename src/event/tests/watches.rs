use super::*;

#[test]
fn a_life() {
    let world = world();
    let (mut ours, theirs) = UnixStream::pair().unwrap();
    theirs.set_nonblocking(true).unwrap();
    let watch = world.watch(theirs, DTM_READ, 5);
    assert_eq!(world.watch_data(watch).unwrap().addr(), 5);
    assert_eq!(world.turn(), []);
    ours.write_all(b"x").unwrap();
    world.on_watch(|world, watch, _| {
        let fd = world.watch_fd(watch).unwrap();
        read(fd, 10);
        world
            .watch_set_data(watch, std::ptr::without_provenance_mut(6))
            .unwrap();
        DTM_KEEP
    });
    assert_eq!(world.turn(), [WatchStep(5, DTM_READ)]);
    world.watch_wake(watch).unwrap();
    assert_eq!(world.turn(), [WatchStep(6, DTM_WAKE)]);
    world.watch_close(watch).unwrap();
    assert_eq!(world.turn(), [WatchClose(6, DTM_CLOSE_ASKED)]);
    assert!(sees_end(&ours));
    assert_eq!(world.watch_close(watch).unwrap_err().code, DTM_EGONE);
}

#[test]
fn refused_ones_stay_the_callers() {
    let world = world();
    let add = |fd: RawFd, interest| {
        world
            .watch_add(fd, interest, Some(watch_step), None, std::ptr::null_mut())
            .unwrap_err()
            .code
    };
    let file = std::fs::File::open("/proc/self/exe").unwrap();
    assert_eq!(add(file.as_raw_fd(), DTM_READ), -libc::EPERM);
    assert!(is_open(file.as_raw_fd()));
    let (_ours, theirs) = UnixStream::pair().unwrap();
    let fd = theirs.as_raw_fd();
    world.watch(theirs, DTM_READ, 1);
    assert_eq!(add(fd, DTM_READ), -libc::EEXIST);
    assert_eq!(add(-1, DTM_READ), -libc::EBADF);
    assert_eq!(add(world.epoll_fd(), DTM_READ), DTM_EINVAL);
    assert_eq!(add(fd, DTM_DRAIN), DTM_EINVAL);
    let no_step = world.watch_add(fd, DTM_READ, None, None, std::ptr::null_mut());
    assert_eq!(no_step.unwrap_err().code, DTM_EINVAL);
}

#[test]
fn released_in_its_own_step() {
    let world = world();
    let (mut ours, theirs) = UnixStream::pair().unwrap();
    let watch = world.watch(theirs, DTM_READ, 1);
    let fd = Rc::new(Cell::new(-1));
    let kept = fd.clone();
    world.on_watch(move |world, watch, _| {
        kept.set(world.watch_release(watch).unwrap());
        DTM_DONE
    });
    ours.write_all(b"x").unwrap();
    assert_eq!(world.turn(), [WatchStep(1, DTM_READ)]);
    assert_eq!(world.watch_release(watch).unwrap_err().code, DTM_EGONE);
    assert_eq!(world.turn(), []);
    assert_eq!(read(fd.get(), 10), 1);
    // SAFETY: released to us.
    drop(unsafe { OwnedFd::from_raw_fd(fd.get()) });
}

/// One step drives another's fd: a client's step lets a watch write, the watch's step
/// wakes the client, all in one pass or the next.
#[test]
fn a_client_and_its_backend() {
    let world = world();
    let (mut ours, client) = world.connect();
    let (_backend, theirs) = UnixStream::pair().unwrap();
    let watch = world.watch(theirs, 0, 2);
    world.heard();
    world.on_step(move |world, client, events| {
        if events == DTM_WAKE {
            return DTM_DONE;
        }
        read(world.client_fd(client).unwrap(), 10);
        world.watch_set_interest(watch, DTM_WRITE).unwrap();
        DTM_WAIT
    });
    world.on_watch(move |world, _, _| {
        world.client_wake(client).unwrap();
        DTM_WAIT
    });
    ours.write_all(b"x").unwrap();
    assert_eq!(world.turn(), [Step(1, DTM_READ)]);
    let told = [
        WatchStep(2, DTM_WRITE),
        Step(1, DTM_WAKE),
        Close(1, DTM_CLOSE_DONE),
    ];
    assert_eq!(world.turn(), told);
    assert_eq!(world.turn(), []);
}

/// An entry that one step frees is not what another event of the same batch means.
#[test]
fn stale_events_are_dropped() {
    let world = world();
    let pairs: Vec<_> = (0..2).map(|_| UnixStream::pair().unwrap()).collect();
    let (ours, theirs): (Vec<_>, Vec<_>) = pairs.into_iter().unzip();
    let watches: Vec<Watch> = theirs
        .into_iter()
        .enumerate()
        .map(|(name, fd)| world.watch(fd, DTM_READ, name))
        .collect();
    for mut end in &ours {
        end.write_all(b"x").unwrap();
    }
    world.on_watch(move |world, this, _| {
        let other = watches.iter().find(|w| **w != this).unwrap();
        let fd = world.watch_release(*other).unwrap();
        // The fd goes on under another name, and its readiness is news again.
        // SAFETY: released to us.
        let fd = unsafe { OwnedFd::from_raw_fd(fd) };
        world.watch(fd, DTM_READ, 77);
        DTM_DONE
    });
    let told = world.turn();
    assert_eq!(told.len(), 2, "{told:?}");
    world.on_watch(|_, _, _| DTM_DONE);
    let again = [WatchStep(77, DTM_READ), WatchClose(77, DTM_CLOSE_DONE)];
    assert_eq!(world.turn(), again);
}
