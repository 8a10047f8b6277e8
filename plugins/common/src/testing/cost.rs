//! What this process has cost so far, as Linux tells it.

use std::fs;

/// Ticks of a second, of `/proc/self/stat` on every Linux.
const TICKS: f64 = 100.0;

/// Seconds that this process has computed, in user space and in the kernel; 0 where the system doesn't tell.
pub fn processor_seconds() -> f64 {
    let stat = fs::read_to_string("/proc/self/stat").unwrap_or_default();
    // Behind the name, which may hold anything, comes the state, which is no number: utime and stime are in places 14 and 15 of the whole line.
    let rest = stat.rsplit(')').next().unwrap_or_default();
    let numbers: Vec<f64> = rest.split_whitespace().filter_map(|field| field.parse().ok()).collect();
    numbers.get(10).zip(numbers.get(11)).map_or(0.0, |(user, system)| (user + system) / TICKS)
}

/// Memory of this process. [bytes]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Memory {
    /// In use now.
    pub resident: u64,
    /// The most that has been in use.
    pub peak: u64,
}

/// What memory is in use, and was at most; 0 where the system doesn't tell.
pub fn memory() -> Memory {
    let status = fs::read_to_string("/proc/self/status").unwrap_or_default();
    let of = |field: &str| -> u64 {
        let line = status.lines().find_map(|line| line.strip_prefix(field)?.strip_prefix(':'));
        line.and_then(|line| line.trim().strip_suffix(" kB")?.parse::<u64>().ok()).unwrap_or(0) * 1024
    };
    Memory { resident: of("VmRSS"), peak: of("VmHWM") }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    #[cfg(target_os = "linux")]
    fn work_costs_something() {
        let before = processor_seconds();
        let mut number = 1_u64;
        while processor_seconds() - before < 0.02 {
            (0..1_000_000).for_each(|_| number = number.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1));
        }
        assert_ne!(number, 1);
        let memory = memory();
        assert!(memory.resident > 100_000 && memory.peak >= memory.resident, "{memory:?}");
    }
}
