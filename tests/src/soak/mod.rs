//! A campaign of faults against a server under steady load: nothing may be lost, nothing mixed up, and in the end nothing
//! may be left over.
//!
//! Every answer is compared, byte for byte, with one that was given while all was well. The same seed makes the same choices
//! (what is asked, what goes wrong, in which order); when exactly things happen is the machine's affair.

mod clock;
mod disk;
mod faults;
mod ledger;
mod load;
mod random;
mod requests;
mod wall_clock;

pub use ledger::Verdict;

use crate::{
    fixtures::{self, Variant, plain_beeper},
    server::{BeeperFolders, Server, Settings},
};
use clock::Clock;
use disk::SmallDisk;
use faults::Saboteur;
use ledger::{Entries, Ledger};
use random::Random;
use serde_json::{Value, json};
use std::{
    fmt,
    sync::atomic::{AtomicBool, Ordering},
    thread,
    time::{Duration, Instant},
};
use wall_clock::WallClock;

/// Space for some dozen staged builds of the plugin.
const DISK: u32 = 1024; // MiB
/// Time that jobs get: a worker that hangs for ever costs its jobs this.
const JOB_SECONDS: &str = "20";
/// From here on there is time for a worker that hangs for ever.
const LONG: Duration = Duration::from_secs(240);

/// What may be left in the end: the system's allocator and pools keep some.
const FILES_LEFT: i64 = 16;
const THREADS_LEFT: i64 = 64;
const MEMORY_LEFT: i64 = 64 << 20; // bytes
/// Data of a build that can't be unmapped, per generation in the server's own process.
const MEMORY_PER_BUILD: i64 = 4 << 20; // bytes

/// How long, how much, and which.
#[derive(Clone, Debug)]
pub struct Plan {
    /// Time that faults and load get.
    pub length: Duration,
    /// Decides what is asked and what goes wrong.
    pub seed: u64,
    /// Clients at a time.
    pub clients: usize,
}

/// What a process holds.
#[derive(Clone, Copy, Debug)]
pub struct Holdings {
    /// Bytes in use that are its own: leaks are here.
    pub memory: i64,
    /// Bytes in use of files: code of plugins, which stays mapped.
    pub mapped: i64,
    /// Open files and sockets.
    pub files: i64,
    /// Threads.
    pub threads: i64,
}

impl Holdings {
    fn of(server: &Server) -> Self {
        let memory = server.private_memory() as i64;
        Self {
            memory,
            mapped: server.memory() as i64 - memory,
            files: server.open_files() as i64,
            threads: server.threads() as i64,
        }
    }

    fn json(self) -> Value {
        let Self { memory, mapped, files, threads } = self;
        json!({"memory_bytes": memory, "mapped_bytes": mapped, "files": files, "threads": threads})
    }
}

/// How it went.
#[derive(Debug)]
pub struct Report {
    plan: Plan,
    entries: Entries,
    before: Holdings,
    after: Holdings,
    builds: u64,
    skipped: Vec<String>,
}

