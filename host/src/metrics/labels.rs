//! Labels whose values come from outside, and so need an end.

use std::{
    collections::BTreeSet,
    sync::{Mutex, PoisonError},
};

/// Models, and models with generations, that get series of their own in the life of a process: many more than anybody
/// launches, few enough for a scrape.
const MOST: usize = 1000;

/// What the rest is called.
const OTHER: &str = "other";

static SEEN: Mutex<BTreeSet<(String, u64)>> = Mutex::new(BTreeSet::new());

/// The label `model`. Launches choose their uids, and may choose new ones for ever.
pub(super) fn model(uid: &str) -> String {
    // No plugin has the generation 0.
    if is_welcome(uid, 0) { uid.to_owned() } else { OTHER.to_owned() }
}

/// The labels `model` and `generation`. Each new build of a plugin makes another generation.
pub(super) fn model_and_generation(uid: &str, generation: u64) -> (String, String) {
    if is_welcome(uid, generation) { (uid.to_owned(), generation.to_string()) } else { (model(uid), OTHER.to_owned()) }
}

fn is_welcome(uid: &str, generation: u64) -> bool {
    let mut seen = SEEN.lock().unwrap_or_else(PoisonError::into_inner);
    let key = (uid.to_owned(), generation);
    seen.contains(&key) || (seen.len() < MOST && seen.insert(key))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn there_is_an_end_to_labels() {
        let first = model_and_generation("labels-first", 1);
        assert_eq!(first, ("labels-first".to_owned(), "1".to_owned()));
        let generations: BTreeSet<String> =
            (2..2 * MOST as u64).map(|number| model_and_generation("labels-first", number).1).collect();
        assert!(generations.len() <= MOST && generations.contains(OTHER));
        assert_eq!(model_and_generation("labels-first", 1), first, "what has a series keeps it");
        assert_eq!(model("labels-late"), OTHER);
    }
}
