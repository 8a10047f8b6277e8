//! What a job does, decided before it starts.

use syrinx_plugin_api::{Error, Granularity, Level, Task, TranscribeRequest};

use crate::asr::hotwords;
use crate::asr::paraformer::Hotwords;
use crate::asr::sensevoice::{SenseVoiceOptions, language_query};
use crate::compose::transcript::Grouping;
use crate::model::{Funasr, Recognizer, WITH_SPEAKERS, WITH_TIMESTAMPS};
use crate::options::{RequestParameters, SpeakerMode};
use crate::pipeline::run_error;
use crate::punctuation::SPLIT_SIZE;

/// How one request is served.
pub(crate) struct Plan {
    /// What is asked of the recogniser.
    pub(crate) recognition: Recognition,
    /// What a segment is.
    pub(crate) grouping: Grouping,
    /// Length up to which stretches are joined, ms.
    pub(crate) merge_ms: Option<i64>,
    /// Length of a batch, and of the stretch that closes one, ms.
    pub(crate) batch: (u64, u64),
    /// Whether segments say who speaks.
    pub(crate) tells_speakers: bool,
    /// Number of speakers, if it is known.
    pub(crate) speakers: Option<usize>,
    /// Whether tags are shown as emoji.
    pub(crate) emoji: bool,
    /// Words that are punctuated at a time.
    pub(crate) split_size: usize,
}

/// What is asked of the recogniser.
pub(crate) enum Recognition {
    Paraformer { hotwords: Option<Hotwords>, timed: bool },
    SenseVoice(SenseVoiceOptions),
}

/// Decides, or says why the request can't be served.
///
/// # Errors
/// Parameters that the model can't follow.
pub(crate) fn plan(
    model: &Funasr,
    request: &TranscribeRequest<'_>,
    parameters: &RequestParameters,
) -> Result<Plan, Error> {
    let settings = &request.settings;
    if settings.task != Task::Transcribe {
        return Err(Error::not_supported("this model does not support translations: use a multilingual Whisper model"));
    }
    if settings.temperature != 0.0 {
        let message = "temperature must be 0: this model does not sample";
        return Err(Error::invalid_input("temperature", message));
    }
    let wants_words = settings.granularities.contains(&Granularity::Word);
    let has_timestamps = model.recognizer.has_timestamps();
    let asks_times = parameters.timestamp.or(parameters.output_timestamp).unwrap_or(false);
    if (wants_words || asks_times) && !has_timestamps {
        let field = if wants_words { "timestamp_granularities" } else { "timestamp" };
        let message = format!("this model has no timestamps of words: {WITH_TIMESTAMPS}");
        return Err(Error::invalid_input(field, message));
    }
    if parameters.emoji == Some(true) && (wants_words || asks_times) {
        let message = "emoji are no words and have no times: leave out emoji, or the times of words";
        return Err(Error::invalid_input("emoji", message));
    }
    let can_tell = model.speakers.is_some();
    if !can_tell && (parameters.preset_spk_num.is_some() || parameters.return_spk_res == Some(true)) {
        let field = if parameters.preset_spk_num.is_some() { "preset_spk_num" } else { "return_spk_res" };
        return Err(Error::invalid_input(field, format!("this model does not tell speakers apart: {WITH_SPEAKERS}")));
    }
    let tells_speakers = can_tell && parameters.return_spk_res != Some(false);
    let recognition = match &model.recognizer {
        Recognizer::Paraformer(paraformer) => {
            let given = parameters.hotwords().filter(|text| model.hotwords.is_none() || !text.trim().is_empty());
            let hotwords = match given {
                Some(text) if paraformer.takes_hotwords() => {
                    let words = hotwords::tokenize(&text, false, paraformer.spelling(), paraformer.tokens())
                        .map_err(|error| Error::invalid_input("hotword", error.to_string()))?;
                    let scale = parameters.clas_scale.unwrap_or(1.0) as f32;
                    paraformer.embed(&words, scale).map_err(|error| run_error(&error))?
                }
                Some(_) => {
                    model.host.log(Level::Debug, "hotword is ignored: this model takes none");
                    None
                }
                None => model.hotwords.clone(),
            };
            Recognition::Paraformer { hotwords, timed: has_timestamps }
        }
        Recognizer::SenseVoice(_) => Recognition::SenseVoice(SenseVoiceOptions {
            language: language_query(settings.language.as_deref().unwrap_or("auto")),
            use_itn: parameters.use_itn.unwrap_or(false),
            ban_emo_unk: parameters.ban_emo_unk.unwrap_or(false),
            timed: wants_words || asks_times || tells_speakers,
        }),
    };
    // As Xinference, whose users know the text this way.
    let emoji = match &recognition {
        Recognition::Paraformer { .. } => false,
        Recognition::SenseVoice(options) => parameters.emoji.unwrap_or(!options.timed),
    };
    let is_timed = match &recognition {
        Recognition::Paraformer { timed, .. } => *timed,
        Recognition::SenseVoice(options) => options.timed,
    };
    let by_stretch = tells_speakers && model.options.spk_mode == Some(SpeakerMode::VadSegment);
    let by_sentence = is_timed && !by_stretch && model.punctuator.as_ref().is_some_and(|p| !p.is_realtime());
    Ok(Plan {
        recognition,
        grouping: if by_sentence { Grouping::Sentence } else { Grouping::Stretch },
        merge_ms: parameters.merge_ms().filter(|_| model.vad.is_some()),
        batch: parameters.batch_ms(),
        tells_speakers,
        speakers: parameters.preset_spk_num,
        emoji,
        split_size: parameters.split_size.unwrap_or(SPLIT_SIZE),
    })
}