/// Runs a campaign.
pub fn run(plan: &Plan) -> Report {
    for variant in [Variant::PanicInCreate, Variant::PanicInManifest, Variant::BrokenLayout] {
        fixtures::beeper(variant).expect("the beeper builds");
    }
    let folders = BeeperFolders::default();
    folders.drop_in(&plain_beeper());
    let mut skipped = Vec::new();
    let disk = SmallDisk::mount(DISK);
    if let Err(error) = &disk {
        skipped.push(format!("full disk: no file system can be mounted here: {error}"));
    }
    let disk = disk.ok();
    let wall_clock = WallClock::build();
    let server = serve(&folders, disk.as_ref(), wall_clock.as_ref().ok());
    let wall_clock =
        wall_clock.and_then(|clock| if is_seen(&clock, &server) { Ok(clock) } else { Err(UNSEEN.to_owned()) });
    let wall_clock = wall_clock.map_err(|reason| skipped.push(format!("turned clock: {reason}"))).ok();
    server.launch(&json!({"model_name": "tone", "model_uid": requests::INSIDE, "isolation": "in-process"}));
    server.launch(&faults::outside());
    server.launch(&faults::still());
    let asks = requests::all(server.port());
    let ledger = Ledger::default();
    // Everything has been used before the first look.
    asks.iter().for_each(|ask| drop(requests::ask(server.port(), &ask.bytes)));
    thread::sleep(Duration::from_secs(1));
    let before = Holdings::of(&server);

    let end = Instant::now() + plan.length;
    let (clock, is_over) = (Clock::default(), AtomicBool::new(false));
    let (builds, after) = thread::scope(|scope| {
        scope.spawn(|| clock.watch(|| !is_over.load(Ordering::Relaxed)));
        let _over = Over(&is_over);
        let clients: Vec<_> = (0..plan.clients as u64)
            .map(|number| {
                let (asks, ledger, clock, port) = (&asks, &ledger, &clock, server.port());
                let random = Random::of(plan.seed, number + 1);
                scope.spawn(move || load::client(port, random, asks, ledger, clock, end))
            })
            .collect();
        let mut saboteur = Saboteur {
            server: &server,
            folders: &folders,
            disk: disk.as_ref(),
            wall_clock: wall_clock.as_ref(),
            ledger: &ledger,
            random: Random::of(plan.seed, 0),
            builds: 0,
        };
        saboteur.work(end, plan.length >= LONG);
        for client in clients {
            client.join().expect("clients don't fail, they write down what does");
        }
        recover(&server, &asks, &ledger, &clock);
        let after = if server.is_alive() { settled(&server, before) } else { before };
        (saboteur.builds, after)
    });
    // The beeper's own panics, which are asked for, are in its src/lib.rs.
    let log = server.log();
    if let Some(line) = log.lines().find(|line| line.contains("panicked at") && !line.contains(" src/lib.rs:")) {
        ledger.offence(format!("a panic: {line}"));
    }
    Report { plan: plan.clone(), entries: ledger.into_entries(), before, after, builds, skipped }
}

/// Ends what runs beside the campaign, also when the campaign fails.
struct Over<'a>(&'a AtomicBool);

impl Drop for Over<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

/// Why a clock isn't turned.
const UNSEEN: &str = "the system loads no library before the server's own (LD_PRELOAD)";

/// Turns the clock, looks whether the server sees it, and turns it back.
fn is_seen(clock: &WallClock, server: &Server) -> bool {
    let turn = |seconds: i64| clock.turn(seconds).is_ok();
    let seen = || faults::wait_until(Duration::from_secs(10), || faults::shown_by(&server.get("/status"), clock));
    let is_seen = turn(3600) && seen();
    turn(-3600) && is_seen
}

fn serve(folders: &BeeperFolders, disk: Option<&SmallDisk>, wall_clock: Option<&WallClock>) -> Server {
    let variables = [
        ("SYRINX_JOB_SECONDS", JOB_SECONDS),
        ("SYRINX_UPLOAD_SILENCE_SECONDS", "2"),
        ("SYRINX_LOG", "warn,syrinx::server=info"),
    ];
    let mut settings = Settings {
        environment: variables.map(|(name, value)| (name.to_owned(), value.to_owned())).into(),
        ..folders.settings()
    };
    settings.environment.extend(wall_clock.into_iter().flat_map(WallClock::variables));
    if let Some(disk) = disk {
        settings.own_store = true; // its home is below
        settings.arguments = vec!["--home".to_owned(), disk.path().display().to_string()];
    }
    Server::start(settings)
}

