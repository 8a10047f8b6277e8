//! From request to sink.

use std::ops::Range;

use syrinx_plugin_api::{
    Ability, Error, Flow, Granularity, Model, ModelCard, Segment, Task, TokenLogprob, TranscribeRequest,
    TranscriptEvent, TranscriptSink, Word,
};

use crate::frontend::SAMPLE_RATE;
use crate::languages;
use crate::longform::{self, Listener};
use crate::model::ModelError;
use crate::options::{LaunchOptions, RequestParameters};
use crate::recognizer::{RecognizeError, Recognizer};
use crate::search::SplitMix;
use crate::segments::frames_to_seconds;
use crate::sound::Sound;
use crate::tokenizer::Tokenizer;
use crate::vad::{Silero, TimeMap, VadOptions};
use crate::{batched, prompt, timing, vad, window};

/// Windows of a batch at most, unless somebody says otherwise. Source: faster-whisper, `BatchedInferencePipeline.transcribe`.
const DEFAULT_BATCH_SIZE: usize = 8;
/// Memory for the keys and values of a batch, unless somebody says otherwise, bytes.
const BATCH_BYTES: usize = 512 << 20;

/// A loaded model.
pub(crate) struct LoadedWhisper {
    recognizer: Recognizer,
    /// Finds speech, if its weights are here.
    vad: Option<Silero>,
    options: LaunchOptions,
}

impl LoadedWhisper {
    /// A model with the options that it was launched with.
    pub(crate) fn new(recognizer: Recognizer, vad: Option<Silero>, options: LaunchOptions) -> Self {
        Self { recognizer, vad, options }
    }

    /// The stretches of speech in `samples`; `None` when the job was stopped.
    fn speech(
        &self,
        samples: &[f32],
        options: &VadOptions,
        sink: &TranscriptSink<'_>,
    ) -> Result<Option<Vec<Range<usize>>>, Error> {
        let Some(silero) = &self.vad else {
            let message = "this model was launched without Silero VAD, which vad_filter and batched need: launch it again where the \
                           asset `silero-vad` can be fetched, or with the launch option vad_model";
            return Err(Error::not_supported(message).with_field("vad_filter"));
        };
        let probabilities = silero.probabilities(&Sound::whole(samples), &|| sink.flow().is_stop());
        Ok(probabilities.map(|probabilities| vad::speech(&probabilities, samples.len(), options)))
    }

    /// Windows of a batch when nobody says: as many as share the weights well, if their keys and values don't take too much memory.
    fn batch_size(&self, asked: Option<usize>) -> usize {
        asked.unwrap_or_else(|| (BATCH_BYTES / self.recognizer.model.audio_bytes()).clamp(1, DEFAULT_BATCH_SIZE))
    }

    fn translates(&self) -> bool {
        self.recognizer.tokenizer.is_multilingual() && self.options.translations.unwrap_or(true)
    }

    /// Languages that a request may name.
    fn languages(&self) -> Vec<&'static str> {
        let tokenizer = &self.recognizer.tokenizer;
        if tokenizer.is_multilingual() { tokenizer.languages().collect() } else { vec!["en"] }
    }

    /// The code of a language that a request names by code or English name.
    fn language(&self, field: &str, given: &str) -> Result<&'static str, Error> {
        let found = languages::find(given, self.recognizer.tokenizer.specials().languages)
            .map_err(|error| Error::invalid_input(field, error.to_string()))?;
        if !self.languages().contains(&found) {
            let message = format!("language {given:?} is not available: this model knows English (\"en\") only");
            return Err(Error::invalid_input(field, message));
        }
        Ok(found)
    }

    fn task(&self, task: Task) -> Result<prompt::Task, Error> {
        match task {
            Task::Transcribe => Ok(prompt::Task::Transcribe),
            Task::Translate if self.translates() => Ok(prompt::Task::Translate),
            Task::Translate => Err(Error::not_supported(
                "this model does not support translations: use a multilingual Whisper model, such as whisper-large-v3",
            )),
            _ => Err(Error::not_supported("this model can transcribe and translate, nothing else")),
        }
    }
}

