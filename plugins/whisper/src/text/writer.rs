//! Transcripts as files: plain text, subtitles, tables, JSON.
//!
//! Source: openai/whisper `whisper/utils.py: WriteTXT, WriteVTT, WriteSRT, WriteTSV, WriteJSON`.

use serde::Serialize;
use serde_json::ser::Formatter;

use super::{format_timestamp, strip};

/// Words further apart are never in one subtitle when subtitles span segments, seconds.
const LONG_PAUSE: f64 = 3.0;

/// Kinds of files.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Format {
    /// A line per segment.
    Txt,
    /// WebVTT.
    Vtt,
    /// SubRip.
    Srt,
    /// Start, end (milliseconds) and text, separated by tabs.
    Tsv,
}

/// How subtitles with words are divided.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct SubtitleOptions {
    /// Characters of a line.
    pub max_line_width: Option<usize>,
    /// Lines of a subtitle; together with a width, subtitles may span segments.
    pub max_line_count: Option<usize>,
    /// Words of a line, without a width.
    pub max_words_per_line: Option<usize>,
    /// Whether each word is underlined while it is said.
    pub highlight_words: bool,
}

/// A segment to be written.
#[derive(Debug, Clone, PartialEq)]
pub struct Line {
    /// Seconds.
    pub start: f64,
    /// Seconds.
    pub end: f64,
    /// The text.
    pub text: String,
    /// Words, where they are known.
    pub words: Option<Vec<LineWord>>,
}

/// A word to be written.
#[derive(Debug, Clone, PartialEq)]
pub struct LineWord {
    /// The word, with the space before it.
    pub word: String,
    /// Seconds.
    pub start: f64,
    /// Seconds.
    pub end: f64,
}

/// One subtitle: start, end, text.
type Cue = (String, String, String);

/// Writes a transcript.
#[must_use]
pub fn write(lines: &[Line], format: Format, options: SubtitleOptions) -> String {
    match format {
        Format::Txt => lines.iter().map(|line| format!("{}\n", strip(&line.text))).collect(),
        Format::Tsv => {
            let milliseconds = |seconds: f64| (1000.0 * seconds).round_ties_even() as i64;
            let row = |line: &Line| {
                let text = strip(&line.text).replace('\t', " ");
                format!("{}\t{}\t{text}\n", milliseconds(line.start), milliseconds(line.end))
            };
            std::iter::once("start\tend\ttext\n".to_owned()).chain(lines.iter().map(row)).collect()
        }
        Format::Vtt => {
            let cues = cues(lines, options, &|seconds| format_timestamp(seconds, false, '.'));
            let cues = cues.into_iter().map(|(start, end, text)| format!("{start} --> {end}\n{text}\n\n"));
            std::iter::once("WEBVTT\n\n".to_owned()).chain(cues).collect()
        }
        Format::Srt => {
            let cues = cues(lines, options, &|seconds| format_timestamp(seconds, true, ','));
            let numbered = cues.into_iter().enumerate();
            numbered.map(|(i, (start, end, text))| format!("{}\n{start} --> {end}\n{text}\n\n", i + 1)).collect()
        }
    }
}

/// The subtitles: by words where the first segment has them, else one per segment.
fn cues(lines: &[Line], options: SubtitleOptions, time: &dyn Fn(f64) -> String) -> Vec<Cue> {
    if lines.first().is_none_or(|line| line.words.is_none()) {
        let cue = |line: &Line| (time(line.start), time(line.end), strip(&line.text).replace("-->", "->"));
        return lines.iter().map(cue).collect();
    }
    let mut cues = Vec::new();
    for subtitle in Subtitles::divide(lines, options) {
        let (Some(first), Some(last)) = (subtitle.first(), subtitle.last()) else { continue };
        let text: String = subtitle.iter().map(|word| word.word.as_str()).collect();
        let (start, end) = (time(first.start), time(last.end));
        if !options.highlight_words {
            cues.push((start, end, text));
            continue;
        }
        let mut shown_until = start;
        for (i, word) in subtitle.iter().enumerate() {
            let (start, end) = (time(word.start), time(word.end));
            if shown_until != start {
                cues.push((shown_until, start.clone(), text.clone()));
            }
            let mark =
                |(j, other): (usize, &LineWord)| if i == j { underlined(&other.word) } else { other.word.clone() };
            cues.push((start, end.clone(), subtitle.iter().enumerate().map(mark).collect()));
            shown_until = end;
        }
    }
    cues
}

