//! Room for a model: all models together take no more memory than the settings allow. Those that nobody has used for longest
//! go first; those that are in use or pinned stay.

use super::{LaunchError, Models, Slot, State};
use std::{
    path::Path,
    sync::{Arc, PoisonError},
    time::Instant,
};
use syrinx_registry::megabytes;

/// Files of a model that are counted: many more than any has, should somebody name the root directory.
const MOST_FILES: usize = 10_000;

/// What a model does with its memory.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Use {
    /// It was told to stay.
    Pinned,
    /// Somebody uses it, or it is being loaded.
    Busy,
    /// Nobody uses it.
    IdleSince(Instant),
}

/// A model that takes memory.
#[derive(Clone, Debug)]
struct Holder {
    uid: String,
    bytes: u64,
    r#use: Use,
}

impl Models {
    /// Unloads models until there is room for `need` bytes more, for `slot`. Blocks.
    ///
    /// # Errors
    /// When there can't be; nothing is unloaded then.
    pub(super) fn make_room(&self, slot: &Arc<Slot>, need: u64) -> Result<(), LaunchError> {
        let Some(limit) = self.settings.memory else { return Ok(()) };
        let _one_at_a_time = self.making_room.lock().unwrap_or_else(PoisonError::into_inner);
        loop {
            let holders: Vec<Holder> = self.slots().iter().filter_map(|other| holder(other, slot)).collect();
            let goes = plan(&holders, need, limit)
                .ok_or_else(|| LaunchError::Unavailable(no_room(&slot.uid, &holders, need, limit)))?;
            if goes.is_empty() {
                slot.reserve(need);
                return Ok(());
            }
            for uid in goes {
                if let Ok(other) = self.slot(&uid) {
                    // One that is in use by now stays, and the next round sees it.
                    self.unload(&other, &format!("its memory is needed for {}", slot.uid));
                }
            }
        }
    }
}

/// What `slot` takes, or will, beside `newcomer`.
fn holder(slot: &Arc<Slot>, newcomer: &Arc<Slot>) -> Option<Holder> {
    let state = slot.state.borrow().clone();
    let (bytes, r#use) = match state {
        // A second copy of a model beside the first, which serves meanwhile.
        State::Ready(running) if Arc::ptr_eq(slot, newcomer) => (slot.memory(&running), Use::Busy),
        State::Ready(running) => {
            let idle = running.idle_since().map_or(Use::Busy, Use::IdleSince);
            (slot.memory(&running), if slot.spec.pinned { Use::Pinned } else { idle })
        }
        State::Loading if !Arc::ptr_eq(slot, newcomer) => (slot.reserved(), Use::Busy),
        _ => return None,
    };
    Some(Holder { uid: slot.uid.clone(), bytes, r#use })
}

/// The uids of the models that have to go, none if there is room already. `None` when there is no way.
fn plan(holders: &[Holder], need: u64, limit: u64) -> Option<Vec<String>> {
    let mut used = holders.iter().fold(need, |sum, holder| sum.saturating_add(holder.bytes));
    let mut idle: Vec<(Instant, &Holder)> = holders
        .iter()
        .filter_map(|holder| match holder.r#use {
            Use::IdleSince(since) => Some((since, holder)),
            Use::Pinned | Use::Busy => None,
        })
        .collect();
    idle.sort_by_key(|(since, _)| *since);
    let mut goes = Vec::new();
    for (_, holder) in idle {
        if used <= limit {
            break;
        }
        used -= holder.bytes;
        goes.push(holder.uid.clone());
    }
    (used <= limit).then_some(goes)
}

/// Tells what holds the memory.
fn no_room(uid: &str, holders: &[Holder], need: u64, limit: u64) -> String {
    let all = format!("{} that models may take (limits.model_memory_bytes)", megabytes(limit));
    let needs = format!("there is no memory for `{uid}`, which needs about {}", megabytes(need));
    if need > limit {
        return format!("{needs}: more than the {all}");
    }
    let held = holders.iter().map(|Holder { uid, bytes, r#use }| {
        let r#use = match r#use {
            Use::Pinned => "pinned",
            Use::Busy => "in use",
            Use::IdleSince(_) => "idle",
        };
        format!("`{uid}` ({}, {})", megabytes(*bytes), r#use)
    });
    format!("{needs}: the {all} are held by {}", held.collect::<Vec<_>>().join(", "))
}

/// Bytes of all files below a directory.
pub(super) fn bytes_below(dir: &Path) -> u64 {
    let (mut bytes, mut seen) = (0u64, 0);
    let mut dirs = vec![dir.to_owned()];
    while let Some(dir) = dirs.pop() {
        let Ok(files) = std::fs::read_dir(dir) else { continue };
        for file in files.flatten() {
            seen += 1;
            if seen > MOST_FILES {
                return bytes;
            }
            // Stores link to files that several versions share.
            let Ok(metadata) = std::fs::metadata(file.path()) else { continue };
            if metadata.is_dir() {
                dirs.push(file.path());
            } else {
                bytes = bytes.saturating_add(metadata.len());
            }
        }
    }
    bytes
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    fn holders(now: Instant) -> Vec<Holder> {
        let ago = |seconds| Use::IdleSince(now - Duration::from_secs(seconds));
        [
            ("new", 10, ago(1)),
            ("pinned", 20, Use::Pinned),
            ("old", 5, ago(9)),
            ("busy", 30, Use::Busy),
            ("older", 40, ago(50)),
        ]
        .map(|(uid, bytes, r#use)| Holder { uid: uid.to_owned(), bytes, r#use })
        .into()
    }

    #[test]
    fn the_least_recently_used_go_first_and_no_more_than_needed() {
        // 105 bytes are in use.
        let holders = holders(Instant::now() + Duration::from_secs(100));
        let plan = |need, limit| plan(&holders, need, limit);
        assert_eq!(plan(10, 115), Some(vec![]));
        assert_eq!(plan(10, 114), Some(vec!["older".to_owned()]));
        assert_eq!(plan(50, 115), Some(vec!["older".to_owned()]));
        assert_eq!(plan(51, 115), Some(["older", "old"].map(str::to_owned).into()));
        assert_eq!(plan(65, 115), Some(["older", "old", "new"].map(str::to_owned).into()));
        assert_eq!(plan(66, 115), None, "pinned and busy ones stay");
        assert_eq!(plan(u64::MAX, 115), None);
    }

    #[test]
    fn the_message_names_who_holds_the_memory() {
        let holders = [Holder { uid: "a".to_owned(), bytes: 2_000_000, r#use: Use::Busy }];
        let message = no_room("b", &holders, 3_500_000, 5_000_000);
        for part in ["`b`, which needs about 4 MB", "5 MB", "limits.model_memory_bytes", "`a` (2 MB, in use)"] {
            assert!(message.contains(part), "{message}");
        }
        assert!(no_room("b", &[], 2, 1).contains("more than the 1 MB"));
    }

    #[test]
    fn directories_are_added_up() {
        let dir = tempfile::tempdir().unwrap();
        std::fs::create_dir(dir.path().join("sub")).unwrap();
        std::fs::write(dir.path().join("a"), [0; 100]).unwrap();
        std::fs::write(dir.path().join("sub/b"), [0; 23]).unwrap();
        assert_eq!(bytes_below(dir.path()), 123);
        assert_eq!(bytes_below(&dir.path().join("none")), 0);
    }
}