impl Model for LoadedWhisper {
    fn card(&self) -> ModelCard {
        let mut abilities = vec![Ability::Transcribe];
        if self.translates() {
            abilities.push(Ability::Translate);
        }
        ModelCard {
            abilities,
            input_sample_rate: Some(SAMPLE_RATE),
            languages: self.languages().into_iter().map(str::to_owned).collect(),
            granularities: vec![Granularity::Segment, Granularity::Word],
            max_concurrency: self.options.concurrency(),
            streams: true,
            device: self.recognizer.model.place().device().to_string(),
            dtype: self.recognizer.model.compute_type().to_string(),
            parameters: RequestParameters::schema(),
            ..ModelCard::default()
        }
    }

    fn warm_up(&self) -> Result<(), Error> {
        self.recognizer.model.warm_up().map_err(RecognizeError::from)?;
        let silence = vec![0.0; SAMPLE_RATE as usize];
        let file = self.recognizer.hear(Sound::whole(&silence))?;
        self.recognizer.detect_language(&file, &[])?;
        Ok(())
    }

    fn transcribe(&self, mut request: TranscribeRequest<'_>, sink: &mut TranscriptSink<'_>) -> Result<(), Error> {
        let parameters: RequestParameters = request.parameters()?;
        let task = self.task(request.settings.task)?;
        let asked = request.settings.language.as_deref().filter(|given| !given.trim().is_empty());
        let asked = asked.map(|given| self.language("language", given)).transpose()?;
        let candidates: Vec<&str> =
            parameters.languages.iter().map(|given| self.language("languages", given)).collect::<Result<_, _>>()?;
        // Checked before the work starts; the language comes later.
        let mut options = parameters.longform(&request.settings, &self.options, task, asked.unwrap_or("en"))?;

        let filter = parameters.speech_filter(&self.options, self.vad.is_some())?;

        let samples = request.audio.samples();
        let stretches = match &filter {
            Some(filter) => match self.speech(&samples, &filter.vad, sink)? {
                Some(stretches) => Some(stretches),
                None => return Ok(()),
            },
            None => None,
        };
        let sound = match &stretches {
            Some(stretches) => Sound::parts(&samples, stretches),
            None => Sound::whole(&samples),
        };
        let batch = filter.and_then(|filter| filter.batch).map(|asked| self.batch_size(asked));
        let pieces = vad::join(stretches.as_deref().unwrap_or_default(), batched::PIECE_SECONDS);
        // A batch has no use for the features of all of the file: its language is that of the first piece.
        let file = match batch {
            Some(_) => {
                let first = pieces.iter().find(|piece| piece.duration > 0.0);
                self.recognizer.hear(Sound::parts(&samples, first.map_or(&[], |piece| &piece.stretches)))?
            }
            None => self.recognizer.hear(sound)?,
        };
        let (language, probability) = match asked {
            Some(language) => (language, None),
            None => {
                let found = self.recognizer.detect_language(&file, &candidates)?;
                window::likeliest(&found).map_or(("en", None), |(code, probability)| (code, Some(probability as f32)))
            }
        };
        if sink.push(TranscriptEvent::Language { language: language.to_owned(), probability }).is_stop() {
            return Ok(());
        }

        language.clone_into(&mut options.window.language);
        let mut uniform = SplitMix::new(parameters.seed);
        let mut listener = SinkListener {
            sink,
            tokenizer: parameters.logprobs.then_some(&self.recognizer.tokenizer),
            seconds: samples.len() as f64 / f64::from(SAMPLE_RATE),
            times: stretches.as_deref().map(TimeMap::new),
            segments: 0,
            flow: Flow::Continue,
        };
        let found = match batch {
            Some(size) => {
                batched::transcribe(&self.recognizer, &samples, &pieces, size, &options, &mut uniform, &mut listener)
            }
            None => self.recognizer.transcribe(&file, &options, &candidates, &mut uniform, &mut listener),
        };
        match found {
            Ok(_) | Err(RecognizeError::Stopped) => Ok(()),
            Err(error) => Err(error.into()),
        }
    }
}

/// Hands segments to the host as windows are accepted.
struct SinkListener<'a, 'b> {
    sink: &'a mut TranscriptSink<'b>,
    /// When the log probabilities of tokens are wanted.
    tokenizer: Option<&'a Tokenizer>,
    /// Length of the audio; no time is later.
    seconds: f64,
    /// From times in the speech to times in the audio, when only speech was heard.
    times: Option<TimeMap>,
    /// Segments handed over so far.
    segments: usize,
    flow: Flow,
}

