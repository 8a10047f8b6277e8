//! A control group (version 2) of its own for a worker, where the server may make some: as a service of systemd with
//! `Delegate=yes` and `DelegateSubgroup=server`. The kernel then enforces the limits.

use crate::models::WorkerLimits;
use rustix::fs::getxattr;
use std::{
    fs, io,
    path::{Path, PathBuf},
};

/// Where systems have their control groups.
const ROOT: &str = "/sys/fs/cgroup";

/// What CPU time is counted in. [µs]
const PERIOD: usize = 100_000; // the kernel's default

/// A worker's group. Removed when dropped, which must be after the worker's end.
pub(super) struct Group(PathBuf);

impl Group {
    /// Puts a process into a group with these limits; none where that isn't permitted.
    pub(super) fn around(process: u32, limits: &WorkerLimits) -> Option<Self> {
        let place = place(Path::new(ROOT), &fs::read_to_string("/proc/self/cgroup").ok()?)?;
        if !is_delegated(&place) {
            return None;
        }
        let made = Self::make(&place, process, limits);
        made.inspect_err(|error| tracing::debug!(%error, "no control group can be made")).ok()
    }

    fn make(place: &Path, process: u32, limits: &WorkerLimits) -> io::Result<Self> {
        fs::write(place.join("cgroup.subtree_control"), "+memory +cpu")?;
        let dir = place.join(format!("worker-{process}"));
        fs::create_dir(&dir)?;
        let group = Self(dir);
        if let Some(bytes) = limits.memory_bytes {
            group.set("memory.max", &bytes.to_string())?;
            // Where there is no swap to account for, there is no such file.
            let _ = group.set("memory.swap.max", "0");
        }
        if let Some(cpus) = limits.cpus {
            group.set("cpu.max", &format!("{} {PERIOD}", cpus.saturating_mul(PERIOD)))?;
        }
        group.set("cgroup.procs", &process.to_string())?;
        Ok(group)
    }

    fn set(&self, name: &str, value: &str) -> io::Result<()> {
        fs::write(self.0.join(name), value)
    }

    /// Whether the kernel has ended a process for its memory.
    pub(super) fn was_exceeded(&self) -> bool {
        let events = fs::read_to_string(self.0.join("memory.events")).unwrap_or_default();
        let kills = events.lines().find_map(|line| line.strip_prefix("oom_kill "));
        kills.is_some_and(|count| count.trim() != "0")
    }
}

impl Drop for Group {
    fn drop(&mut self) {
        let _ = fs::remove_dir(&self.0);
    }
}

/// Where the groups of workers belong: beside the group of the server, as `/proc/self/cgroup` tells it.
fn place(root: &Path, own: &str) -> Option<PathBuf> {
    let own = own.lines().find_map(|line| line.strip_prefix("0::/")).filter(|path| !path.is_empty())?;
    let place = root.join(own).parent()?.to_owned();
    (place != root && place.join("cgroup.subtree_control").exists()).then_some(place)
}

/// Whether systemd has left a group to us.
fn is_delegated(group: &Path) -> bool {
    let mut value = [0; 8];
    ["user.delegate", "trusted.delegate"].iter().any(|name| {
        let length = getxattr(group, *name, &mut value).unwrap_or(0);
        value[..length] == *b"1"
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn groups_lie_beside_the_server() {
        let root = tempfile::tempdir().unwrap();
        let slice = root.path().join("system.slice/syrinx.service");
        fs::create_dir_all(slice.join("server")).unwrap();
        assert_eq!(place(root.path(), "0::/system.slice/syrinx.service/server\n"), None, "no control groups here");
        fs::write(slice.join("cgroup.subtree_control"), "").unwrap();
        assert_eq!(place(root.path(), "1:cpu:/\n0::/system.slice/syrinx.service/server\n"), Some(slice.clone()));
        for own in ["", "0::/\n", "0::/server\n", "4:memory:/system.slice/syrinx.service/server\n"] {
            assert_eq!(place(root.path(), own), None, "{own:?}");
        }
        assert!(!is_delegated(&slice));
    }

    #[test]
    fn limits_are_written_down_before_the_process_comes() {
        let dir = tempfile::tempdir().unwrap();
        let limits = WorkerLimits { memory_bytes: Some(1 << 20), cpus: Some(2) };
        let group = Group::make(dir.path(), 7, &limits).unwrap();
        let read = |name: &str| fs::read_to_string(dir.path().join(name)).unwrap();
        assert_eq!(read("cgroup.subtree_control"), "+memory +cpu");
        assert_eq!((read("worker-7/memory.max"), read("worker-7/cpu.max")), ("1048576".into(), "200000 100000".into()));
        assert_eq!(read("worker-7/cgroup.procs"), "7");
        assert!(!group.was_exceeded());
        group.set("memory.events", "low 0\noom 1\noom_kill 1\n").unwrap();
        assert!(group.was_exceeded());
    }
}
