//! The machine under the server, in numbers for operators. Plugins choose their devices themselves and don't read this.

use std::{
    sync::{Mutex, PoisonError},
    time::{Duration, Instant, SystemTime},
};
use syrinx_plugin_api::Device;
use sysinfo::{Gpus, System};

/// Numbers younger than this are given again: asking often must cost nothing.
const FRESH: Duration = Duration::from_secs(1);

/// The machine at one moment.
#[derive(Clone, Debug, PartialEq)]
pub struct Snapshot {
    /// When it was taken.
    pub taken: SystemTime,
    /// CPUs that the process may use.
    pub cpus: usize,
    /// Share of their time that was in use since the snapshot before, 0…1.
    pub cpu_usage: f64,
    /// In bytes. In a container, what it may have.
    pub memory_total: u64,
    /// In bytes.
    pub memory_available: u64,
    /// GPUs that models could run on, in the driver's order.
    pub gpus: Vec<Gpu>,
}

/// One GPU.
#[derive(Clone, Debug, PartialEq)]
pub struct Gpu {
    /// Its name.
    pub name: String,
    /// In bytes; none if the driver doesn't say.
    pub memory_total: Option<u64>,
    /// In bytes.
    pub memory_used: Option<u64>,
    /// Share of its time in use, 0…1.
    pub usage: Option<f64>,
}

/// Takes snapshots.
pub struct Machine {
    state: Mutex<Option<State>>,
}

struct State {
    system: Option<System>,
    last: Snapshot,
    at: Instant,
}

impl Machine {
    /// Nothing is looked at yet.
    pub fn new() -> Self {
        Self { state: Mutex::new(None) }
    }

    /// The machine now. Blocks for as long as the drivers take; the first one also measures the CPU for a moment.
    pub fn snapshot(&self) -> Snapshot {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        match &mut *state {
            Some(state) if state.at.elapsed() < FRESH => {}
            Some(state) => state.look(),
            none => {
                let mut first = State::new();
                std::thread::sleep(sysinfo::MINIMUM_CPU_UPDATE_INTERVAL);
                first.look();
                *none = Some(first);
            }
        }
        state.as_ref().map_or_else(unknown, |state| state.last.clone())
    }
}

impl Default for Machine {
    fn default() -> Self {
        Self::new()
    }
}

impl State {
    fn new() -> Self {
        let mut system = System::new().inspect_err(|error| tracing::warn!(?error, "the machine can't be watched")).ok();
        if let Some(system) = &mut system {
            system.refresh_cpu_usage();
        }
        Self { system, last: unknown(), at: Instant::now() }
    }

    fn look(&mut self) {
        let mut snapshot = unknown();
        if let Some(system) = &mut self.system {
            system.refresh_memory();
            system.refresh_cpu_usage();
            snapshot.cpu_usage = (f64::from(system.global_cpu_usage()) / 100.0).clamp(0.0, 1.0);
            (snapshot.memory_total, snapshot.memory_available) = (system.total_memory(), system.available_memory());
            if let Some(limits) = system.cgroup_limits().filter(|limits| limits.total_memory > 0) {
                snapshot.memory_total = snapshot.memory_total.min(limits.total_memory);
                snapshot.memory_available = snapshot.memory_available.min(limits.free_memory);
            }
        }
        // The handle to the driver must stay in this thread, so it is opened anew.
        if let Ok(gpus) = Gpus::new_with_refreshed_list() {
            snapshot.gpus = gpus.iter().filter(|gpu| computes(gpu.vendor())).map(describe).collect();
        }
        self.last = snapshot;
        self.at = Instant::now();
    }
}

/// Whether there is a runtime here that computes on this vendor's GPUs: CUDA or Metal.
fn computes(vendor: Option<&str>) -> bool {
    vendor.is_some_and(|vendor| ["nvidia", "apple"].iter().any(|known| vendor.to_ascii_lowercase().contains(known)))
}

fn describe(gpu: &sysinfo::Gpu) -> Gpu {
    Gpu {
        name: gpu.model().unwrap_or("GPU").to_owned(),
        memory_total: gpu.total_memory(),
        memory_used: gpu.used_memory(),
        usage: gpu.usage().map(|percent| (f64::from(percent) / 100.0).clamp(0.0, 1.0)),
    }
}

/// What plugins are told that there is to compute on. GPUs they find themselves.
pub(crate) fn devices() -> Vec<Device> {
    vec![Device { id: "cpu".to_owned(), name: std::env::consts::ARCH.to_owned(), memory_bytes: None }]
}

/// Bytes of memory that a process holds; none when there is no such process.
#[cfg(unix)]
pub(crate) fn resident_bytes(process: u32) -> Option<u64> {
    use sysinfo::{Pid, ProcessRefreshKind, ProcessesToUpdate};
    let process = Pid::from_u32(process);
    let mut system = System::new().ok()?;
    let wanted = ProcessRefreshKind::nothing().with_memory().without_tasks();
    system.refresh_processes_specifics(ProcessesToUpdate::Some(&[process]), true, wanted);
    system.process(process).map(|process| process.memory())
}

/// A machine that tells nothing.
fn unknown() -> Snapshot {
    let cpus = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
    Snapshot { taken: SystemTime::now(), cpus, cpu_usage: 0.0, memory_total: 0, memory_available: 0, gpus: Vec::new() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_make_sense() {
        let machine = Machine::new();
        let first = machine.snapshot();
        assert!(first.cpus >= 1 && (0.0..=1.0).contains(&first.cpu_usage), "{first:?}");
        assert!(first.memory_total > 0 && first.memory_available <= first.memory_total, "{first:?}");
        assert_eq!(machine.snapshot(), first, "asked again at once, it does not look again");
    }

    #[cfg(unix)]
    #[test]
    fn processes_hold_memory() {
        let ours = resident_bytes(std::process::id()).unwrap();
        assert!((1 << 20..1 << 40).contains(&ours), "{ours}");
        assert_eq!(resident_bytes(u32::MAX), None);
    }

    #[test]
    fn only_gpus_with_a_runtime_count() {
        assert!(computes(Some("NVIDIA Corporation")) && computes(Some("Apple")));
        assert!(!computes(Some("Red Hat, Inc.")) && !computes(None));
    }
}