impl Listener for SinkListener<'_, '_> {
    fn accept(&mut self, segments: &[longform::Segment], frames_done: usize) -> bool {
        let done = frames_to_seconds(frames_done);
        let done = self.times.as_ref().map_or(done, |times| times.original(done, true));
        let progress = TranscriptEvent::Progress { seconds: done.min(self.seconds) };
        // Segments without text say nothing.
        for segment in segments.iter().filter(|segment| !segment.text.is_empty()) {
            // Before the segment: what reaches a client with it is what came until then.
            if let Some(tokenizer) = self.tokenizer {
                self.flow = self.sink.push(TranscriptEvent::Logprobs { tokens: logprobs(segment, tokenizer) });
                if self.flow.is_stop() {
                    return false;
                }
            }
            let mut segment = segment.clone();
            if let Some(times) = &self.times {
                in_audio(&mut segment, times);
            }
            let segment = within(&segment, self.segments, self.seconds);
            self.segments += 1;
            self.flow = self.sink.push(TranscriptEvent::Segment { segment });
            if self.flow.is_stop() {
                return false;
            }
        }
        self.flow = self.sink.push(progress);
        !self.flow.is_stop()
    }

    fn is_stopped(&self) -> bool {
        self.flow.is_stop() || self.sink.flow().is_stop()
    }
}

/// Moves a segment from its times in the speech to those in the audio. A segment begins and ends with its words, if it has any.
/// What the model hears end after the speech (the reference maps that into the silence) ends with it.
/// Source: SYSTRAN/faster-whisper `faster_whisper/transcribe.py: restore_speech_timestamps`.
fn in_audio(segment: &mut longform::Segment, times: &TimeMap) {
    let words = segment.words.as_deref_mut().unwrap_or_default();
    let inside = |seconds: f64| seconds.min(times.duration());
    for word in words.iter_mut() {
        (word.start, word.end) = times.original_word(inside(word.start), inside(word.end));
    }
    (segment.start, segment.end) = match (words.first(), words.last()) {
        (Some(first), Some(last)) => (first.start, last.end),
        _ => (times.original(inside(segment.start), false), times.original(inside(segment.end), true)),
    };
}

/// The log probabilities of a segment's text tokens.
fn logprobs(segment: &longform::Segment, tokenizer: &Tokenizer) -> Vec<TokenLogprob> {
    let of_text = |(token, logprob): (&u32, &f32)| {
        let bytes = tokenizer.bytes(*token)?.to_vec(); // timestamps have none
        Some(TokenLogprob { token: String::from_utf8_lossy(&bytes).into_owned(), logprob: *logprob, bytes })
    };
    segment.tokens.iter().zip(&segment.logprobs).filter_map(of_text).collect()
}

/// The segment as the host wants it, its times within the audio (the model may hear a word end in the silence after it).
fn within(segment: &longform::Segment, id: usize, seconds: f64) -> Segment {
    let clamp = |time: f64| time.clamp(0.0, seconds.max(0.0));
    let words = segment.words.as_ref().map(|words| {
        let word = |word: &timing::Word| Word {
            word: word.word.clone(),
            start: clamp(word.start),
            end: clamp(word.end),
            probability: Some(word.probability as f32),
        };
        words.iter().map(word).collect()
    });
    Segment {
        id,
        seek: segment.seek,
        start: clamp(segment.start),
        end: clamp(segment.end),
        text: segment.text.clone(),
        tokens: segment.tokens.clone(),
        temperature: segment.temperature as f32,
        avg_logprob: segment.avg_logprob as f32,
        compression_ratio: segment.compression_ratio as f32,
        no_speech_prob: segment.no_speech_prob as f32,
        words,
        ..Segment::default()
    }
}

impl From<RecognizeError> for Error {
    fn from(error: RecognizeError) -> Self {
        match error {
            RecognizeError::Model(error @ ModelError::Backend { .. }) => Self::out_of_resources(error.to_string()),
            other => Self::internal(other.to_string()),
        }
    }
}

