use super::*;

#[test]
fn shutdown_of_the_peer_is_told_once() {
    let world = world();
    world.on_open(|_, _| DTM_HUP.cast_signed());
    let (ours, client) = world.connect();
    world.heard();
    assert_eq!(world.turn(), []);
    ours.shutdown(std::net::Shutdown::Write).unwrap();
    assert_eq!(world.turn(), [Step(1, DTM_HUP)]);
    assert_eq!(world.turn(), []);
    // The rest of the connection works, and its failure is another piece of news.
    world.client_set_interest(client, DTM_WRITE).unwrap();
    assert_eq!(world.turn(), [Step(1, DTM_WRITE)]);
    world.client_set_interest(client, 0).unwrap();
    drop(ours);
    assert_eq!(world.turn(), [Step(1, DTM_HUP)]);
}

#[test]
fn shutdown_of_the_peer_is_told_to_those_who_asked() {
    let world = world();
    world.on_open(|_, _| DTM_WAIT);
    let (ours, _) = world.connect();
    world.heard();
    ours.shutdown(std::net::Shutdown::Write).unwrap();
    assert_eq!(world.turn(), []);
}

#[test]
fn a_failure_is_told_even_without_interest_but_once() {
    let world = world();
    world.on_open(|_, _| DTM_WAIT);
    let (ours, client) = world.connect();
    world.heard();
    drop(ours);
    assert_eq!(world.turn(), [Step(1, DTM_HUP)]);
    assert_eq!(world.turn(), []);
    world.client_set_interest(client, DTM_READ).unwrap();
    assert_eq!(world.turn(), [Step(1, DTM_READ | DTM_HUP)]);
    world.client_set_interest(client, 0).unwrap();
    assert_eq!(world.turn(), []);
}

#[test]
fn waiting_after_a_failure_is_waiting() {
    let world = world();
    let (ours, client) = world.connect();
    world.heard();
    drop(ours);
    world.on_step(|_, _, _| DTM_WAIT);
    assert_eq!(world.turn(), [Step(1, DTM_READ | DTM_HUP)]);
    assert_eq!(world.turn(), []);
    world.on_step(|_, _, _| DTM_DONE);
    world.client_wake(client).unwrap();
    assert_eq!(world.turn(), [Step(1, DTM_WAKE), Close(1, DTM_CLOSE_DONE)]);
}

#[test]
fn a_step_that_will_not_see_the_end_is_closed() {
    let world = world();
    let (ours, _) = world.connect();
    world.heard();
    drop(ours);
    let mut told = Vec::new();
    while world.clients() > 0 {
        told.extend(world.turn());
    }
    let (last, steps) = told.split_last().unwrap();
    assert_eq!(*last, Close(1, DTM_CLOSE_PEER));
    assert!(steps.iter().all(|s| *s == Step(1, DTM_READ | DTM_HUP)));
    assert!((2..20).contains(&steps.len()));
}

/// However slowly: nothing that was received before the end is lost.
#[test]
fn the_rest_is_read_before_the_end() {
    let world = world();
    let (mut ours, _) = world.connect();
    ours.write_all(&[7; 100]).unwrap();
    drop(ours);
    let got = Rc::new(Cell::new(0));
    let count = got.clone();
    world.on_step(
        move |world, client, _| match read(world.client_fd(client).unwrap(), 1) {
            0 => DTM_DONE,
            n => {
                count.set(count.get() + n);
                DTM_READ.cast_signed()
            }
        },
    );
    while world.clients() > 0 {
        world.turn();
    }
    assert_eq!(got.get(), 100);
    assert_eq!(world.heard().last(), None);
}

#[test]
fn epoll_replaced_by_the_service() {
    let world = world();
    let file = std::fs::File::open("/dev/null").unwrap();
    // SAFETY: no pointers. The fd is the reactor's, and this the wrong thing to do.
    unsafe { libc::dup3(file.as_raw_fd(), world.epoll_fd(), libc::O_CLOEXEC) };
    let error = world.pass(0, &*world).unwrap_err();
    assert_eq!(error.code, DTM_EINVAL);
}

/// A reset connection: what arrives with it is an error, not only an end.
#[test]
fn reset_by_the_peer() {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let ours = std::net::TcpStream::connect(listener.local_addr().unwrap()).unwrap();
    let (theirs, _) = listener.accept().unwrap();
    theirs.set_nonblocking(true).unwrap();
    let world = world();
    world.on_open(|_, _| DTM_HUP.cast_signed());
    world
        .client_add(theirs.into(), Origin::sole(0, 0, Peer::Unix))
        .unwrap();
    world.heard();
    let at_once = libc::linger {
        l_onoff: 1,
        l_linger: 0,
    };
    nix::sys::socket::setsockopt(&ours, nix::sys::socket::sockopt::Linger, &at_once).unwrap();
    drop(ours);
    assert_eq!(world.turn_until_told(), [Step(1, DTM_HUP)]);
    // It went on waiting, and there is nothing left to wait for.
    assert_eq!(world.turn(), []);
    assert_eq!(world.next_deadline(), None);
}
