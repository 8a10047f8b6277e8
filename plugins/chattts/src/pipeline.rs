//! The way from a request to its sound.

use std::{
    collections::{BTreeSet, VecDeque},
    hash::{BuildHasher as _, RandomState},
    time::Duration,
};

use syrinx_plugin_api::{Error, Flow, Level, PcmSink, SpeechEvent, SpeechRequest};

use crate::{
    engine::{Generation, Outcome, Prompt},
    generate::{CODEBOOKS, Chance, Kind, Row, Rules, Seeded},
    model::{ChatTts, SAMPLE_RATE, failed},
    network::{Steps, Utterance, values},
    options::RequestParameters,
    pieces::pieces,
    speaker::{AudioPrompt, Speaker},
    text::{Language, NormalizeOptions, prompt},
};

/// How long a job waits before it asks whether it is still wanted.
const PATIENCE: Duration = Duration::from_millis(50);
/// Batches of steps after which the listener has something to listen to, and batches grow: making sound costs the less the more is made at once.
const FIRST_BATCHES: usize = 4;
/// Longest recording to imitate; the model saw no longer ones.
const LONGEST_CLIP: f64 = 30.0; // seconds
/// Shortest one that tells anything.
const SHORTEST_CLIP: f64 = 0.2; // seconds

/// Serves a request.
pub(crate) fn speak(model: &ChatTts, request: &SpeechRequest<'_>, sink: &mut PcmSink<'_>) -> Result<(), Error> {
    let job = Job::new(model, request)?;
    let Some(texts) = job.refined(job.normalized(sink)?, sink)? else { return Ok(()) };
    job.spoken(&texts, sink)
}

/// A request, understood.
struct Job<'m> {
    model: &'m ChatTts,
    /// Tells its rows from those of others.
    number: u64,
    text: &'m str,
    parameters: RequestParameters,
    code: Rules,
    refine: Rules,
    /// Control tokens before a text.
    prompt: String,
    /// Control tokens behind a text that is refined.
    refine_prompt: String,
    language: Option<Language>,
    seed: u64,
    speaker: Option<Speaker>,
    imitated: Option<Imitated>,
}

/// A recording to imitate, as codes, and what is said in it.
#[derive(Clone)]
struct Imitated {
    codes: AudioPrompt,
    text: String,
}

/// Rows of a request are numbered so that each has a chance of its own.
#[derive(Clone, Copy)]
enum Pass {
    Refine,
    Code,
}

impl<'m> Job<'m> {
    fn new(model: &'m ChatTts, request: &'m SpeechRequest<'_>) -> Result<Self, Error> {
        let settings = &request.settings;
        let parameters: RequestParameters = request.parameters()?;
        let imitated = imitated(model, request, &parameters)?;
        let speaker = match settings.voice.as_deref() {
            Some(voice) => Some(model.speaker(voice)?),
            // The recording says who speaks.
            None if imitated.is_some() => None,
            None => model.default_speaker().cloned(),
        };
        let language = parameters.lang.as_deref().map(|code| {
            Language::of(code).ok_or_else(|| {
                Error::invalid_input("lang", format!("\"{code}\" is no language of this model; there are zh and en"))
            })
        });
        let refine_prompt = parameters.refine_prompt.as_ref().or(parameters.params_refine_text.prompt.as_ref());
        Ok(Self {
            model,
            number: model.number(),
            text: &settings.text,
            code: parameters.code.rules(Kind::Code, model.vocabulary.end(), "")?,
            refine: parameters.params_refine_text.rules(Kind::Text, model.marks.text_end, "params_refine_text.")?,
            prompt: code_prompt(parameters.code.prompt.as_deref(), settings.speed),
            refine_prompt: refine_prompt.cloned().unwrap_or_default(),
            language: language.transpose()?,
            seed: match parameters.seed {
                Some(seed) if seed >= 0 => seed.unsigned_abs(),
                _ => RandomState::new().hash_one(0),
            },
            speaker,
            imitated,
            parameters,
        })
    }

    /// The text in pieces that are spoken one after the other, with only characters that the model knows.
    fn normalized(&self, sink: &mut PcmSink<'_>) -> Result<Vec<String>, Error> {
        let options = NormalizeOptions {
            rules: self.parameters.do_text_normalization,
            homophones: self.parameters.do_homophone_replacement,
            language: self.language,
            ..NormalizeOptions::default()
        };
        let parts = match self.parameters.split_text {
            true => self.model.normalizer.parts(self.text, options),
            false => vec![self.model.normalizer.normalize(self.text, options)],
        };
        let dropped: BTreeSet<char> = parts.iter().flat_map(|part| part.dropped.iter().copied()).collect();
        if !dropped.is_empty() {
            let list: String = dropped.iter().take(40).map(|c| format!(" {c}")).collect();
            let message = format!("the model can't speak these characters, they are left out:{list}");
            self.model.log(Level::Warn, &message);
            let _ = sink.note(SpeechEvent::Warning { message });
        }
        let texts =
            parts.into_iter().map(|part| part.text).filter(|text| text.chars().any(char::is_alphanumeric)).collect();
        let texts = if self.parameters.split_text { pieces(texts) } else { texts };
        if texts.is_empty() {
            return Err(Error::invalid_input(
                "input",
                "nothing is left to speak of the text: the model speaks Chinese and English",
            ));
        }
        Ok(texts)
    }