#[cfg(test)]
mod tests {
    use syrinx_plugin_api::ReceiveTranscript;

    use super::*;

    fn segment(start: f64, end: f64, text: &str) -> longform::Segment {
        longform::Segment {
            seek: 0,
            start,
            end,
            text: text.to_owned(),
            tokens: vec![300, 1],
            logprobs: vec![-0.1, -0.2],
            temperature: 0.0,
            avg_logprob: -0.5,
            compression_ratio: 1.0,
            no_speech_prob: 0.1,
            words: Some(vec![timing::Word { word: text.to_owned(), start, end, probability: 0.9 }]),
        }
    }

    /// Takes so many events, then has enough.
    struct Receiver {
        events: Vec<TranscriptEvent>,
        most: usize,
    }

    impl ReceiveTranscript for Receiver {
        fn push(&mut self, event: TranscriptEvent) -> Flow {
            self.events.push(event);
            self.flow()
        }

        fn flow(&self) -> Flow {
            if self.events.len() < self.most { Flow::Continue } else { Flow::Stop }
        }
    }

    fn accept(most: usize, tokenizer: Option<&Tokenizer>) -> (Vec<TranscriptEvent>, bool, bool) {
        let mut receiver = Receiver { events: Vec::new(), most };
        let (wants_more, is_stopped) = {
            let mut sink = TranscriptSink::to(&mut receiver);
            let mut listener = SinkListener {
                sink: &mut sink,
                tokenizer,
                seconds: 4.5,
                times: None,
                segments: 0,
                flow: Flow::Continue,
            };
            let segments = [segment(0.0, 2.0, " one"), segment(2.0, 2.0, ""), segment(3.0, 7.0, " two")];
            (listener.accept(&segments, 3000), listener.is_stopped())
        };
        (receiver.events, wants_more, is_stopped)
    }

    #[test]
    fn void_segments_are_left_out_and_times_stay_within_the_audio() {
        let (events, wants_more, is_stopped) = accept(99, None);
        assert!(wants_more && !is_stopped);
        let [TranscriptEvent::Segment { segment: first }, TranscriptEvent::Segment { segment: second }, progress] =
            &events[..]
        else {
            panic!("two segments and the progress, not {events:?}");
        };
        assert_eq!((first.id, first.end, second.id, second.end), (0, 2.0, 1, 4.5));
        assert_eq!(second.words.as_ref().map(|words| words[0].end), Some(4.5));
        assert_eq!(*progress, TranscriptEvent::Progress { seconds: 4.5 });
    }

    #[test]
    fn log_probabilities_of_text_come_before_its_segment() {
        let tokenizer = crate::tokenizer::of_bytes();
        let (events, ..) = accept(99, Some(&tokenizer));
        let [TranscriptEvent::Logprobs { tokens }, TranscriptEvent::Segment { .. }, rest @ ..] = &events[..] else {
            panic!("log probabilities first, not {events:?}");
        };
        let wanted = TokenLogprob { token: "\u{1}".to_owned(), logprob: -0.2, bytes: vec![1] };
        assert_eq!(*tokens, [wanted], "without the timestamp");
        assert_eq!(rest.len(), 3, "the same for the second segment, and the progress");
    }

    #[test]
    fn times_of_speech_become_times_of_the_audio() {
        let times = TimeMap::new(&[16_000..32_000, 64_000..96_000]); // 1–2 s and 4–6 s
        let mut timed = segment(0.5, 1.5, " one");
        in_audio(&mut timed, &times);
        // By its word, whose middle is in the second stretch.
        assert_eq!((timed.start, timed.end), (3.5, 4.5));
        let mut late = segment(2.5, 9.0, " one");
        in_audio(&mut late, &times);
        assert_eq!((late.start, late.end), (5.5, 6.0));
        let mut untimed = longform::Segment { words: None, ..segment(0.5, 1.0, " one") };
        in_audio(&mut untimed, &times);
        assert_eq!((untimed.start, untimed.end), (1.5, 2.0));
    }

    #[test]
    fn a_sink_that_stops_gets_nothing_more() {
        let (events, wants_more, is_stopped) = accept(1, None);
        assert_eq!(events.len(), 1);
        assert!(!wants_more && is_stopped);
    }
}
