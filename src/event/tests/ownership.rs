//! Clients that the service takes over: still counted (taken), or not any more (released).

use super::*;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use std::os::fd::BorrowedFd;

#[test]
fn taken_by_the_service() {
    let world = world();
    world.on_open(|_, _| DTM_TAKEN);
    let (mut ours, client) = world.connect();
    ours.write_all(b"x").unwrap();
    world.heard();
    assert_eq!(world.turn(), []);
    assert_eq!(world.clients(), 1);
    let fd = world.client_fd(client).unwrap();
    assert_eq!(read(fd, 10), 1);
    world.client_wake(client).unwrap();
    assert_eq!(world.turn(), [Step(1, DTM_WAKE)]);
    world.client_close(client).unwrap();
    assert_eq!(world.turn(), [Close(1, DTM_CLOSE_ASKED)]);
    assert!(sees_end(&ours));
}

fn is_ours(fd: i32, ours: &UnixStream) -> bool {
    // SAFETY: released to us.
    let fd = unsafe { OwnedFd::from_raw_fd(fd) };
    let open = !sees_end(ours);
    drop(fd);
    open && sees_end(ours)
}

#[test]
fn released_to_the_service() {
    let world = world();
    for taken in [DTM_TAKEN, DTM_KEEP] {
        world.on_open(move |_, _| taken);
        let (ours, client) = world.connect();
        assert_eq!((world.clients(), world.busy()), (1, 1));
        let fd = world.client_release(client).unwrap();
        assert_eq!((world.clients(), world.busy()), (0, 0));
        assert_eq!(world.client_release(client).unwrap_err().code, DTM_EGONE);
        assert_eq!(world.client_close(client).unwrap_err().code, DTM_EGONE);
        world.heard();
        assert_eq!(world.turn(), [], "no close callback");
        assert!(is_ours(fd, &ours));
    }
}

#[test]
fn released_by_its_own_callbacks() {
    let world = world();
    let kept = Rc::new(Cell::new(-1));
    let release = |kept: &Rc<Cell<i32>>| {
        let kept = kept.clone();
        move |world: &World, client| kept.set(world.client_release(client).unwrap())
    };

    let from_open = release(&kept);
    world.on_open(move |world, client| {
        from_open(world, client);
        DTM_KEEP
    });
    let (ours, _) = world.connect();
    assert_eq!(world.heard(), [Open(1)]);
    assert_eq!(world.clients(), 0);
    assert!(is_ours(kept.get(), &ours));

    world.on_open(|_, _| DTM_KEEP);
    let from_step = release(&kept);
    world.on_step(move |world, client, _| {
        from_step(world, client);
        assert_eq!(
            world.client_set_busy(client, false).unwrap_err().code,
            DTM_EGONE
        );
        DTM_KEEP
    });
    let (mut ours, _) = world.connect();
    ours.write_all(b"x").unwrap();
    assert_eq!(world.turn(), [Open(2), Step(2, DTM_READ)]);
    assert_eq!(world.turn(), [], "it is in nobody's epoll");
    assert_eq!(world.clients(), 0);
    assert!(is_ours(kept.get(), &ours));

    let from_close = release(&kept);
    world.on_close(move |world, client, _| from_close(world, client));
    let (mut ours, client) = world.connect();
    world.client_close(client).unwrap();
    assert_eq!(world.turn(), [Open(3), Close(3, DTM_CLOSE_ASKED)]);
    assert_eq!(world.clients(), 0);
    ours.write_all(b"x").unwrap();
    // SAFETY: it lives as long as the world.
    let epoll = unsafe { BorrowedFd::borrow_raw(world.epoll_fd()) };
    let mut fds = [PollFd::new(epoll, PollFlags::POLLIN)];
    assert_eq!(
        poll(&mut fds, PollTimeout::ZERO),
        Ok(0),
        "it is in nobody's epoll"
    );
    assert!(is_ours(kept.get(), &ours));
}
