//! From probabilities of silence to utterances: a window that counts speech, and the state of the utterance around it.
//!
//! Source: FunASR `models/fsmn_vad_streaming/model.py` (`WindowDetector`, `FsmnVADStreaming.DetectOneFrame` and what it calls).

use std::collections::VecDeque;

use super::VadOptions;

/// Where the detector is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    /// Waiting for speech.
    Waiting,
    /// In an utterance that began at this frame.
    Speaking { start: usize },
    /// Done; only in mode 0.
    Ended,
}

/// What the window says about a frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Change {
    SilenceToSpeech,
    SpeechToSilence,
    StillSpeech,
    StillSilence,
}

/// An utterance in the making, in ms.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Utterance {
    start: i64,
    end: i64,
    is_closed: bool,
}

/// Finds utterances frame by frame.
#[derive(Clone, Debug)]
pub struct Detector {
    options: VadOptions,
    /// Silence after the window has noticed it that ends an utterance, ms.
    end_silence: f64,
    speech_noise_thres: f64,
    window: Window,
    state: State,
    /// Index of the next frame.
    frame: usize,
    silent_frames: usize,
    /// First frame that belongs to no utterance yet.
    unused: usize,
    last_speech: usize,
    noise_decibel: f64,
    ends_detected: usize,
    /// Utterances that have not been handed out completely.
    utterances: VecDeque<Utterance>,
    /// Whether the start of the first of them has been handed out.
    is_started: bool,
}

/// A start or an end, in ms, as [`Detector::events`] tells them; −1 stands for the half that is told in another call.
pub type Event = [i64; 2];

impl Detector {
    /// Before the first frame.
    #[must_use]
    pub fn new(options: VadOptions) -> Self {
        let mut detector = Self {
            end_silence: 0.0,
            speech_noise_thres: options.speech_noise_thres,
            window: Window::new(&options),
            options,
            state: State::Waiting,
            frame: 0,
            silent_frames: 0,
            unused: 0,
            last_speech: 0,
            noise_decibel: -100.0,
            ends_detected: 0,
            utterances: VecDeque::new(),
            is_started: false,
        };
        detector.set_end_silence(detector.options.max_end_silence_time);
        detector
    }

    /// Silence that ends speech from now on, ms.
    pub fn set_end_silence(&mut self, ms: f64) {
        self.end_silence = ms - self.options.speech_to_sil_time_thres;
    }

    /// How much likelier than silence speech has to be from now on.
    pub fn set_speech_noise_threshold(&mut self, threshold: f64) {
        self.speech_noise_thres = threshold;
    }

    /// Whether an utterance is going on.
    #[must_use]
    pub fn is_speaking(&self) -> bool {
        matches!(self.state, State::Speaking { .. })
    }

    /// Takes a frame: its probability of silence and its level; `is_last` says that none follows.
    pub fn push(&mut self, silence: f32, decibel: f32, is_last: bool) {
        let now = self.frame;
        self.frame += 1;
        if self.state == State::Ended {
            return;
        }
        let is_speech = self.is_speech(silence, f64::from(decibel));
        let change = self.window.push(is_speech);
        self.silent_frames = if change == Change::StillSilence { self.silent_frames + 1 } else { 0 };
        match (self.state, change) {
            (State::Waiting, Change::SilenceToSpeech) => {
                let start = self.unused.max(now.saturating_sub(self.latency()));
                self.open(start);
                self.state = State::Speaking { start };
                for frame in start + 1..=now {
                    self.add(frame);
                }
            }
            (State::Waiting, Change::StillSilence) => self.wait(now, is_last),
            (State::Speaking { start }, change) => self.speak(start, now, change, is_last),
            _ => {}
        }
        if self.state == State::Ended && self.options.detect_mode != 0 {
            self.reset();
        }
    }

    /// Whether a frame is speech by itself.
    fn is_speech(&mut self, silence: f32, decibel: f64) -> bool {
        let options = &self.options;
        if decibel < options.decibel_thres {
            return false;
        }
        let snr = decibel - self.noise_decibel;
        let speech = f64::from(1.0 - silence);
        let noise = f64::from(silence).powf(options.speech_2_noise_ratio);
        if speech >= noise + self.speech_noise_thres {
            return snr >= options.snr_thres;
        }
        let frames = options.noise_frame_num_used_for_snr;
        self.noise_decibel =
            if self.noise_decibel < -99.9 { decibel } else { (decibel + self.noise_decibel * (frames - 1.0)) / frames };
        false
    }

    fn wait(&mut self, now: usize, is_last: bool) {
        let silence = self.silent_frames as f64 * self.options.frame_in_ms;
        let gives_up = self.options.detect_mode == 0 && silence > self.options.max_start_silence_time;
        if gives_up || (is_last && self.ends_detected == 0) {
            self.ends_detected += 1;
            self.state = State::Ended;
        } else if now >= self.latency() {
            self.unused = self.unused.max(now - self.latency());
        }
    }

