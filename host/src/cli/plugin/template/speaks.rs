//! The model without a server.

use syrinx_plugin_api::{
    Flow, Host, LoadRequest, Model, PcmSink, Plugin, ReceivePcm, SpeechRequest, SpeechSettings,
};
use NAME_AS_CRATE::{Family, BEEP};

struct Recording(Vec<f32>);

impl ReceivePcm for Recording {
    fn push(&mut self, samples: &[f32]) -> Flow {
        self.0.extend_from_slice(samples);
        Flow::Continue
    }
}

fn load() -> Box<dyn Model> {
    let model_dir = concat!(env!("CARGO_MANIFEST_DIR"), "/models/NAME").into();
    let request = LoadRequest { model: "NAME".into(), model_dir, ..LoadRequest::default() };
    Family.load(request, Host::detached(Default::default())).expect("it loads")
}

#[test]
fn every_letter_sounds() {
    let settings = SpeechSettings { text: "a b".into(), ..SpeechSettings::default() };
    let mut recording = Recording(Vec::new());
    load().synthesize(SpeechRequest { settings, clips: Vec::new() }, &mut PcmSink::to(&mut recording)).expect("it speaks");
    let loudest = |beep: &[f32]| beep.iter().fold(0.0_f32, |loudest, sample| loudest.max(sample.abs()));
    let beeps: Vec<f32> = recording.0.chunks(BEEP).map(loudest).collect();
    assert_eq!(beeps.len(), 3);
    assert!(beeps[0] > 0.2 && beeps[1] == 0.0 && beeps[2] > 0.2, "{beeps:?}");
}

#[test]
fn the_card_says_what_it_can() {
    let card = load().card();
    assert_eq!(card.output_sample_rate, Some(24_000));
    assert!(card.parameters["properties"]["octave"].is_object());
}
