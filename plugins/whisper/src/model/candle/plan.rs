//! How the tokens of several sessions are laid out for one step.
//!
//! All tokens of all sessions are rows of one matrix, so that each weight is read once. Attention needs more order than that: sessions
//! are sorted so that those with the same number of tokens per beam are neighbours (one *group* of self attention: rows of one padded
//! tensor), and among those the ones with the same number of beams and with neighbouring places for their audio (one *run* of cross
//! attention: one product over a slice of the audio's buffers).

use std::ops::Range;

/// What a session brings to a step.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Share {
    pub(super) beams: usize,
    /// Tokens per beam.
    pub(super) n: usize,
    /// Tokens that each beam was fed before.
    pub(super) fed: usize,
    /// Where its audio is.
    pub(super) slot: usize,
    /// Frames of its audio.
    pub(super) frames: usize,
}

impl Share {
    /// Rows of the matrix.
    pub(super) fn rows(&self) -> usize {
        self.beams * self.n
    }
}

/// Sessions that attend to their own tokens together.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Group {
    /// Places in the order of [`Plan::order`].
    pub(super) members: Range<usize>,
    /// Rows of the matrix.
    pub(super) rows: Range<usize>,
    /// Beams of all members.
    pub(super) beams: usize,
    /// Tokens per beam.
    pub(super) n: usize,
    /// Tokens of the longest beam, those of this step included.
    pub(super) longest: usize,
}

/// Sessions that attend to their audio together: neighbours in its buffers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Run {
    /// Rows of the matrix; the same number for each session.
    pub(super) rows: Range<usize>,
    /// Where their audio is.
    pub(super) slots: Range<usize>,
    /// Frames of each audio.
    pub(super) frames: usize,
}

/// The layout of a step.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Plan {
    /// Which session comes where.
    pub(super) order: Vec<usize>,
    /// Rows of the matrix.
    pub(super) rows: usize,
    pub(super) groups: Vec<Group>,
    pub(super) runs: Vec<Run>,
}

impl Plan {
    pub(super) fn new(shares: &[Share]) -> Self {
        let mut order: Vec<usize> = (0..shares.len()).collect();
        order.sort_by_key(|&at| (shares[at].n, shares[at].beams, shares[at].frames, shares[at].slot));
        let mut plan = Self { order: Vec::new(), rows: 0, groups: Vec::new(), runs: Vec::new() };
        for (place, &at) in order.iter().enumerate() {
            let share = &shares[at];
            let rows = plan.rows..plan.rows + share.rows();
            plan.rows = rows.end;
            match plan.groups.last_mut().filter(|group| group.n == share.n) {
                Some(group) => {
                    group.members.end = place + 1;
                    group.rows.end = rows.end;
                    group.beams += share.beams;
                    group.longest = group.longest.max(share.fed + share.n);
                }
                None => plan.groups.push(Group {
                    members: place..place + 1,
                    rows: rows.clone(),
                    beams: share.beams,
                    n: share.n,
                    longest: share.fed + share.n,
                }),
            }
            let fits = |run: &&mut Run| {
                run.rows.len() == run.slots.len() * share.rows()
                    && run.slots.end == share.slot
                    && run.frames == share.frames
            };
            match plan.runs.last_mut().filter(fits) {
                Some(run) => {
                    run.rows.end = rows.end;
                    run.slots.end = share.slot + 1;
                }
                None => plan.runs.push(Run { rows, slots: share.slot..share.slot + 1, frames: share.frames }),
            }
        }
        Self { order, ..plan }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn share(beams: usize, n: usize, fed: usize, slot: usize) -> Share {
        Share { beams, n, fed, slot, frames: 1500 }
    }

    #[test]
    fn steps_of_equal_sessions_are_one_group_and_one_run() {
        let plan = Plan::new(&[share(5, 1, 30, 2), share(5, 1, 17, 0), share(5, 1, 4, 1)]);
        assert_eq!(plan.order, [1, 2, 0]);
        assert_eq!(plan.groups, [Group { members: 0..3, rows: 0..15, beams: 15, n: 1, longest: 31 }]);
        assert_eq!(plan.runs, [Run { rows: 0..15, slots: 0..3, frames: 1500 }]);
    }

    #[test]
    fn other_lengths_beams_and_places_part_them() {
        let plan = Plan::new(&[share(1, 4, 0, 3), share(5, 1, 9, 0), share(1, 1, 7, 1), share(5, 1, 9, 0)]);
        assert_eq!(plan.order, [2, 1, 3, 0]);
        assert_eq!(plan.rows, 15);
        let rows: Vec<_> = plan.groups.iter().map(|group| (group.rows.clone(), group.beams, group.longest)).collect();
        assert_eq!(rows, [(0..11, 11, 10), (11..15, 1, 4)]);
        let slots: Vec<_> = plan.runs.iter().map(|run| (run.rows.clone(), run.slots.clone())).collect();
        // Two sessions that hear the same are two runs.
        assert_eq!(slots, [(0..1, 1..2), (1..6, 0..1), (6..11, 0..1), (11..15, 3..4)]);
        assert_eq!(Plan::new(&[]), Plan::default());
    }
}
