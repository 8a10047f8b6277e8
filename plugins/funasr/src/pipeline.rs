//! From request to sink: audio → stretches of speech → batches of similar length → text → segments.

use syrinx_plugin_api::{Error, TranscribeRequest, TranscriptEvent, TranscriptSink};
use syrinx_plugin_common::onnx::Device;

use crate::asr::batch;
use crate::asr::sensevoice::SenseVoiceOptions;
use crate::compose::merge::{self, Merging};
use crate::compose::transcript::{Composer, Heard};
use crate::error::FunasrError;
use crate::frontend::Features;
use crate::model::{Funasr, Recognizer, SAMPLE_RATE};
use crate::options::RequestParameters;
use crate::plan::{Plan, Recognition, plan};
use crate::punctuation::SPLIT_SIZE;
use crate::speakers::{chunk, cluster, turns};
use crate::text::rich;
use crate::vad::{Event, SAMPLES_PER_MS, VadStream};

/// Samples that are read at a time: 2 s.
const BLOCK: usize = 32_000;
/// Longest stretch where nobody looks for speech, ms.
const BLIND_MS: i64 = 30_000;
/// Speech that waits to be recognised with stretches of similar length, ms. The first stretch doesn't wait, so that there is something to read.
const WINDOW_MS: i64 = 60_000;
/// Padded speech of a batch on a processor, ms: beyond it, larger batches only need more memory.
const PROCESSOR_BATCH_MS: u64 = 30_000;
/// Speech that takes a processor as long as what a batch costs by itself does, ms: the decoder's weights, which its few rows wait for, and
/// the runtime's way from node to node. Measured with Paraformer-large; SenseVoice, without a decoder, has half of it.
const PASS_MS: u64 = 400;
/// The language of models that know one.
const PARAFORMER_LANGUAGE: &str = "zh";

/// Transcribes.
///
/// # Errors
/// Parameters that the model can't follow; a network that fails.
pub(crate) fn transcribe(
    model: &Funasr,
    mut request: TranscribeRequest<'_>,
    sink: &mut TranscriptSink<'_>,
) -> Result<(), Error> {
    let parameters: RequestParameters = request.parameters()?;
    let plan = plan(model, &request, &parameters)?;
    let asked = request.settings.language.clone();
    let vad = match &model.vad {
        Some(vad) => {
            let launch = model.options.vad_kwargs.clone().unwrap_or_default();
            let (options, end_silence) = parameters.vad(&launch, vad.options())?;
            Some(vad.listen(options, end_silence))
        }
        None => None,
    };
    let known = known_speakers(model, &request).map_err(|error| run_error(&error))?;
    let punctuator = model.punctuator.as_ref();
    let composer = Composer::new(punctuator, plan.grouping, plan.split_size);
    let mut job = Job {
        model,
        language: Language { told: false, asked },
        merging: plan.merge_ms.map(Merging::new),
        spoken: Vec::new(),
        plan,
        vad,
        composer,
        samples: Vec::new(),
        first: 0,
        waiting: Vec::new(),
        voices: Voices::default(),
        known,
        glued: None,
        glue: rich::Glue::default(),
        segments: 0,
        held: Vec::new(),
    };
    let mut block = vec![0.0; BLOCK];
    loop {
        if sink.flow().is_stop() {
            return Ok(());
        }
        let count = request.audio.read(&mut block);
        match job.hear(&block[..count], count == 0, sink) {
            Ok(()) if count == 0 => return Ok(()),
            Ok(()) => {}
            Err(FunasrError::Stopped) => return Ok(()),
            Err(error) => return Err(run_error(&error)),
        }
    }
}

/// What the voices that the client gave sound like: the mean of the chunks of each.
fn known_speakers(model: &Funasr, request: &TranscribeRequest<'_>) -> Result<Vec<(String, Vec<f32>)>, FunasrError> {
    let Some(embedder) = &model.speakers else { return Ok(Vec::new()) };
    let voice = |clip: &syrinx_plugin_api::Clip<'_>| {
        let chunks = chunk::cut(0.0, clip.samples.len());
        let parts: Vec<&[f32]> = chunks.iter().map(|chunk| &clip.samples[chunk.samples.clone()]).collect();
        let embeddings = embedder.embed(&parts)?;
        let width = embeddings.first().map_or(0, Vec::len);
        let mean = |i: usize| embeddings.iter().map(|embedding| embedding[i]).sum::<f32>() / embeddings.len() as f32;
        Ok((clip.name.to_owned(), (0..width).map(mean).collect()))
    };
    request.known_speakers.iter().filter(|clip| !clip.samples.is_empty()).map(voice).collect()
}

