//! What goes wrong, one thing after the other.

use super::{
    disk::SmallDisk,
    ledger::Ledger,
    random::Random,
    requests::{self, OUTSIDE, STILL},
    wall_clock::WallClock,
};
use crate::{
    fixtures::{self, Variant},
    server::{BeeperFolders, Server},
    wire::{self, FORM, form, request},
};
use serde_json::{Value, json};
use std::{
    fs, thread,
    time::{Duration, Instant},
};

/// Longest time until the server has noticed a file, or has got well again.
const PATIENCE: Duration = Duration::from_secs(60);

/// How far the clock is turned at a time, forward or back.
const HOUR: i64 = 3600; // s
const LONG_TIME: i64 = 400 * 24 * HOUR; // s
/// How far it is turned altogether, at most.
const FARTHEST: i64 = 2 * LONG_TIME; // s
/// How far two looks at the clock may be apart: a busy machine takes its time between them.
const GLANCE: f64 = 60.0; // s
/// How long a model may be idle that a turned clock must not unload: less than any turn.
pub(super) const IDLE: i64 = HOUR / 2; // s

/// A fault.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Fault {
    /// A worker is killed, as by a system that is out of memory.
    Kill,
    /// A worker ends by a fault in native code.
    Segfault,
    /// A request makes the worker fall over.
    Abort,
    /// A worker hangs for some time and goes on.
    Hang,
    /// A worker hangs until somebody kills it.
    HangAndKill,
    /// A worker hangs for ever; the server has to end it.
    Freeze,
    /// A new build of the plugin, which does the same.
    NewBuild,
    /// A build of the plugin that can't be loaded, and then one that can.
    BadBuild,
    /// A file that is no plugin.
    NoPlugin,
    /// A catalogue with a mistake, and then one without.
    BadCatalogue,
    /// Another valid catalogue.
    NewCatalogue,
    /// A model is launched, used and terminated.
    Launch,
    /// The disk is full, then no more.
    FullDisk,
    /// The server's wall clock is turned by so many seconds, and stays so.
    Turn(i64),
}

impl Fault {
    /// How often each comes.
    const OFTEN: [(Self, usize); 16] = [
        (Self::Kill, 4),
        (Self::Segfault, 3),
        (Self::Abort, 2),
        (Self::Hang, 3),
        (Self::HangAndKill, 2),
        (Self::NewBuild, 3),
        (Self::BadBuild, 3),
        (Self::NoPlugin, 2),
        (Self::BadCatalogue, 2),
        (Self::NewCatalogue, 2),
        (Self::Launch, 3),
        (Self::FullDisk, 2),
        (Self::Turn(HOUR), 1),
        (Self::Turn(-HOUR), 1),
        (Self::Turn(LONG_TIME), 1),
        (Self::Turn(-LONG_TIME), 1),
    ];

    fn name(self) -> &'static str {
        match self {
            Self::Kill => "worker killed",
            Self::Segfault => "worker ended by SIGSEGV",
            Self::Abort => "worker ended by a request",
            Self::Hang => "worker hangs and goes on",
            Self::HangAndKill => "worker hangs and is killed",
            Self::Freeze => "worker hangs for ever",
            Self::NewBuild => "new build of the plugin",
            Self::BadBuild => "bad build of the plugin",
            Self::NoPlugin => "file that is no plugin",
            Self::BadCatalogue => "catalogue with a mistake",
            Self::NewCatalogue => "other catalogue",
            Self::Launch => "model launched and terminated",
            Self::FullDisk => "full disk",
            Self::Turn(by) => match (by > 0, by.abs() >= LONG_TIME) {
                (true, true) => "clock turned forward by 400 days",
                (true, false) => "clock turned forward by an hour",
                (false, true) => "clock turned back by 400 days",
                (false, false) => "clock turned back by an hour",
            },
        }
    }
}

/// Whoever does it.
pub(super) struct Saboteur<'a> {
    pub(super) server: &'a Server,
    pub(super) folders: &'a BeeperFolders,
    pub(super) disk: Option<&'a SmallDisk>,
    pub(super) wall_clock: Option<&'a WallClock>,
    pub(super) ledger: &'a Ledger,
    pub(super) random: Random,
    /// Each build has other bytes.
    pub(super) builds: u64,
}

