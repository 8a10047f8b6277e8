//! Joining pieces so that nobody hears that there are several.
//!
//! The network starts and ends every piece with silence (measured: 0.25 to 0.43 s before, 0.44 to 0.75 s after, digital
//! zero but for the edges), so two pieces end to end would be parted by about a second. Each piece is cut to its speech
//! and the pause that the network itself makes at such a place within a piece is put between.

use crate::session::SAMPLE_RATE;

/// Silence before the first sound, seconds; the network's own is longer.
const LEAD_IN: f32 = 0.08;

/// Silence after the last sound, seconds.
const LEAD_OUT: f32 = 0.2;

/// What is kept around the speech of a piece beyond where it is heard, seconds: breaths and decays.
const MARGIN: f32 = 0.03;

/// Length of the fades at the cuts, seconds; they lie within the margin.
const FADE: f32 = 0.005;

/// Window over which level is measured, seconds.
const FRAME: f32 = 0.01;

/// Speech is what is at most this far below the loudest frame; 50 dB as an amplitude ratio.
const THRESHOLD: f32 = 0.003_162;

/// How a piece ends, and so how long the pause after it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Boundary {
    /// Within a sentence, without a mark.
    Word,
    /// After `,` `;` `:` or a dash.
    Clause,
    /// After `.` `!` `?` or `…`.
    Sentence,
    /// At the end of a line.
    Paragraph,
}

impl Boundary {
    /// The boundary that a phoneme string ends with.
    #[must_use]
    pub fn after(phonemes: &str) -> Self {
        let closing = |character: char| character.is_whitespace() || matches!(character, ')' | '”' | '"' | '“');
        match phonemes.trim_end_matches(closing).chars().next_back() {
            Some('.' | '!' | '?' | '…') => Boundary::Sentence,
            Some(',' | ';' | ':' | '—') => Boundary::Clause,
            _ => Boundary::Word,
        }
    }

    /// Seconds of pause at speed 1. Measured within pieces, four voices: 0.61 to 0.86 s after sentences, 0.31 to 0.49 s
    /// after clauses.
    fn pause(self) -> f32 {
        match self {
            Boundary::Word => 0.06,
            Boundary::Clause => 0.36,
            Boundary::Sentence => 0.65,
            Boundary::Paragraph => 0.85,
        }
    }
}

/// Where the next piece goes.
#[derive(Debug)]
pub struct JointState {
    /// Speech rate; pauses shrink with it like the network's own.
    speed: f32,
    /// Silence due before the next piece, in samples.
    due: usize,
}

/// A piece, cut to be pushed: this much silence, then these samples.
#[derive(Debug, PartialEq)]
pub struct Joined {
    /// Samples of silence.
    pub silence: usize,
    /// The speech, faded at both ends.
    pub speech: Vec<f32>,
    /// Which sample of the piece `speech` starts at.
    pub offset: usize,
}

impl JointState {
    /// Nothing has been pushed.
    #[must_use]
    pub fn new(speed: f32) -> Self {
        JointState { speed, due: samples(LEAD_IN) }
    }

    /// Cuts a piece that the network made and that ends with `boundary`. `None` when there is nothing to hear in it.
    pub fn join(&mut self, mut piece: Vec<f32>, boundary: Boundary) -> Option<Joined> {
        let (start, end) = speech_range(&piece)?;
        piece.truncate(end);
        piece.drain(..start);
        fade(&mut piece);
        let joined = Joined { silence: self.due, speech: piece, offset: start };
        self.due = samples(boundary.pause() / self.speed);
        Some(joined)
    }

    /// Makes the next pause at least as long as `boundary`'s.
    pub fn pause_for(&mut self, boundary: Boundary) {
        self.due = self.due.max(samples(boundary.pause() / self.speed));
    }

    /// Makes the next pause at least `seconds` long.
    pub fn pause(&mut self, seconds: f32) {
        self.due = self.due.max(samples(seconds));
    }