/// Runs everything once on a second of noise.
///
/// # Errors
/// Something doesn't work.
pub(crate) fn warm_up(model: &Funasr) -> Result<(), Error> {
    let mut noise = 1_u32;
    let samples: Vec<f32> = (0..SAMPLE_RATE)
        .map(|_| {
            noise = noise.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            (noise >> 16) as f32 / 65536.0 * 0.02 - 0.01
        })
        .collect();
    let warm = || -> Result<(), FunasrError> {
        let features = model.frontend.features(&samples);
        match &model.recognizer {
            Recognizer::Paraformer(paraformer) => drop(paraformer.decode(&[&features], None)?),
            Recognizer::SenseVoice(sensevoice) => drop(sensevoice.decode(&[&features], SenseVoiceOptions::default())?),
        }
        if let Some(vad) = &model.vad {
            let end = crate::vad::EndSilence::Fixed(vad.options().max_end_silence_time);
            vad.segments(&samples, vad.options().clone(), end)?;
        }
        if let Some(punctuator) = &model.punctuator {
            punctuator.punctuate("你好", SPLIT_SIZE)?;
        }
        if let Some(speakers) = &model.speakers {
            speakers.embed(&[&samples])?;
        }
        Ok(())
    };
    warm().map_err(|error| run_error(&error))
}

/// The error of a job whose run failed.
pub(crate) fn run_error(error: &FunasrError) -> Error {
    let text = error.to_string();
    // ONNX Runtime reports a failed allocation as a failure of the node (`Failed to allocate memory`, `bad_alloc`).
    if text.contains("allocate") || text.contains("bad_alloc") {
        Error::out_of_resources(text)
    } else {
        Error::internal(text)
    }
}

/// Whether the client knows the language, and which it asked for.
struct Language {
    told: bool,
    asked: Option<String>,
}

/// Chunks of speech and what their voices sound like.
#[derive(Default)]
struct Voices {
    spans: Vec<[f64; 2]>,
    embeddings: Vec<Vec<f32>>,
}

/// A stretch of speech that waits to be recognised.
struct Stretch {
    event: Event,
    features: Features,
}

/// One request. What it holds grows with the longest stretch of speech, not with the recording.
struct Job<'a> {
    model: &'a Funasr,
    plan: Plan,
    language: Language,
    vad: Option<VadStream<'a>>,
    merging: Option<Merging>,
    /// Speech that is not in a merged stretch yet.
    spoken: Vec<Event>,
    composer: Composer<'a>,
    /// Samples from number `first` on that a stretch may still need.
    samples: Vec<f32>,
    first: usize,
    waiting: Vec<Stretch>,
    voices: Voices,
    /// Speakers whose voices the client gave: names and embeddings.
    known: Vec<(String, Vec<f32>)>,
    /// Text with emoji that waits for the next.
    glued: Option<Heard>,
    glue: rich::Glue,
    /// Segments handed over so far.
    segments: usize,
    /// Segments that wait for their speakers.
    held: Vec<syrinx_plugin_api::Segment>,
}