    /// The texts as the model would say them, with breaks and laughter. None: nobody wants them any more.
    fn refined(&self, texts: Vec<String>, sink: &mut PcmSink<'_>) -> Result<Option<Vec<String>>, Error> {
        if self.parameters.skip_refine_text {
            return Ok(Some(texts));
        }
        let row = |(index, text): (usize, &String)| {
            let decorated = prompt::decorate_text(text, &self.refine_prompt);
            Ok(self.row(self.prompt_of(&decorated, None)?, &self.refine, Pass::Refine, index))
        };
        let rows = texts.iter().enumerate().map(row).collect::<Result<Vec<_>, Error>>()?;
        let mut refined = Vec::with_capacity(rows.len());
        for row in &rows {
            let mut ids = Vec::new();
            loop {
                match self.wait(row, sink)? {
                    None => return Ok(None),
                    Some(Outcome::Step { tokens, .. }) => ids.push(tokens[0]),
                    Some(Outcome::End(_)) => break,
                }
            }
            ids.retain(|&id| id < self.model.marks.first_tag);
            refined.push(self.model.tokenizer.decode(&ids).map_err(|error| Error::internal(error.to_string()))?);
        }
        Ok(Some(refined))
    }

    /// Speaks the texts in order. The next ones are generated meanwhile.
    fn spoken(&self, texts: &[String], sink: &mut PcmSink<'_>) -> Result<(), Error> {
        let mut imitated = self.imitated.clone();
        let at_once = self.parameters.max_split_batch.max(1);
        let mut rows = VecDeque::new();
        let mut begun = 0;
        for index in 0..texts.len() {
            // The first one's sound has to be there before others can be like it.
            let is_model = self.parameters.keep_voice && imitated.is_none() && texts.len() > 1;
            let ahead = if is_model { 1 } else { at_once };
            while begun < texts.len().min(index + ahead) {
                rows.push_back(self.code_row(&texts[begun], begun, imitated.as_ref())?);
                begun += 1;
            }
            let Some(row) = rows.pop_front() else { return Ok(()) };
            let mut heard = is_model.then(Vec::new);
            if self.sounds(&row, heard.as_mut(), sink)?.is_stop() {
                return Ok(());
            }
            if let Some(samples) = heard {
                imitated = Some(Imitated { codes: encode(self.model, &samples)?, text: texts[index].clone() });
            }
        }
        Ok(())
    }

    /// Makes a row sound while it is generated; `heard` gets a copy.
    fn sounds(
        &self,
        row: &Generation,
        mut heard: Option<&mut Vec<f32>>,
        sink: &mut PcmSink<'_>,
    ) -> Result<Flow, Error> {
        let mut batch = self.parameters.stream_batch.max(1);
        let mut batches = 0;
        let mut utterance = Utterance::default();
        let (mut states, mut codes) = (Vec::new(), Vec::new());
        loop {
            let is_last = match self.wait(row, sink)? {
                None => return Ok(Flow::Stop),
                Some(Outcome::End(_)) => true,
                Some(Outcome::Step { tokens, hidden }) => {
                    codes.push(tokens);
                    states.extend(hidden);
                    if codes.len() < batch {
                        continue;
                    }
                    false
                }
            };
            let steps = if self.parameters.use_decoder { Steps::Hidden(&states) } else { Steps::Codes(&codes) };
            let samples = self.model.synthesizer().push(&mut utterance, steps, is_last).map_err(failed)?;
            states.clear();
            codes.clear();
            batches += 1;
            if batches == FIRST_BATCHES {
                batch *= 2;
            }
            if let Some(heard) = &mut heard {
                heard.extend_from_slice(&samples);
            }
            for second in samples.chunks(SAMPLE_RATE as usize) {
                if sink.push(second).is_stop() {
                    return Ok(Flow::Stop);
                }
            }
            if is_last {
                return Ok(Flow::Continue);
            }
        }
    }

