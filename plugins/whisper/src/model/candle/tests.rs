//! The same network on both backends, on small random weights: what one computes, the other does.

use crate::model::{
    Batch, ComputeType, DeviceName, Feed, LoadOptions, ModelError, Network, Place, Session, TokenModel as _,
    WhisperModel,
};
use crate::weights::{Dims, random};

/// Differences that the order of additions makes.
const TOLERANCE: f32 = 2e-4;

fn dims() -> Dims {
    Dims {
        n_mels: 8,
        n_audio_ctx: 20,
        n_text_ctx: 24,
        d_model: 24,
        encoder_heads: 2,
        decoder_heads: 3,
        encoder_layers: 2,
        decoder_layers: 2,
        n_vocab: 40,
    }
}

fn model(place: Place) -> WhisperModel {
    let options = LoadOptions { threads: 2, compute_type: ComputeType::Float32, place };
    WhisperModel::new(random::weights(dims(), 7), &options).expect("small enough")
}

fn both() -> [WhisperModel; 2] {
    [Place::Native, Place::Candle(DeviceName::Cpu)].map(model)
}

fn mel(seed: u64, frames: usize) -> Vec<f32> {
    random::numbers(seed, dims().n_mels * frames)
}

fn assert_close(one: &[f32], other: &[f32]) {
    assert_eq!(one.len(), other.len());
    let furthest = one.iter().zip(other).map(|(one, other)| (one - other).abs()).fold(0.0, f32::max);
    assert!(furthest < TOLERANCE, "differs by {furthest}");
}

#[test]
fn windows_encoded_together_are_those_encoded_alone() {
    let [native, candle] = both();
    let mels = [mel(1, 40), mel(2, 40), mel(3, 40), mel(4, 40), mel(5, 40), mel(6, 12)];
    let mels: Vec<&[f32]> = mels.iter().map(Vec::as_slice).collect();
    let together = candle.encode_all(&mels).unwrap();
    for (mel, together) in mels.iter().zip(&together) {
        let alone = native.encode(mel).unwrap();
        assert_close(&alone.hidden().unwrap(), &together.hidden().unwrap());
    }
}

/// Logits of one step of some sessions.
fn step(model: &WhisperModel, sessions: Vec<&mut Session>, tokens: &[&[u32]], positions: &[&[usize]]) -> Vec<Vec<f32>> {
    let mut logits = vec![Vec::new(); tokens.len()];
    let parts = sessions.into_iter().zip(tokens).zip(positions).zip(&mut logits);
    let mut feeds: Vec<Feed<'_>> =
        parts.map(|(((session, tokens), positions), logits)| Feed { session, tokens, positions, logits }).collect();
    Batch::default().forward(model, &mut feeds).unwrap();
    drop(feeds);
    logits
}

/// Logits of a batch that lives: sessions with two lengths of audio come, are widened, reordered, and go.
fn story(model: &WhisperModel) -> Vec<Vec<f32>> {
    let mels = [mel(1, 40), mel(2, 40), mel(3, 12)];
    let mels: Vec<&[f32]> = mels.iter().map(Vec::as_slice).collect();
    let audio = model.encode_all(&mels).unwrap();
    let [mut one, mut two, mut three] = [0, 1, 2].map(|window| model.session(&audio[window]));
    let mut found = step(model, vec![&mut one, &mut two], &[&[1, 2, 3], &[4, 5, 6]], &[&[0, 2], &[2]]);
    two.reorder(&[0, 0]).unwrap();
    let tokens: [&[u32]; 3] = [&[7, 8, 9, 10, 11], &[12], &[13, 14]];
    found.extend(step(model, vec![&mut three, &mut one, &mut two], &tokens, &[&[4], &[0], &[0]]));
    two.reorder(&[1, 0]).unwrap();
    one.reorder(&[0, 0, 0]).unwrap();
    let tokens: [&[u32]; 3] = [&[15, 16, 17], &[18, 19], &[20]];
    found.extend(step(model, vec![&mut one, &mut two, &mut three], &tokens, &[&[0], &[0], &[]]));
    two.reorder(&[1]).unwrap();
    drop(three);
    found.extend(step(model, vec![&mut two, &mut one], &[&[21, 22], &[1, 2, 3, 4, 5, 6]], &[&[0, 1], &[1]]));
    found.extend(step(model, vec![&mut one], &[&[7, 8, 9]], &[&[0]]));
    found
}

#[test]
fn sessions_side_by_side_give_the_same_logits_on_both_backends() {
    let [native, candle] = both().map(|model| story(&model));
    assert_eq!(native.len(), candle.len());
    for (native, candle) in native.iter().zip(&candle) {
        assert_close(native, candle);
    }
}

#[test]
fn watched_heads_look_where_they_do_on_the_other_backend() {
    let [native, candle] = both().map(|model| {
        let audio = model.encode(&mel(1, 40)).unwrap();
        model.cross_attention(&audio, &[1, 2, 3, 4], &[(1, 2), (0, 0), (1, 0)]).unwrap()
    });
    assert_eq!(native.frames, candle.frames);
    assert_close(&native.scores, &candle.scores);
    assert_close(&native.logits, &candle.logits);
}

#[test]
fn rows_and_windows_are_given_back() {
    let model = model(Place::Candle(DeviceName::Cpu));
    let Network::Candle(network) = &model.network else { panic!("it is candle's") };
    network.warm_up(&[(0, 0), (1, 2)]).unwrap();
    let sizes = || {
        let pools = network.pools();
        (pools.rows.layer(0).dim(0).unwrap(), pools.audio.layer(0).dim(0).unwrap())
    };
    story(&model);
    let after_one = sizes();
    for _ in 0..20 {
        story(&model);
    }
    assert_eq!(sizes(), after_one);
}

#[test]
fn mistakes_leave_a_session_as_it_was() {
    let [native, candle] = both();
    for model in [&native, &candle] {
        let audio = model.encode(&mel(1, 40)).unwrap();
        let mut session = model.session(&audio);
        let mut logits = Vec::new();
        assert!(matches!(session.forward(&[], &[], &mut logits), Err(ModelError::Shape { .. })));
        assert_eq!(session.forward(&[99], &[0], &mut logits), Err(ModelError::UnknownToken { token: 99, vocab: 40 }));
        let long = session.forward(&[1; 25], &[0], &mut logits);
        assert_eq!(long, Err(ModelError::ContextOverflow { wanted: 25, context: 24 }));
        assert!(session.forward(&[1], &[1], &mut logits).is_err());
        assert!(session.reorder(&[1]).is_err() && session.reorder(&[]).is_err());
        assert_eq!((session.fed(), session.beams()), (0, 1));
        assert!(model.encode(&[0.0; 8]).is_err() && model.features(vec![0.0; 25]).is_err());
    }
    let audio = native.encode(&mel(1, 40)).unwrap();
    let mut session = native.session(&audio);
    let feed = Feed { session: &mut session, tokens: &[1], positions: &[0], logits: &mut Vec::new() };
    assert!(matches!(Batch::default().forward(&candle, &mut [feed]), Err(ModelError::Shape { .. })));
}