/// The word between `<u>` and `</u>`, white space before them.
fn underlined(word: &str) -> String {
    let bare = word.trim_start();
    format!("{}<u>{bare}</u>", &word[..word.len() - bare.len()])
}

/// Divides words into subtitles and lines.
#[derive(Default)]
struct Subtitles {
    done: Vec<Vec<LineWord>>,
    current: Vec<LineWord>,
    /// Characters of the current line.
    line_len: usize,
    lines: usize,
    /// Start of the word before.
    last: f64,
}

impl Subtitles {
    fn divide(lines: &[Line], options: SubtitleOptions) -> Vec<Vec<LineWord>> {
        let all_words = || lines.iter().flat_map(|line| line.words.iter().flatten());
        let start = all_words().next().map(|word| word.start).or_else(|| lines.first().map(|line| line.start));
        let mut subtitles = Self { lines: 1, last: start.unwrap_or(0.0), ..Self::default() };
        let per_line = options.max_words_per_line.filter(|count| *count > 0).unwrap_or(usize::MAX);
        for line in lines {
            for chunk in line.words.as_deref().unwrap_or_default().chunks(per_line) {
                for (i, word) in chunk.iter().enumerate() {
                    subtitles.add(word, i == 0, options);
                }
            }
        }
        if !subtitles.current.is_empty() {
            subtitles.done.push(subtitles.current);
        }
        subtitles.done
    }

    /// Adds a word; `is_first` says that a segment or a group of words starts with it.
    fn add(&mut self, word: &LineWord, is_first: bool, options: SubtitleOptions) {
        let spans_segments = options.max_line_count.is_some() && options.max_line_width.is_some();
        let width = options.max_line_width.unwrap_or(1000);
        let long_pause = spans_segments && word.start - self.last > LONG_PAUSE;
        let has_room = self.line_len + word.word.chars().count() <= width;
        let segment_break = is_first && !self.current.is_empty() && !spans_segments;
        let mut word = word.clone();
        self.last = word.start;
        if self.line_len > 0 && has_room && !long_pause && !segment_break {
            self.line_len += word.word.chars().count();
            self.current.push(word);
            return;
        }
        word.word = strip(&word.word).to_owned();
        let is_full = options.max_line_count.is_some_and(|most| long_pause || self.lines >= most);
        let length = word.word.chars().count();
        if (!self.current.is_empty() && is_full) || segment_break {
            self.done.push(std::mem::take(&mut self.current));
            self.lines = 1;
        } else if self.line_len > 0 {
            self.lines += 1;
            word.word.insert(0, '\n');
        }
        self.line_len = length;
        self.current.push(word);
    }
}

/// JSON as Python's `json.dump` writes it: spaces after commas and colons, ASCII only.
#[must_use]
pub fn python_json(value: &impl Serialize) -> String {
    let mut out = Vec::new();
    let mut serializer = serde_json::Serializer::with_formatter(&mut out, PythonStyle);
    match value.serialize(&mut serializer) {
        Ok(()) => String::from_utf8_lossy(&out).into_owned(),
        Err(_) => String::new(), // maps whose keys are no texts have no JSON
    }
}

/// The style of Python's `json` module.
struct PythonStyle;

impl Formatter for PythonStyle {
    fn begin_array_value<W: ?Sized + std::io::Write>(&mut self, writer: &mut W, first: bool) -> std::io::Result<()> {
        if first { Ok(()) } else { writer.write_all(b", ") }
    }

    fn begin_object_key<W: ?Sized + std::io::Write>(&mut self, writer: &mut W, first: bool) -> std::io::Result<()> {
        if first { Ok(()) } else { writer.write_all(b", ") }
    }

    fn begin_object_value<W: ?Sized + std::io::Write>(&mut self, writer: &mut W) -> std::io::Result<()> {
        writer.write_all(b": ")
    }

    fn write_string_fragment<W: ?Sized + std::io::Write>(
        &mut self,
        writer: &mut W,
        fragment: &str,
    ) -> std::io::Result<()> {
        for c in fragment.chars() {
            if c.is_ascii() {
                writer.write_all(&[c as u8])?;
            } else {
                for unit in c.encode_utf16(&mut [0; 2]) {
                    write!(writer, "\\u{unit:04x}")?;
                }
            }
        }
        Ok(())
    }
}