    /// Samples of silence after the last piece: what is due of an explicit pause, or a little.
    #[must_use]
    pub fn finish(self, explicit_pause: Option<f32>) -> usize {
        samples(explicit_pause.unwrap_or(0.0).max(LEAD_OUT))
    }
}

fn samples(seconds: f32) -> usize {
    (seconds * SAMPLE_RATE as f32).round() as usize
}

/// Start and end of what is heard, with a margin.
fn speech_range(piece: &[f32]) -> Option<(usize, usize)> {
    let frame = samples(FRAME);
    let energy: Vec<f32> =
        piece.chunks(frame).map(|frame| frame.iter().map(|x| x * x).sum::<f32>() / frame.len() as f32).collect();
    let loudest = energy.iter().copied().fold(0.0, f32::max);
    if loudest <= 0.0 {
        return None;
    }
    let heard = |energy: &f32| *energy >= loudest * THRESHOLD * THRESHOLD;
    let first = energy.iter().position(heard)?;
    let last = energy.iter().rposition(heard)?;
    let margin = samples(MARGIN);
    Some(((first * frame).saturating_sub(margin), ((last + 1) * frame + margin).min(piece.len())))
}

/// Raised-cosine fades at both ends.
fn fade(piece: &mut [f32]) {
    let length = samples(FADE).min(piece.len() / 2);
    for index in 0..length {
        let gain = 0.5 - 0.5 * (std::f32::consts::PI * (index as f32 + 0.5) / length as f32).cos();
        piece[index] *= gain;
        let mirrored = piece.len() - 1 - index;
        piece[mirrored] *= gain;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tone(before: f32, length: f32, after: f32) -> Vec<f32> {
        let mut piece = vec![0.0; samples(before)];
        piece.extend((0..samples(length)).map(|index| 0.4 * (index as f32 * 0.1).sin()));
        piece.extend(std::iter::repeat_n(0.0, samples(after)));
        piece
    }

    #[test]
    fn pauses_do_not_depend_on_the_networks_silence() {
        for (before, after) in [(0.3, 0.5), (0.1, 1.0)] {
            let mut joint = JointState::new(1.0);
            let first = joint.join(tone(before, 1.0, after), Boundary::Sentence).unwrap();
            assert_eq!(first.silence, samples(LEAD_IN));
            assert_eq!(first.speech.len(), samples(1.0 + 2.0 * MARGIN));
            let second = joint.join(tone(before, 1.0, after), Boundary::Clause).unwrap();
            assert_eq!(second.silence, samples(0.65));
        }
    }

    #[test]
    fn pauses_shrink_with_speed_and_can_be_asked_for() {
        let mut joint = JointState::new(2.0);
        joint.join(tone(0.3, 1.0, 0.3), Boundary::Sentence).unwrap();
        joint.pause(1.5);
        joint.pause_for(Boundary::Paragraph);
        assert_eq!(joint.join(tone(0.3, 1.0, 0.3), Boundary::Word).unwrap().silence, samples(1.5));
        assert_eq!(joint.join(tone(0.3, 1.0, 0.3), Boundary::Word).unwrap().silence, samples(0.03));
    }

    #[test]
    fn cuts_end_in_silence() {
        // Speech up to the very edge of the piece: the fades keep the joint from clicking.
        let joined = JointState::new(1.0).join(tone(0.0, 0.5, 0.0), Boundary::Word).unwrap();
        assert!(joined.speech[0].abs() < 1e-3 && joined.speech[joined.speech.len() - 1].abs() < 1e-3);
        assert_eq!(JointState::new(1.0).join(vec![0.0; 1000], Boundary::Word), None);
        assert_eq!(JointState::new(1.0).join(Vec::new(), Boundary::Word), None);
    }

    #[test]
    fn boundaries_are_told_by_the_last_mark() {
        assert_eq!(Boundary::after("hˈI!”"), Boundary::Sentence);
        assert_eq!(Boundary::after("hˈI, "), Boundary::Clause);
        assert_eq!(Boundary::after("hˈI"), Boundary::Word);
        assert_eq!(Boundary::after(""), Boundary::Word);
    }
}