impl Saboteur<'_> {
    /// One fault after the other until `end`: each kind once, in some order, and then at random. With time enough, one worker
    /// freezes for ever.
    pub(super) fn work(&mut self, end: Instant, with_freeze: bool) {
        let mut first: Vec<Fault> = Fault::OFTEN.iter().map(|(fault, _)| *fault).collect();
        first.extend(with_freeze.then_some(Fault::Freeze));
        let often: Vec<Fault> =
            Fault::OFTEN.iter().flat_map(|(fault, count)| std::iter::repeat_n(*fault, *count)).collect();
        while Instant::now() < end {
            let fault = match first.len() {
                0 => *self.random.pick(&often),
                left => first.swap_remove(self.random.below(left)),
            };
            if !self.is_possible(fault) {
                continue;
            }
            self.ledger.fault(fault.name());
            self.commit(fault);
            self.revive();
            thread::sleep(Duration::from_millis(300 + self.random.below(2000) as u64));
        }
    }

    fn is_possible(&self, fault: Fault) -> bool {
        match fault {
            Fault::FullDisk => self.disk.is_some(),
            Fault::Turn(by) => self.wall_clock.is_some_and(|clock| (clock.turned_by() + by).abs() <= FARTHEST),
            _ => true,
        }
    }

    fn commit(&mut self, fault: Fault) {
        match fault {
            Fault::Kill => self.signal(libc::SIGKILL),
            Fault::Segfault => self.signal(libc::SIGSEGV),
            Fault::Abort => {
                let body = json!({"input": "fall", "response_format": "pcm", "stream": true, "fail": "abort_late"});
                // It ends in the middle of the answer.
                let _ = requests::ask(self.server.port(), &requests::speech(OUTSIDE, &[&body]));
            }
            Fault::Hang | Fault::HangAndKill => {
                let Some(worker) = self.worker() else { return };
                send(worker, libc::SIGSTOP);
                thread::sleep(Duration::from_millis(500 + self.random.below(2500) as u64));
                send(worker, if fault == Fault::Hang { libc::SIGCONT } else { libc::SIGKILL });
            }
            Fault::Freeze => {
                let Some(worker) = self.worker() else { return };
                send(worker, libc::SIGSTOP);
                // Its jobs run into their limit, and some time after that it is killed.
                let is_gone = wait_until(2 * PATIENCE, || !self.server.workers().contains(&worker));
                if !is_gone {
                    send(worker, libc::SIGKILL);
                    self.ledger.offence("a worker that hangs for ever is not ended by the server".to_owned());
                }
            }
            Fault::NewBuild => self.new_build(),
            Fault::BadBuild => self.bad_build(),
            Fault::NoPlugin => {
                let file = self.folders.plugins().join(fixtures::library_name("stranger"));
                let length = self.random.below(100_000);
                let noise: Vec<u8> = (0..length).map(|_| self.random.next() as u8).collect();
                fs::write(&file, noise).expect("writing into a directory of this test");
                thread::sleep(Duration::from_millis(600));
                fs::remove_file(&file).expect("it was just written");
            }
            Fault::BadCatalogue => {
                let good = self.folders.catalogue_text();
                fs::write(self.folders.catalogue_file(), good.replacen("family", "famliy", 1)).expect("a test's file");
                thread::sleep(Duration::from_millis(600));
                fs::write(self.folders.catalogue_file(), good).expect("a test's file");
            }
            Fault::NewCatalogue => {
                let text = self.folders.catalogue_text();
                let more = format!("request_defaults = {{ pause_ms = {} }}\n", 1 + self.random.below(9));
                let text = text.replacen("multilingual", &format!("{more}multilingual"), 1);
                fs::write(self.folders.catalogue_file(), text).expect("a test's file");
            }
            Fault::Launch => self.launch_and_terminate(),
            Fault::FullDisk => self.full_disk(),
            Fault::Turn(by) => self.turn_clock(by),
        }
    }

    /// One of the processes.
    fn worker(&mut self) -> Option<u32> {
        let workers = self.server.workers();
        (!workers.is_empty()).then(|| *self.random.pick(&workers))
    }

    fn signal(&mut self, number: libc::c_int) {
        if let Some(worker) = self.worker() {
            send(worker, number);
        }
    }

    /// The same plugin in other bytes: what comes after the end of a library is nobody's business.
    fn fresh_build(&mut self) -> tempfile::NamedTempFile {
        self.builds += 1;
        let mut bytes = fs::read(fixtures::plain_beeper()).expect("it was built");
        bytes.extend(self.builds.to_le_bytes());
        let file = tempfile::NamedTempFile::new().expect("a temporary file");
        fs::write(file.path(), bytes).expect("writing a temporary file");
        file
    }

    fn new_build(&mut self) {
        let before = self.generation();
        let build = self.fresh_build();
        self.folders.drop_in(build.path());
        if !wait_until(PATIENCE, || self.generation() > before) {
            self.ledger.offence(format!("a new build is not taken: {}", self.plugins()));
        }
    }

    fn bad_build(&mut self) {
        let good = self.fresh_build();
        let bytes = fs::read(good.path()).expect("it was just written");
        let bad = tempfile::NamedTempFile::new().expect("a temporary file");
        match self.random.below(5) {
            0 => fs::write(bad.path(), &bytes[..bytes.len() / 2]).expect("a temporary file"),
            1 => fs::write(bad.path(), b"no library").expect("a temporary file"),
            number => {
                let variant = [Variant::PanicInCreate, Variant::PanicInManifest, Variant::BrokenLayout][number - 2];
                let built = fixtures::beeper(variant).expect("it was built before");
                fs::copy(built, bad.path()).expect("a temporary file");
            }
        }
        let before = self.generation();
        self.folders.drop_in(bad.path());
        if !wait_until(PATIENCE, || self.plugins().to_string().contains("\"error\":\"")) {
            self.ledger.offence(format!("a bad build is not refused: {}", self.plugins()));
        }
        if self.generation() != before {
            self.ledger.offence("a bad build has replaced the good one".to_owned());
        }
        self.folders.drop_in(good.path());
        if !wait_until(PATIENCE, || self.generation() > before) {
            self.ledger.offence(format!("a good build after a bad one is not taken: {}", self.plugins()));
        }
    }

    fn launch_and_terminate(&mut self) {
        let isolation = *self.random.pick(&["in-process", "process"]);
        let launch =
            json!({"model_name": "chime", "model_uid": "passing", "model_type": "audio", "isolation": isolation});
        let (status, body) = self.call("POST", "/v1/models", &launch);
        if status != 200 {
            // Only a full disk excuses that.
            self.ledger.offence(format!("a launch fails: {status} {body}"));
            return;
        }
        let speech = requests::speech("passing", &[&json!({"input": "ding", "response_format": "pcm"})]);
        let heard = requests::ask(self.server.port(), &speech);
        if !heard.as_ref().is_ok_and(|answer| answer.status == 200 && answer.complete) {
            self.ledger.offence(format!("a model that was just launched does not speak: {heard:?}"));
        }
        let (status, body) = self.call("DELETE", "/v1/models/passing", &Value::Null);
        if status != 200 {
            self.ledger.offence(format!("a model can't be terminated: {status} {body}"));
        }
    }

    /// Nothing can be staged or saved meanwhile, what serves goes on, and afterwards everything works again.
    fn full_disk(&mut self) {
        let Some(disk) = self.disk else { return };
        if !disk.fill() {
            self.ledger.offence("the disk can't be filled".to_owned());
        }
        let before = self.generation();
        let build = self.fresh_build();
        self.folders.drop_in(build.path());
        let (status, body) = self.save_voice();
        let is_told = body["error"]["message"].is_string() && status >= 500;
        if !is_told {
            self.ledger.offence(format!("a voice on a full disk: {status} {body}"));
        }
        thread::sleep(Duration::from_millis(1000));
        if self.generation() != before {
            self.ledger.offence("a plugin was staged on a full disk".to_owned());
        }
        disk.empty();
        // The file as it was didn't fit; another change makes the server look again.
        let build = self.fresh_build();
        self.folders.drop_in(build.path());
        if !wait_until(PATIENCE, || self.generation() > before) {
            self.ledger.offence(format!("after a full disk a new build is not taken: {}", self.plugins()));
        }
        let (status, body) = self.save_voice();
        if status != 200 {
            self.ledger.offence(format!("a voice after a full disk: {status} {body}"));
        } else if let Some(id) = body["id"].as_str() {
            self.call("DELETE", &format!("/v1/audio/voices/{id}"), &Value::Null);
        }
    }

    /// In the middle of a request that has a time limit. That, and a model that may be idle for a while, take no notice.
    fn turn_clock(&self, by: i64) {
        let Some(clock) = self.wall_clock else { return };
        let slow = json!({"input": "tick tock tick", "response_format": "pcm", "fail": "slow", "pause_ms": 50});
        let limit = json!({"timeout": 2 * PATIENCE.as_secs()});
        let heard = thread::scope(|scope| {
            let asked = scope.spawn(|| requests::ask(self.server.port(), &requests::speech(STILL, &[&slow, &limit])));
            thread::sleep(Duration::from_millis(200));
            if let Err(error) = clock.turn(by) {
                self.ledger.offence(format!("the clock can't be turned: {error}"));
            }
            asked.join().expect("asking doesn't panic")
        });
        if !heard.as_ref().is_ok_and(|answer| answer.status == 200 && answer.complete) {
            self.ledger.offence(format!("a request ends when the clock is turned by {by} s: {heard:?}"));
        }
        if !wait_until(PATIENCE, || shown_by(&self.call("GET", "/status", &Value::Null).1, clock)) {
            self.ledger.offence(format!("the server doesn't see that its clock is turned by {by} s"));
        }
        let model = self.call("GET", &format!("/v1/models/{STILL}"), &Value::Null).1;
        let ahead = |name: &str| model[name].as_f64().map(|time| time - clock.now());
        let is_as_before = model["state"] == "READY"
            && ahead("last_used").is_some_and(|ahead| (-GLANCE..GLANCE).contains(&ahead))
            && ahead("idle_unload_at").is_some_and(|ahead| (ahead - IDLE as f64).abs() < GLANCE);
        if !is_as_before {
            self.ledger.offence(format!("a model of {} s when the clock is turned by {by} s: {model}", clock.now()));
        }
    }

    fn save_voice(&self) -> (u16, Value) {
        let samples = vec![0.1; 32_000];
        let clip = crate::sound::Sound { sample_rate: 16_000, samples }.to_wav();
        let parts: [(&str, bool, &[u8]); 3] =
            [("name", false, b"soak"), ("consent", false, b"yes"), ("audio_sample", true, &clip)];
        self.tell(&request("POST", "/v1/audio/voices", &[("content-type", FORM)], &form(&parts)))
    }

    /// Launches the model outside again where it was given up, as an operator would.
    fn revive(&self) {
        let state = || self.call("GET", &format!("/v1/models/instances?model_uid={OUTSIDE}"), &Value::Null).1;
        let has_failed = state()[0]["status"] == "ERROR";
        if has_failed {
            self.ledger.fault("model given up and launched again");
            self.call("DELETE", &format!("/v1/models/{OUTSIDE}"), &Value::Null);
            let (status, body) = self.call("POST", "/v1/models", &outside());
            if status != 200 {
                self.ledger.offence(format!("a model that was given up can't be launched again: {status} {body}"));
            }
        }
    }

    fn plugins(&self) -> Value {
        self.call("GET", "/v1/plugins", &Value::Null).1
    }

    /// Generation of the beeper.
    fn generation(&self) -> u64 {
        let plugins = self.plugins();
        let all = plugins["data"].as_array().into_iter().flatten();
        all.filter(|plugin| plugin["name"] == "beeper")
            .filter_map(|plugin| plugin["generation"].as_u64())
            .max()
            .unwrap_or(0)
    }

    fn call(&self, method: &str, path: &str, body: &Value) -> (u16, Value) {
        let bytes = match body {
            Value::Null => request(method, path, &[], &[]),
            body => wire::json(method, path, body.to_string().as_bytes()),
        };
        self.tell(&bytes)
    }

    fn tell(&self, bytes: &[u8]) -> (u16, Value) {
        match requests::ask(self.server.port(), bytes) {
            Ok(answer) => (answer.status, answer.json()),
            Err(error) => {
                self.ledger.offence(format!("an operator gets no answer: {error}"));
                (0, Value::Null)
            }
        }
    }
}