/// When nothing goes wrong any more, everything must be answered right.
fn recover(server: &Server, asks: &[requests::Ask], ledger: &Ledger, clock: &Clock) {
    if !server.is_alive() {
        ledger.offence("the server has ended".to_owned());
        return;
    }
    // A worker that was killed last may still be on its way back.
    let begun = Instant::now();
    while server.workers().len() < 2 && begun.elapsed() < Duration::from_secs(30) {
        thread::sleep(Duration::from_millis(100));
    }
    for ask in asks {
        let asked = Instant::now();
        ledger.sent();
        let answer = requests::ask(server.port(), &ask.bytes);
        if let Some(status) = answer.as_ref().ok().map(|answer| answer.status).filter(|status| *status != 200) {
            ledger.offence(format!("after all faults {} gets {status}", ask.what));
        }
        load::judge(ask, asked, answer, ledger, clock);
    }
}

/// What it holds when it has come to rest, or after half a minute.
fn settled(server: &Server, before: Holdings) -> Holdings {
    let begun = Instant::now();
    loop {
        let now = Holdings::of(server);
        let is_settled = now.files <= before.files + 2 && now.threads <= before.threads + 2;
        if is_settled || begun.elapsed() > Duration::from_secs(30) {
            return now;
        }
        thread::sleep(Duration::from_millis(200));
    }
}

impl Report {
    /// How many requests came to this.
    pub fn count(&self, verdict: Verdict) -> u64 {
        self.entries.verdicts.get(&verdict).copied().unwrap_or_default()
    }

    /// Everything that must not be, in words; none when all is well.
    pub fn offences(&self) -> Vec<String> {
        let mut all = self.entries.offences.clone();
        let judged: u64 = self.entries.verdicts.values().sum();
        if judged != self.entries.sent {
            all.push(format!("{} requests were sent, of {judged} it is known what became of them", self.entries.sent));
        }
        if self.count(Verdict::Right) == 0 {
            all.push("nothing was answered right".to_owned());
        }
        let memory = MEMORY_LEFT + MEMORY_PER_BUILD * self.builds as i64;
        for (what, grown, most) in [
            ("bytes of memory", self.after.memory - self.before.memory, memory),
            ("files", self.after.files - self.before.files, FILES_LEFT),
            ("threads", self.after.threads - self.before.threads, THREADS_LEFT),
        ] {
            if grown > most {
                all.push(format!("{grown} {what} are left over, {most} may be"));
            }
        }
        all
    }

    /// For programs.
    pub fn json(&self) -> Value {
        let verdicts: serde_json::Map<String, Value> =
            Verdict::ALL.iter().map(|verdict| (verdict.name().to_owned(), self.count(*verdict).into())).collect();
        json!({
            "seed": self.plan.seed, "seconds": self.plan.length.as_secs(), "clients": self.plan.clients,
            "sent": self.entries.sent, "verdicts": verdicts, "errors": self.entries.errors,
            "faults": self.entries.faults, "builds": self.builds, "before": self.before.json(),
            "after": self.after.json(), "skipped": self.skipped, "offences": self.offences(),
        })
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Plan { length, seed, clients } = &self.plan;
        writeln!(f, "{} s, {clients} clients, seed {seed}", length.as_secs())?;
        writeln!(f, "{:>9}  requests sent", self.entries.sent)?;
        for verdict in Verdict::ALL {
            writeln!(f, "{:>9}  {}", self.count(verdict), verdict.name())?;
        }
        for (status, count) in &self.entries.errors {
            writeln!(f, "{count:>9}  errors with status {status}")?;
        }
        for (name, count) in &self.entries.faults {
            writeln!(f, "{count:>9}  times: {name}")?;
        }
        for (when, held) in [("before", self.before), ("after", self.after)] {
            let Holdings { memory, mapped, files, threads } = held;
            let (memory, mapped) = (memory >> 20, mapped >> 20);
            writeln!(f, "{when:>9}: {memory} MB and {mapped} MB of mapped files, {files} files, {threads} threads")?;
        }
        for reason in &self.skipped {
            writeln!(f, "  skipped: {reason}")?;
        }
        for offence in self.offences() {
            writeln!(f, "  OFFENCE: {offence}")?;
        }
        Ok(())
    }
}