    fn speak(&mut self, start: usize, now: usize, change: Change, is_last: bool) {
        let is_too_long = (now + 1 - start) as f64 > self.options.max_single_segment_time / self.options.frame_in_ms;
        if change == Change::StillSilence {
            let frames = |ms: f64| (ms / self.options.frame_in_ms) as i64;
            if self.silent_frames as f64 * self.options.frame_in_ms >= self.end_silence {
                let mut back = frames(self.end_silence);
                if self.options.do_extend != 0 {
                    back = (back - frames(self.options.lookahead_time_end_point) - 1).max(0);
                }
                self.close(now.saturating_sub(usize::try_from(back).unwrap_or(0)));
            } else if is_too_long {
                self.close(now);
            } else if self.options.do_extend != 0 && !is_last {
                if self.silent_frames as i64 <= frames(self.options.lookahead_time_end_point) {
                    self.add(now);
                }
            } else if is_last {
                self.close(now);
            }
            return;
        }
        if change == Change::SilenceToSpeech {
            for frame in self.last_speech + 1..now {
                self.add(frame);
            }
        }
        if is_too_long || is_last {
            self.close(now);
        } else {
            self.add(now);
        }
    }

    /// Frames between what is heard and what the window has noticed.
    fn latency(&self) -> usize {
        let lookback = (self.options.lookback_time_start_point / self.options.frame_in_ms) as usize;
        self.window.len() + if self.options.do_extend != 0 { lookback } else { 0 }
    }

    fn open(&mut self, frame: usize) {
        let start = self.ms(frame);
        self.utterances.push_back(Utterance { start, end: start, is_closed: false });
        self.give(frame);
    }

    fn add(&mut self, frame: usize) {
        self.last_speech = frame;
        self.give(frame);
    }

    fn close(&mut self, frame: usize) {
        for between in self.last_speech + 1..frame {
            self.add(between);
        }
        self.give(frame);
        if let Some(utterance) = self.utterances.back_mut() {
            utterance.is_closed = true;
        }
        self.ends_detected += 1;
        self.state = State::Ended;
    }

    /// Gives a frame to the utterance. One that comes before frames which were given already moves the end back to it.
    fn give(&mut self, frame: usize) {
        self.unused = self.unused.max(frame) + 1;
        let end = self.ms(frame + 1);
        if let Some(utterance) = self.utterances.back_mut() {
            utterance.end = end;
        }
    }

    fn ms(&self, frame: usize) -> i64 {
        (frame as f64 * self.options.frame_in_ms) as i64
    }

    fn reset(&mut self) {
        self.state = State::Waiting;
        self.silent_frames = 0;
        self.last_speech = 0;
        self.window.reset();
    }

    /// Start of the earliest utterance that may still come, ms.
    #[must_use]
    pub fn needs(&self) -> usize {
        let next = match self.utterances.front() {
            Some(utterance) => utterance.start,
            None => self.ms(self.unused.min(self.frame.saturating_sub(self.latency()))),
        };
        usize::try_from(next).unwrap_or(0)
    }

    /// Hands out utterances that are complete; at the `end` of the audio also one that isn't.
    pub fn complete(&mut self, end: bool) -> Vec<Event> {
        let mut found = Vec::new();
        while let Some(utterance) = self.utterances.front().filter(|utterance| utterance.is_closed || end) {
            found.push([utterance.start, utterance.end]);
            self.utterances.pop_front();
        }
        found
    }

    /// Hands out what is new: starts, ends, or both in one.
    pub fn events(&mut self) -> Vec<Event> {
        let mut events = Vec::new();
        while let Some(utterance) = self.utterances.front().copied() {
            let start = if self.is_started { -1 } else { utterance.start };
            if utterance.is_closed {
                events.push([start, utterance.end]);
                self.is_started = false;
                self.utterances.pop_front();
                continue;
            }
            if !self.is_started {
                events.push([start, -1]);
                self.is_started = true;
            }
            break;
        }
        events
    }
}

/// Counts speech in the last frames.
#[derive(Clone, Debug)]
struct Window {
    frames: Vec<bool>,
    position: usize,
    sum: usize,
    is_speech: bool,
    to_speech: usize,
    to_silence: usize,
}

impl Window {
    fn new(options: &VadOptions) -> Self {
        let frames = |ms: f64| (ms / options.frame_in_ms) as usize;
        Self {
            frames: vec![false; frames(options.window_size_ms).max(1)],
            position: 0,
            sum: 0,
            is_speech: false,
            to_speech: frames(options.sil_to_speech_time_thres),
            to_silence: frames(options.speech_to_sil_time_thres),
        }
    }

    fn len(&self) -> usize {
        self.frames.len()
    }

    fn reset(&mut self) {
        self.frames.fill(false);
        self.position = 0;
        self.sum = 0;
        self.is_speech = false;
    }

    fn push(&mut self, is_speech: bool) -> Change {
        let old = std::mem::replace(&mut self.frames[self.position], is_speech);
        self.sum = self.sum + usize::from(is_speech) - usize::from(old);
        self.position = (self.position + 1) % self.frames.len();
        if !self.is_speech && self.sum >= self.to_speech {
            self.is_speech = true;
            return Change::SilenceToSpeech;
        }
        if self.is_speech && self.sum <= self.to_silence {
            self.is_speech = false;
            return Change::SpeechToSilence;
        }
        if self.is_speech { Change::StillSpeech } else { Change::StillSilence }
    }
}
