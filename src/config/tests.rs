use super::*;

const BOX: Machine = Machine {
    cpus: 6,
    nofile: 20_000,
};

fn complete(settings: Settings) -> Result<Config> {
    Config::complete(settings, &BOX)
}

fn complaint(settings: &Settings) -> String {
    let error = Config::load(settings, false).unwrap_err();
    assert_eq!(error.code, DTM_ECONFIG);
    error.text.into_owned()
}

#[test]
fn defaults() {
    let config = complete(Settings::default()).unwrap();
    assert_eq!(
        (config.name.as_str(), config.workers, config.max_processes),
        ("dtm", 6, 200)
    );
    assert_eq!(
        (config.accept_mode, config.accept_tokens),
        (AcceptMode::Auto, 3)
    );
    assert_eq!(config.max_clients, 20_000 - 464);
    assert_eq!(
        (config.client_timeout, config.drain_timeout),
        (None, Some(30_000))
    );
    assert_eq!(
        (config.respawn_delay, config.respawn_delay_max),
        (100, 5_000)
    );
    assert_eq!(
        (config.signals, config.orphan),
        (SignalTable::Default, Orphan::Exit)
    );
    assert_eq!(config.channel_queue, 64 << 20);
    assert_eq!(config.log.target, Target::Stderr);
}

#[test]
fn computed_defaults_fit_the_process_table() {
    let many = Machine {
        cpus: 900,
        nofile: u64::MAX,
    };
    let config = Config::complete(Settings::default(), &many).unwrap();
    assert_eq!((config.workers, config.accept_tokens), (99, 8));
    assert_eq!(config.max_clients, MAX_CLIENTS);
    let own_loop = Settings {
        own_loop: true,
        ..Settings::default()
    };
    assert_eq!(Config::complete(own_loop, &many).unwrap().accept_tokens, 1);
    let small = Settings {
        max_processes: 4,
        ..Settings::default()
    };
    assert_eq!(Config::complete(small, &many).unwrap().workers, 1);
    let slow = Settings {
        respawn_delay_ms: 9_000,
        ..Settings::default()
    };
    assert_eq!(complete(slow).unwrap().respawn_delay_max, 9_000);
}

#[test]
fn the_struct_goes_through_the_same_table() {
    let workers = Settings {
        workers: 513,
        ..Settings::default()
    };
    assert_eq!(
        complaint(&workers),
        "dtm_config_t: workers = 513: must be 1..512"
    );
    let grace = Settings {
        kill_grace_ms: DTM_OFF,
        ..Settings::default()
    };
    assert!(complaint(&grace).starts_with("dtm_config_t: kill_grace = off: must be 1ms or more"));
    let mode = Settings {
        accept_mode: 7,
        ..Settings::default()
    };
    assert!(
        complaint(&mode).starts_with("dtm_config_t: accept_mode = 7: must be one of auto, token")
    );
    let name = Settings {
        name: Some("a b".into()),
        ..Settings::default()
    };
    assert!(complaint(&name).starts_with("dtm_config_t: name = a b: must be 1..32 letters"));
}

#[test]
fn keys_that_contradict_each_other() {
    let crowd = Settings {
        workers: 8,
        max_processes: 8,
        ..Settings::default()
    };
    let text = complete(crowd).unwrap_err().text;
    assert_eq!(
        text,
        "workers = 8: no room for them and the controller in max_processes = 8"
    );
    let delays = Settings {
        respawn_delay_ms: 6,
        respawn_delay_max_ms: 5,
        ..Settings::default()
    };
    assert_eq!(
        complete(delays).unwrap_err().text,
        "respawn_delay = 6 ms: above respawn_delay_max = 5 ms"
    );
}

#[test]
fn too_few_descriptors_are_refused_with_the_numbers() {
    let tight = Machine {
        cpus: 1,
        nofile: 866,
    };
    let text = Config::complete(Settings::default(), &tight)
        .unwrap_err()
        .text;
    assert!(text.starts_with("RLIMIT_NOFILE is 866: "), "{text}");
    assert!(text.contains("need 867"), "{text}");
}

#[test]
fn the_environment_wins() {
    let with = |text: &str| Settings {
        environment: Some(text.into()),
        log_level: DTM_LOG_WARN,
        log_target: Some("off".into()),
        ..Settings::default()
    };
    let log = |text| Config::load(&with(text), false).unwrap().log;
    assert_eq!(log("debug").level, ::log::LevelFilter::Debug);
    assert_eq!(log("debug").target, Target::Off);
    assert_eq!(
        log("trace,file:/tmp/x,y").target,
        Target::File("/tmp/x,y".into())
    );
    assert_eq!(log(",stderr").level, ::log::LevelFilter::Warn);
    assert_eq!(log("").target, Target::Off);
    assert!(complaint(&with("loud")).starts_with("LIBDTM_LOG: log_level = loud: must be one of"));
    assert!(
        complaint(&with("info,file:x")).starts_with("LIBDTM_LOG: log_target = file:x: must be")
    );
}

#[test]
fn the_file_wins_over_the_struct_and_is_read_again() {
    let path = std::env::temp_dir().join(format!("dtm-config-{}.conf", std::process::id()));
    let base = Settings {
        workers: 2,
        config_file: Some(path.to_str().unwrap().into()),
        ..Settings::default()
    };
    std::fs::write(&path, "[dtm]\nworkers = 3\nname = one\n").unwrap();
    let old = Config::load(&base, true).unwrap();
    assert_eq!((old.workers, old.name.as_str()), (3, "one"));
    assert_eq!(Config::load(&base, false).unwrap().workers, 2);

    std::fs::write(&path, "[dtm]\nname = two\nmax_processes = 100\n").unwrap();
    let new = Config::load(&base, true).unwrap();
    assert_eq!(new.workers, 2);
    assert_eq!(new.changes(&old), ["max_processes", "name"]);
    assert!(new.changes(&new.clone()).is_empty());

    std::fs::write(&path, "[dtm]\nworkers = none\n").unwrap();
    let text = Config::load(&base, true).unwrap_err().text;
    assert_eq!(
        text,
        format!("{}:2: workers = none: must be 1..512", path.display())
    );
    std::fs::remove_file(&path).unwrap();
    assert_eq!(Config::load(&base, true).unwrap_err().code, -libc::ENOENT);
}

#[test]
fn a_reload_keeps_what_is_fixed_and_names_it() {
    let old = complete(Settings {
        workers: 4,
        ..Settings::default()
    })
    .unwrap();
    let more = Settings {
        workers: 16,
        ..Settings::default()
    };
    let (new, ignored) = Config::succeed(more, &old, &BOX).unwrap();
    assert_eq!((new.workers, new.accept_tokens), (16, 8));
    assert!(ignored.is_empty(), "{ignored:?}");

    let wish = Settings {
        workers: 5,
        max_processes: 100,
        accept_mode: DTM_ACCEPT_LOCK,
        nofork_max_ms: 120_000,
        channel_queue: 128 << 20,
        name: Some("other".into()),
        ..Settings::default()
    };
    let (new, ignored) = Config::succeed(wish, &old, &BOX).unwrap();
    let fixed = ["max_processes", "nofork_max", "channel_queue", "name"];
    assert_eq!(ignored, fixed);
    assert_eq!((new.workers, new.max_processes), (5, 200));
    assert_eq!((new.nofork_max, new.channel_queue), (60_000, 64 << 20));
    assert_eq!(
        (new.accept_mode, new.name.as_str()),
        (AcceptMode::Lock, "dtm")
    );
}
