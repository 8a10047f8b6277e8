//! What a worker may take of the machine.
//!
//! Where the server may make control groups ([`cgroup`](super::cgroup)), the kernel sees to it. Elsewhere:
//!
//! Memory: a watch looks at what the process holds, and ends it when that is too much. So that nothing outruns the watch, the
//! system refuses the process allocations far beyond the limit (`RLIMIT_DATA`, on Linux). That one alone would be too blunt: it
//! counts what was asked for and never used, such as stacks of threads.
//!
//! CPUs, on Linux: the process runs on so many CPUs of those that the server may use, one worker's beside the next one's, as
//! far as there are enough. Plugins see that number and start as many threads.

#[cfg(target_os = "linux")]
use super::cgroup::Group;
use crate::{machine::resident_bytes, models::WorkerLimits};
use std::time::Duration;
use syrinx_registry::megabytes;

/// How often the memory is looked at.
pub(super) const LOOK: Duration = Duration::from_millis(100);

/// What may be allocated beyond twice the limit before the system refuses: stacks, arenas, tables.
#[cfg(target_os = "linux")]
const HEADROOM: u64 = 1 << 30; // bytes

/// What holds a process to its limits.
pub(super) struct Leash {
    process: u32,
    limits: WorkerLimits,
    #[cfg(target_os = "linux")]
    group: Option<Group>,
}

impl Leash {
    /// Limits a process that has just been started. What the system can't do is logged.
    #[cfg(target_os = "linux")]
    pub(super) fn around(process: u32, limits: WorkerLimits, uid: &str) -> Self {
        use rustix::process::{Pid, Resource, Rlimit, prlimit};
        let is_limited = limits != WorkerLimits::default();
        let group = if is_limited { Group::around(process, &limits) } else { None };
        if group.is_none()
            && let Some(id) = i32::try_from(process).ok().and_then(Pid::from_raw)
        {
            if let Some(bytes) = limits.memory_bytes {
                let most = Some(bytes.saturating_mul(2).saturating_add(HEADROOM));
                if let Err(error) = prlimit(Some(id), Resource::Data, Rlimit { current: most, maximum: most }) {
                    tracing::warn!(uid, %error, "the system doesn't limit the process's memory; it is only watched");
                }
            }
            if let Some(cpus) = limits.cpus
                && let Err(error) = cpus::confine(id, cpus)
            {
                tracing::warn!(uid, %error, "the process can't be kept to its CPUs");
            }
        }
        Self { process, limits, group }
    }

    /// Limits a process that has just been started. Here its memory is watched, and no more.
    #[cfg(not(target_os = "linux"))]
    pub(super) fn around(process: u32, limits: WorkerLimits, uid: &str) -> Self {
        if limits.cpus.is_some() {
            tracing::warn!(uid, "this system doesn't keep processes to their CPUs");
        }
        Self { process, limits }
    }

    /// Whether somebody has to look at the process's memory.
    pub(super) fn needs_watch(&self) -> bool {
        self.limits.memory_bytes.is_some() && !self.is_group()
    }

    /// Why the process has to end: it holds more memory than it may.
    pub(super) fn excess(&self) -> Option<String> {
        let limit = self.limits.memory_bytes?;
        let held = resident_bytes(self.process).filter(|held| *held > limit)?;
        Some(told(limit, &format!(" ({})", megabytes(held))))
    }

    #[cfg(target_os = "linux")]
    fn is_group(&self) -> bool {
        self.group.is_some()
    }

    /// Why the process has ended: the kernel found that it took more memory than it may.
    #[cfg(target_os = "linux")]
    pub(super) fn verdict(&self) -> Option<String> {
        let limit = self.limits.memory_bytes?;
        self.group.as_ref().filter(|group| group.was_exceeded()).map(|_| told(limit, ""))
    }

    #[cfg(not(target_os = "linux"))]
    fn is_group(&self) -> bool {
        false
    }

    #[cfg(not(target_os = "linux"))]
    pub(super) fn verdict(&self) -> Option<String> {
        None
    }
}

fn told(limit: u64, held: &str) -> String {
    let limit = megabytes(limit);
    format!("the model's process was ended: it took more memory{held} than its limit of {limit} (memory_bytes)")
}

#[cfg(target_os = "linux")]
mod cpus {
    use rustix::{
        io,
        process::Pid,
        thread::{CpuSet, sched_getaffinity, sched_setaffinity},
    };
    use std::sync::atomic::{AtomicUsize, Ordering};

    /// Where the next worker's CPUs begin.
    static NEXT: AtomicUsize = AtomicUsize::new(0);

    /// Keeps a process to `count` CPUs. It must not have threads yet that matter.
    pub(super) fn confine(process: Pid, count: usize) -> io::Result<()> {
        let ours = sched_getaffinity(None)?;
        let ours: Vec<usize> = (0..CpuSet::MAX_CPU).filter(|cpu| ours.is_set(*cpu)).collect();
        let mut set = CpuSet::new();
        for cpu in choose(&ours, NEXT.fetch_add(count, Ordering::Relaxed), count) {
            set.set(cpu);
        }
        sched_setaffinity(Some(process), &set)
    }

    /// `count` of them, from the one at `first` around.
    fn choose(ours: &[usize], first: usize, count: usize) -> impl Iterator<Item = usize> {
        (0..count.min(ours.len())).map(move |n| ours[first.wrapping_add(n) % ours.len()])
    }

    #[cfg(test)]
    mod tests {
        use super::*;

        #[test]
        fn workers_get_cpus_side_by_side() {
            let of = |first, count| choose(&[2, 3, 5, 7], first, count).collect::<Vec<_>>();
            assert_eq!((of(0, 2), of(2, 2), of(4, 2)), (vec![2, 3], vec![5, 7], vec![2, 3]));
            assert_eq!((of(3, 2), of(1, 9)), (vec![7, 2], vec![3, 5, 7, 2]));
        }
    }
}
