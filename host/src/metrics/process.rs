//! What this process takes, under the names that Prometheus' clients have agreed on, and what the models' own processes take.

use super::text::Families;
use crate::{
    models::{ModelStatus, State},
    server::App,
};
use std::sync::{Mutex, PoisonError};
use sysinfo::{Pid, ProcessRefreshKind, ProcessesToUpdate, System};

/// Kept from scrape to scrape: it has looked the machine over once.
static SYSTEM: Mutex<Option<System>> = Mutex::new(None);

/// What one process takes.
struct Taken {
    memory: u64,         // bytes, resident
    virtual_memory: u64, // bytes
    cpu: f64,            // s
    started: u64,        // s since 1970
    open_files: Option<usize>,
    most_open_files: Option<usize>,
    threads: Option<usize>,
}

/// Adds everything. A process that is gone is left out.
pub(super) fn render(families: &mut Families, app: &App, statuses: &[ModelStatus]) {
    let uploads = "Memory of uploads and of the samples that came out of them";
    families.gauge("syrinx_upload_memory_bytes", uploads, app.upload_bytes() as f64);
    let version = (vec![("version", env!("CARGO_PKG_VERSION").to_owned())], 1.0);
    families.add("syrinx_build_info", "Which program this is; always 1", "gauge", [version]);
    let workers: Vec<(&ModelStatus, usize, Pid)> = statuses
        .iter()
        .filter_map(|status| match &status.state {
            State::Ready(running) => Some((status, running.processes())),
            _ => None,
        })
        .flat_map(|(status, processes)| {
            let processes = processes.into_iter().enumerate();
            processes.filter_map(move |(replica, id)| Some((status, replica, Pid::from_u32(id?))))
        })
        .collect();
    let own = Pid::from_u32(std::process::id());
    let mut kept = SYSTEM.lock().unwrap_or_else(PoisonError::into_inner);
    if kept.is_none() {
        *kept =
            System::new().inspect_err(|error| tracing::debug!(%error, "this system tells nothing of processes")).ok();
    }
    let Some(system) = kept.as_mut() else { return };
    let ids: Vec<Pid> = std::iter::once(own).chain(workers.iter().map(|(_, _, id)| *id)).collect();
    let what = ProcessRefreshKind::nothing().with_memory().with_cpu();
    system.refresh_processes_specifics(ProcessesToUpdate::Some(&ids), true, what);

    if let Some(taken) = look(system, own) {
        add_own(families, &taken);
    }
    let taken: Vec<_> = workers
        .iter()
        .filter_map(|(status, replica, id)| {
            let labels = vec![("model", status.uid.clone()), ("replica", replica.to_string())];
            Some((labels, look(system, *id)?))
        })
        .collect();
    let mut add = |name: &str, help: &str, kind: &str, value: fn(&Taken) -> Option<f64>| {
        let samples = taken.iter().filter_map(|(labels, taken)| Some((labels.clone(), value(taken)?)));
        families.add(name, help, kind, samples);
    };
    add("syrinx_worker_resident_memory_bytes", "Memory of a model's own process", "gauge", |it| Some(it.memory as f64));
    add("syrinx_worker_cpu_seconds_total", "CPU time of a model's own process", "counter", |it| Some(it.cpu));
    add("syrinx_worker_open_fds", "Open files of a model's own process", "gauge", |it| Some(it.open_files? as f64));
    add("syrinx_worker_threads", "Threads of a model's own process", "gauge", |it| Some(it.threads? as f64));
}

fn add_own(families: &mut Families, taken: &Taken) {
    let cpu = [(Vec::new(), taken.cpu)];
    families.add("process_cpu_seconds_total", "CPU time in seconds", "counter", cpu);
    families.gauge("process_start_time_seconds", "Start in seconds since 1970", taken.started as f64);
    families.gauge("process_resident_memory_bytes", "Memory in use", taken.memory as f64);
    families.gauge("process_virtual_memory_bytes", "Memory that is reserved", taken.virtual_memory as f64);
    for (name, help, value) in [
        ("process_open_fds", "Open files and sockets", taken.open_files),
        ("process_max_fds", "Most open files and sockets", taken.most_open_files),
        ("process_threads", "Threads", taken.threads),
    ] {
        if let Some(value) = value {
            families.gauge(name, help, value as f64);
        }
    }
}

fn look(system: &System, id: Pid) -> Option<Taken> {
    let process = system.process(id)?;
    Some(Taken {
        memory: process.memory(),
        virtual_memory: process.virtual_memory(),
        cpu: process.accumulated_cpu_time() as f64 / 1000.0, // ms
        started: process.start_time(),
        open_files: process.open_files(),
        most_open_files: process.open_files_limit(),
        threads: threads(id),
    })
}

/// Linux says; elsewhere it is not known.
fn threads(id: Pid) -> Option<usize> {
    Some(std::fs::read_dir(format!("/proc/{id}/task")).ok()?.count())
}