    fn code_row(&self, text: &str, index: usize, imitated: Option<&Imitated>) -> Result<Generation, Error> {
        let transcript = imitated.map(|imitated| imitated.text.as_str());
        let decorated = prompt::decorate_code(text, &self.prompt, transcript, self.speaker.is_some());
        Ok(self.row(self.prompt_of(&decorated, imitated)?, &self.code, Pass::Code, index))
    }

    /// What a row of this text begins with.
    fn prompt_of(&self, decorated: &str, imitated: Option<&Imitated>) -> Result<Prompt, Error> {
        let codes: Vec<&[u16]> =
            imitated.iter().flat_map(|imitated| (0..CODEBOOKS).map(|book| imitated.codes.codebook(book))).collect();
        let codes = imitated.is_some().then_some(codes.as_slice());
        let encoded =
            self.model.tokenizer.encode(&[decorated], codes).map_err(|error| Error::internal(error.to_string()))?;
        let ids = encoded.ids.first().map_or(&[][..], Vec::as_slice);
        let is_text = encoded.text_mask.first().map_or(&[][..], Vec::as_slice);
        let vocabulary = self.model.vocabulary;
        let entry = |(ids, &is_text): (&[i64; CODEBOOKS], &bool)| {
            if is_text { vocabulary.text(ids[0]) } else { vocabulary.codes(*ids) }
        };
        let mark = i64::from(self.model.marks.speaker);
        let positions = || (0..ids.len()).filter(|&at| is_text[at] && ids[at][0] == mark).collect();
        Ok(Prompt {
            entries: ids.iter().zip(is_text).map(entry).collect(),
            speaker: self.speaker.clone().map(|speaker| (speaker, positions())),
        })
    }

    fn row(&self, prompt: Prompt, rules: &Rules, pass: Pass, index: usize) -> Generation {
        let chance: Box<dyn Chance> = match self.parameters.manual_seed {
            Some(seed) => Box::new(Seeded::constant(seed)),
            None => Box::new(Seeded::new(self.seed, 2 * index + pass as usize)),
        };
        self.model.engine.generate(self.number, prompt, Row::new(rules.clone(), chance))
    }

    /// What a row does next. None: nobody wants it any more.
    fn wait(&self, row: &Generation, sink: &PcmSink<'_>) -> Result<Option<Outcome>, Error> {
        loop {
            if sink.flow().is_stop() {
                return Ok(None);
            }
            if let Some(outcome) = row.next(PATIENCE).map_err(failed)? {
                return Ok(Some(outcome));
            }
        }
    }
}

/// Control tokens before a text: those of the request, with its speed unless they have one.
fn code_prompt(given: Option<&str>, speed: f32) -> String {
    let tag = prompt::speed_prompt(f64::from(speed));
    match given {
        None => tag,
        Some(given) if speed == 1.0 || given.contains("[speed_") => given.to_owned(),
        Some(given) => format!("{tag}{given}"),
    }
}

/// The recording that a request wants imitated.
fn imitated(
    model: &ChatTts,
    request: &SpeechRequest<'_>,
    parameters: &RequestParameters,
) -> Result<Option<Imitated>, Error> {
    const CLIP: &str = "prompt_speech";
    let codes = match (&parameters.spk_smp, request.clip(CLIP)) {
        (Some(text), _) => AudioPrompt::decode(text).map_err(|problem| {
            let error = problem.of("spk_smp");
            Error::invalid_input("spk_smp", error.to_string())
        })?,
        (None, Some(clip)) => {
            let seconds = clip.samples.len() as f64 / f64::from(clip.sample_rate.max(1));
            if !(SHORTEST_CLIP..=LONGEST_CLIP).contains(&seconds) {
                let message =
                    format!("`{CLIP}` is {seconds:.1} s long; {SHORTEST_CLIP} to {LONGEST_CLIP} s can be imitated");
                return Err(Error::invalid_input(CLIP, message));
            }
            encode(model, clip.samples)?
        }
        (None, None) => return Ok(None),
    };
    let said = parameters.prompt_text.as_deref().map(str::trim).filter(|text| !text.is_empty()).ok_or_else(|| {
        Error::invalid_input(
            "prompt_text",
            "`prompt_text` is needed: what is said in the recording that is to be imitated",
        )
    })?;
    let text = model.normalizer.normalize(said, NormalizeOptions::default()).text;
    Ok(Some(Imitated { codes, text }))
}

/// Codes of a recording.
fn encode(model: &ChatTts, samples: &[f32]) -> Result<AudioPrompt, Error> {
    let codes = {
        let synthesizer = model.synthesizer();
        synthesizer.dvae().and_then(|dvae| Ok(values(&dvae.encode(samples)?)?)).map_err(failed)?
    };
    let codes = codes.into_iter().map(|code| code as u16).collect();
    AudioPrompt::new(codes).map_err(|problem| Error::internal(problem.to_string()))
}