impl Job<'_> {
    /// Takes the next samples.
    fn hear(&mut self, samples: &[f32], last: bool, sink: &mut TranscriptSink<'_>) -> Result<(), FunasrError> {
        self.samples.extend_from_slice(samples);
        for event in self.stretches(samples, last)? {
            self.queue(event)?;
        }
        self.forget();
        let waiting: i64 = self.waiting.iter().map(|stretch| stretch.event[1] - stretch.event[0]).sum();
        let is_first =
            self.segments == 0 && self.glued.is_none() && !self.plan.tells_speakers && !self.waiting.is_empty();
        if last || waiting >= WINDOW_MS || is_first {
            self.recognize(sink)?;
        }
        if !last {
            let seconds = self.heard() as f64 / f64::from(SAMPLE_RATE);
            return push(sink, TranscriptEvent::Progress { seconds });
        }
        if let Some(heard) = self.glued.take() {
            self.compose(heard, sink)?;
        }
        let segments = self.composer.finish()?;
        self.hand_over(segments, sink)?;
        self.attribute(sink)?;
        if !self.language.told && matches!(self.plan.recognition, Recognition::Paraformer { .. }) {
            self.tell_language(None, sink)?;
        }
        push(sink, TranscriptEvent::Progress { seconds: self.heard() as f64 / f64::from(SAMPLE_RATE) })
    }

    /// Samples of the recording so far.
    fn heard(&self) -> usize {
        self.first + self.samples.len()
    }

    /// Stretches of speech that the samples have completed.
    fn stretches(&mut self, samples: &[f32], last: bool) -> Result<Vec<Event>, FunasrError> {
        let Some(vad) = &mut self.vad else {
            let end = (self.heard() / SAMPLES_PER_MS) as i64;
            let mut start = (self.first / SAMPLES_PER_MS) as i64;
            let mut events = Vec::new();
            while end - start >= BLIND_MS || (last && end > start) {
                events.push([start, (start + BLIND_MS).min(end)]);
                start = (start + BLIND_MS).min(end);
            }
            return Ok(events);
        };
        vad.push(samples, last)?;
        let found = vad.complete(last);
        let Some(merging) = &mut self.merging else { return Ok(found) };
        self.spoken.extend(&found);
        let mut merged: Vec<Event> = found.into_iter().flat_map(|event| merging.push(event)).collect();
        merged.extend(merging.rest(vad.needs() as i64));
        if last && let Some(merging) = self.merging.take() {
            merged.extend(merging.finish());
        }
        // A long pause becomes a stretch of its own, in which there is nothing to recognise.
        merged.retain(|[start, end]| self.spoken.iter().any(|spoken| spoken[0] < *end && spoken[1] > *start));
        if let Some([_, end]) = merged.last() {
            self.spoken.retain(|spoken| spoken[1] > *end);
        }
        Ok(merged)
    }

    /// Computes what is needed of a stretch, so that its samples can be forgotten.
    fn queue(&mut self, event: Event) -> Result<(), FunasrError> {
        let range = merge::samples(event, self.heard());
        let samples = &self.samples[range.start.max(self.first) - self.first..range.end.max(self.first) - self.first];
        if let Some(embedder) = self.model.speakers.as_ref().filter(|_| self.plan.tells_speakers) {
            let chunks = chunk::cut(event[0] as f64 / 1000.0, samples.len());
            let parts: Vec<&[f32]> = chunks.iter().map(|chunk| &samples[chunk.samples.clone()]).collect();
            self.voices.embeddings.extend(embedder.embed(&parts)?);
            self.voices.spans.extend(chunks.iter().map(|chunk| chunk.span));
        }
        self.waiting.push(Stretch { event, features: self.model.frontend.features(samples) });
        Ok(())
    }

    /// Lets go of samples that no later stretch begins before.
    fn forget(&mut self) {
        let needed = match (&self.vad, &self.merging) {
            (None, _) => self.heard() - self.heard() % (BLIND_MS as usize * SAMPLES_PER_MS),
            (Some(vad), Some(merging)) => {
                usize::try_from(merging.needs(vad.needs() as i64)).unwrap_or(0) * SAMPLES_PER_MS
            }
            (Some(vad), None) => vad.needs() * SAMPLES_PER_MS,
        };
        let count = needed.saturating_sub(self.first).min(self.samples.len());
        self.samples.drain(..count);
        self.first += count;
    }

    /// Recognises what waits, in batches of similar length, and hands it over in its order.
    fn recognize(&mut self, sink: &mut TranscriptSink<'_>) -> Result<(), FunasrError> {
        let stretches = std::mem::take(&mut self.waiting);
        let length = |i: usize| (stretches[i].event[1] - stretches[i].event[0]).unsigned_abs();
        let mut order: Vec<usize> = (0..stretches.len()).collect();
        order.sort_by_key(|&i| length(i));
        let lengths: Vec<u64> = order.iter().map(|&i| length(i)).collect();
        let (size, threshold) = self.plan.batch;
        let mut groups = batch::plan(&lengths, size, threshold);
        if self.model.device == Device::Cpu {
            let parts = |group: std::ops::Range<usize>| {
                let found = batch::quickest(&lengths[group.clone()], size.min(PROCESSOR_BATCH_MS), PASS_MS);
                found.into_iter().map(move |part| group.start + part.start..group.start + part.end)
            };
            groups = groups.into_iter().flat_map(parts).collect();
        }
        let mut heard: Vec<Option<Heard>> = stretches.iter().map(|_| None).collect();
        for group in groups {
            if sink.flow().is_stop() {
                return Err(FunasrError::Stopped);
            }
            let members: Vec<&Features> = order[group.clone()].iter().map(|&i| &stretches[i].features).collect();
            for (&i, mut result) in order[group].iter().zip(self.decode(&members)?) {
                result.stretch = stretches[i].event;
                heard[i] = Some(result);
            }
        }
        for mut heard in heard.into_iter().flatten() {
            if !self.plan.emoji {
                self.compose(heard, sink)?;
                continue;
            }
            // What the text shows at its end depends on what comes next.
            self.glue.join(self.glued.as_mut().map(|before| &mut before.text), &mut heard.text);
            if !heard.text.is_empty()
                && let Some(before) = self.glued.replace(heard)
            {
                self.compose(before, sink)?;
            }
        }
        Ok(())
    }

    /// Hands over what the next piece of text completes.
    fn compose(&mut self, heard: Heard, sink: &mut TranscriptSink<'_>) -> Result<(), FunasrError> {
        if !self.language.told && !heard.text.is_empty() {
            self.tell_language(heard.language.clone(), sink)?;
        }
        let segments = self.composer.push(heard)?;
        self.hand_over(segments, sink)
    }

    fn decode(&self, members: &[&Features]) -> Result<Vec<Heard>, FunasrError> {
        match (&self.model.recognizer, &self.plan.recognition) {
            (Recognizer::Paraformer(paraformer), Recognition::Paraformer { hotwords, timed }) => {
                let decoded = paraformer.decode(members, hotwords.as_ref())?;
                let heard = |decoded| {
                    let utterance = paraformer.utterance(decoded, *timed);
                    Heard { text: utterance.text, units: utterance.units, spans: utterance.spans, ..Heard::default() }
                };
                Ok(decoded.iter().map(heard).collect())
            }
            (Recognizer::SenseVoice(sensevoice), Recognition::SenseVoice(options)) => {
                let heard = |utterance: crate::asr::Utterance| {
                    let tagged = rich::untag(&utterance.text);
                    let text = if self.plan.emoji { rich::with_emoji(&utterance.text) } else { tagged.text };
                    Heard {
                        text,
                        units: utterance.units.iter().map(|unit| unit.replace('\u{2581}', "")).collect(),
                        spans: utterance.spans,
                        language: tagged.language,
                        emotion: tagged.emotion,
                        event: tagged.event,
                        ..Heard::default()
                    }
                };
                Ok(sensevoice.decode(members, *options)?.into_iter().map(heard).collect())
            }
            // The plan is made for the recogniser.
            _ => Ok(vec![Heard::default(); members.len()]),
        }
    }

    fn tell_language(&mut self, heard: Option<String>, sink: &mut TranscriptSink<'_>) -> Result<(), FunasrError> {
        self.language.told = true;
        let language = heard.or_else(|| self.language.asked.clone()).unwrap_or_else(|| PARAFORMER_LANGUAGE.to_owned());
        push(sink, TranscriptEvent::Language { language, probability: None })
    }

    /// Hands segments to the client, or keeps them until it is known who speaks.
    fn hand_over(
        &mut self,
        segments: Vec<syrinx_plugin_api::Segment>,
        sink: &mut TranscriptSink<'_>,
    ) -> Result<(), FunasrError> {
        if self.plan.tells_speakers {
            self.held.extend(segments);
            return Ok(());
        }
        for mut segment in segments {
            segment.id = self.segments;
            self.segments += 1;
            push(sink, TranscriptEvent::Segment { segment })?;
        }
        Ok(())
    }

    /// At the end: tells voices apart and hands over what was kept.
    fn attribute(&mut self, sink: &mut TranscriptSink<'_>) -> Result<(), FunasrError> {
        if !self.plan.tells_speakers {
            return Ok(());
        }
        let labels = cluster::cluster(&self.voices.embeddings, self.plan.speakers);
        let labels = cluster::renumbered(&labels);
        let (labels, names) = cluster::named(&labels, &self.voices.embeddings, &self.known);
        let turns = turns::turns(&self.voices.spans, &labels);
        // Turns count speakers in the order in which they appear.
        let mut order: Vec<usize> = Vec::new();
        for label in labels {
            if !order.contains(&label) {
                order.push(label);
            }
        }
        self.plan.tells_speakers = false;
        let mut segments = std::mem::take(&mut self.held);
        for segment in &mut segments {
            let ms = |seconds: f64| (seconds * 1000.0).round() as i64;
            let speaker = turns::speaker_of(ms(segment.start), ms(segment.end), &turns);
            let name = order.get(speaker).and_then(|&label| names.get(label).cloned().flatten());
            segment.speaker = Some(name.unwrap_or_else(|| speaker.to_string()));
        }
        self.hand_over(segments, sink)
    }
}

fn push(sink: &mut TranscriptSink<'_>, event: TranscriptEvent) -> Result<(), FunasrError> {
    if sink.push(event).is_stop() { Err(FunasrError::Stopped) } else { Ok(()) }
}
