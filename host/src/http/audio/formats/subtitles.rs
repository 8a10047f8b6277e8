//! `srt` and `vtt`: the same cues in two spellings.

use std::fmt::Write as _;
use syrinx_plugin_api::Segment;

/// SubRip: numbered cues, comma before the milliseconds.
pub(super) fn srt(segments: &[Segment]) -> String {
    let mut out = String::new();
    for (number, (segment, text)) in cues(segments).enumerate() {
        let (start, end) = (Clock(segment.start, ','), Clock(segment.end, ','));
        // Writing into a string can't fail.
        let _ = write!(out, "{}\n{start} --> {end}\n{text}\n\n", number + 1);
    }
    out
}

/// WebVTT: a header, full stop before the milliseconds.
pub(super) fn vtt(segments: &[Segment]) -> String {
    let mut out = String::from("WEBVTT\n\n");
    for (segment, text) in cues(segments) {
        let (start, end) = (Clock(segment.start, '.'), Clock(segment.end, '.'));
        let _ = write!(out, "{start} --> {end}\n{text}\n\n");
    }
    out
}

/// The segments that have something to read.
fn cues(segments: &[Segment]) -> impl Iterator<Item = (&Segment, String)> {
    segments.iter().map(|segment| (segment, cue_text(&segment.text))).filter(|(_, text)| !text.is_empty())
}

/// A text that can't be taken for the end of a cue or for another cue's times.
fn cue_text(text: &str) -> String {
    let one_line: String =
        text.chars().map(|c| if c.is_control() || "\u{2028}\u{2029}".contains(c) { ' ' } else { c }).collect();
    let mut text = one_line.trim().to_owned();
    // Once isn't enough: `--->` becomes `-->` only now.
    while text.contains("-->") {
        text = text.replace("-->", "->");
    }
    text
}

/// `HH:MM:SS`, a separator, milliseconds.
struct Clock(f64, char);

impl std::fmt::Display for Clock {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let milliseconds = (self.0.max(0.0) * 1000.0).round() as u64;
        let (seconds, milliseconds) = (milliseconds / 1000, milliseconds % 1000);
        let (hours, minutes, seconds) = (seconds / 3600, seconds / 60 % 60, seconds % 60);
        write!(f, "{hours:02}:{minutes:02}:{seconds:02}{}{milliseconds:03}", self.1)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn segment(start: f64, end: f64, text: &str) -> Segment {
        Segment { start, end, text: text.to_owned(), ..Segment::default() }
    }

    #[test]
    fn cues_in_both_spellings() {
        let segments = [
            segment(0.0, 1.5, " Hello "),
            segment(1.5, 2.0, "  "),
            segment(3661.001, 3662.9996, "a --> b\n\nc --->\u{0} d"),
        ];
        assert_eq!(
            srt(&segments),
            "1\n00:00:00,000 --> 00:00:01,500\nHello\n\n2\n01:01:01,001 --> 01:01:03,000\na -> b  c ->  d\n\n"
        );
        assert_eq!(
            vtt(&segments),
            "WEBVTT\n\n00:00:00.000 --> 00:00:01.500\nHello\n\n01:01:01.001 --> 01:01:03.000\na -> b  c ->  d\n\n"
        );
    }

    #[test]
    fn long_recordings_and_odd_times() {
        let segments = [segment(359_999.999_6, 360_001.5, "later"), segment(-1.0, -0.5, "\u{2028}\u{85}before\t")];
        let expected = "1\n100:00:00,000 --> 100:00:01,500\nlater\n\n2\n00:00:00,000 --> 00:00:00,000\nbefore\n\n";
        assert_eq!(srt(&segments), expected);
    }

    #[test]
    fn nothing_said() {
        assert_eq!(srt(&[]), "");
        assert_eq!(vtt(&[]), "WEBVTT\n\n");
    }
}