/// The launch of the model that faults hit.
pub(super) fn outside() -> Value {
    json!({"model_name": "tone", "model_uid": OUTSIDE, "model_type": "audio", "isolation": "process", "replica": 2})
}

/// The launch of the model that a turned clock must not unload.
pub(super) fn still() -> Value {
    json!({"model_name": "chime", "model_uid": STILL, "isolation": "in-process", "idle_seconds": IDLE})
}

/// Whether the server's `status` was taken while its clock showed what this one shows now.
pub(super) fn shown_by(status: &Value, clock: &WallClock) -> bool {
    let mut workers = status["workers"].as_object().into_iter().flatten();
    let taken = workers.find_map(|(_, worker)| worker["update_time"].as_f64());
    taken.is_some_and(|taken| (taken - clock.now()).abs() < GLANCE)
}

fn send(process: u32, number: libc::c_int) {
    // SAFETY: a plain system call; the process is a worker of our own server.
    unsafe { libc::kill(process as libc::pid_t, number) };
}

/// Counts looks and not the time, which passes while the machine stands still, too.
pub(super) fn wait_until(patience: Duration, holds: impl Fn() -> bool) -> bool {
    const LOOK: Duration = Duration::from_millis(100);
    let looks = patience.as_millis() / LOOK.as_millis();
    (0..looks).any(|_| {
        let does = holds();
        if !does {
            thread::sleep(LOOK);
        }
        does
    })
}
