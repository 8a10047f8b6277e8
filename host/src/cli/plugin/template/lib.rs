//! The plugin `NAME`: says every letter with a tone. Put a model in the place of the tone.

mod tone;

use schemars::JsonSchema;
use serde::Deserialize;
use std::fs;
use syrinx_plugin_api::{
    export_plugin, Ability, Error, Flow, Host, Level, LoadRequest, Manifest, Model, ModelCard, Object, PcmSink, Plugin,
    SpeechRequest, Voice,
};
use tone::Tone;

/// Rate of the sound, in Hz.
pub const SAMPLE_RATE: u32 = 24_000;

/// Length of a letter's tone, in samples (50 ms).
pub const BEEP: usize = SAMPLE_RATE as usize / 20;

/// What a launch can set: `syrinx launch NAME --volume 0.5`.
#[derive(Clone, Copy, Debug, Deserialize, JsonSchema)]
#[serde(default)]
struct Options {
    /// Loudness, 0 to 1.
    #[schemars(range(min = 0.0, max = 1.0))]
    volume: f32,
}

impl Default for Options {
    fn default() -> Self {
        Self { volume: 0.3 }
    }
}

/// What a request can set, beside `input`, `voice` and so on.
#[derive(Clone, Copy, Debug, Default, Deserialize, JsonSchema)]
#[serde(default)]
struct Parameters {
    /// Octaves above the model's pitch, -3 to 3.
    #[schemars(range(min = -3, max = 3))]
    octave: i32,
}

/// The JSON Schema of a type. The server checks with it and shows it.
fn schema_of<T: JsonSchema>() -> Object {
    schemars::schema_for!(T).as_object().cloned().unwrap_or_default()
}

/// The family of models.
pub struct Family;

impl Plugin for Family {
    fn manifest(&self) -> Manifest {
        Manifest {
            name: "NAME".into(),
            version: env!("CARGO_PKG_VERSION").into(),
            description: env!("CARGO_PKG_DESCRIPTION").into(),
            launch_options: schema_of::<Options>(),
            ..Manifest::default()
        }
    }

    fn load(&self, request: LoadRequest, host: Host) -> Result<Box<dyn Model>, Error> {
        let options: Options = request.options()?;
        let pitch = fs::read_to_string(request.model_dir.join("pitch.txt"))
            .map_err(|error| Error::internal(format!("pitch.txt: {error}")))?;
        let pitch = pitch.trim().parse().map_err(|error| Error::internal(format!("pitch.txt: {error}")))?;
        host.log(Level::Info, &format!("{} speaks at {pitch} Hz", request.model));
        Ok(Box::new(Voicebox { pitch, volume: options.volume }))
    }
}

/// A loaded model. Several jobs may run on it at a time.
struct Voicebox {
    /// In Hz.
    pitch: f32,
    /// Of full scale.
    volume: f32,
}

impl Model for Voicebox {
    fn card(&self) -> ModelCard {
        ModelCard {
            abilities: vec![Ability::Speak, Ability::SpeakWithoutClip],
            output_sample_rate: Some(SAMPLE_RATE),
            voices: vec![Voice { id: "plain".into(), name: "Plain".into(), ..Voice::default() }],
            default_voice: Some("plain".into()),
            max_concurrency: 4,
            streams: true,
            device: "cpu".into(),
            dtype: "float32".into(),
            parameters: schema_of::<Parameters>(),
            ..ModelCard::default()
        }
    }

    fn synthesize(&self, request: SpeechRequest<'_>, sink: &mut PcmSink<'_>) -> Result<(), Error> {
        let parameters: Parameters = request.parameters()?;
        let mut tone = Tone::new(self.pitch * 2_f32.powi(parameters.octave), SAMPLE_RATE, self.volume);
        for letter in request.settings.text.chars() {
            let beep = if letter.is_whitespace() { vec![0.0; BEEP] } else { tone.take(BEEP) };
            // Sound leaves as it is made. `Stop`: the client is gone.
            if sink.push(&beep) == Flow::Stop {
                break;
            }
        }
        Ok(())
    }
}

export_plugin!(|| Family);
