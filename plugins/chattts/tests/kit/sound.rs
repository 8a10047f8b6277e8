//! From hidden states, codes and recordings to log-mel frames and samples.

use syrinx_plugin_chattts::network::{Steps, Synthesizer, Utterance, VocoderState};
use syrinx_plugin_common::kits::{Case, Got, Op};
use tch::Tensor;

use crate::models::{GotTensor, locked, synthesizer, tensor, told};

/// Ops of this file.
pub(crate) const OPS: &[Op] = &[
    Op::new("decoder.conv_in", conv_in),
    Op::new("decoder.block", block),
    Op::new("decoder.forward", decode),
    Op::new("gfsq.encode", quantize).remarks(&["expect.min_rounding_margin"]),
    Op::new("gfsq.decode", dequantize),
    Op::new("dvae.mel", mel),
    Op::new("dvae.encode", encode).remarks(&["expect.min_rounding_margin"]),
    Op::new("dvae.decode", decode_codes),
    Op::new("vocos.decode", vocode),
    Op::new("vocos.head", head).remarks(&["expect.clipped"]),
    Op::new("decode_to_wavs", decode_to_wavs),
];

fn conv_in(case: &Case) -> Result<Got, String> {
    let synthesizer = synthesizer(case)?;
    Got::new().float("out.x", &told(locked(&synthesizer).decoder().conv_in(&tensor(case, "in.x")?))?)
}

fn block(case: &Case) -> Result<Got, String> {
    let synthesizer = synthesizer(case)?;
    let out = told(locked(&synthesizer).decoder().block(case.param("index")?, &tensor(case, "in.x")?))?;
    Got::new().float("out.x", &out.ok_or("there is no such block")?)
}

fn decode(case: &Case) -> Result<Got, String> {
    let synthesizer = synthesizer(case)?;
    Got::new().float("out.mel", &told(locked(&synthesizer).decoder().forward(&tensor(case, "in.hidden")?))?)
}

fn quantize(case: &Case) -> Result<Got, String> {
    let synthesizer = synthesizer(case)?;
    let synthesizer = locked(&synthesizer);
    Got::new().integers("out.codes", &told(told(synthesizer.dvae())?.quantizer().encode(&tensor(case, "in.x")?))?)
}

fn dequantize(case: &Case) -> Result<Got, String> {
    let synthesizer = synthesizer(case)?;
    let synthesizer = locked(&synthesizer);
    Got::new().float("out.feat", &told(told(synthesizer.dvae())?.quantizer().decode(&tensor(case, "in.codes")?))?)
}

fn mel(case: &Case) -> Result<Got, String> {
    let synthesizer = synthesizer(case)?;
    let mel = told(told(locked(&synthesizer).dvae())?.mel(&case.tensor("in.wav")?.to_f32()))?;
    Got::new().value("frames", mel.size()[1]).float("out.logmel", &mel)
}

fn encode(case: &Case) -> Result<Got, String> {
    let synthesizer = synthesizer(case)?;
    let codes = told(told(locked(&synthesizer).dvae())?.encode(&case.tensor("in.wav")?.to_f32()))?;
    let got = Got::new().integers("out.codes", &codes)?;
    Ok(got
        .value("tokens", codes.size()[1])
        .value("smp", crate::generate::prompt_string(&codes, case.expect.get("smp"))?))
}

fn decode_codes(case: &Case) -> Result<Got, String> {
    let synthesizer = synthesizer(case)?;
    let synthesizer = locked(&synthesizer);
    let dvae = told(synthesizer.dvae())?;
    let features = told(dvae.quantizer().decode(&tensor(case, "in.codes")?))?;
    Got::new().float("mid.feat", &features)?.float("out.mel", &told(dvae.decoder().forward(&features))?)
}

/// Samples of a batch, row by row.
fn by_row(x: &Tensor, wave: impl Fn(&Tensor) -> Result<Vec<f32>, String>) -> Result<(Vec<usize>, Vec<f32>), String> {
    let rows = x.size()[0];
    let mut samples = Vec::new();
    for row in 0..rows {
        samples.extend(wave(&x.narrow(0, row, 1))?);
    }
    Ok((vec![rows as usize, samples.len() / rows as usize], samples))
}

fn vocode(case: &Case) -> Result<Got, String> {
    let synthesizer = synthesizer(case)?;
    let synthesizer = locked(&synthesizer);
    let wave =
        |mel: &Tensor| told(synthesizer.vocoder().push(&mut VocoderState::default(), Some(mel.shallow_clone()), true));
    let (shape, samples) = by_row(&tensor(case, "in.mel")?, wave)?;
    Ok(Got::new().value("samples", shape[1]).f32("out.wav", &shape, samples))
}

fn head(case: &Case) -> Result<Got, String> {
    let synthesizer = synthesizer(case)?;
    let synthesizer = locked(&synthesizer);
    let (shape, samples) = by_row(&tensor(case, "in.x")?, |x| told(synthesizer.vocoder().head(x)))?;
    Ok(Got::new().f32("out.wav", &shape, samples))
}

/// Steps of a row as the case has them.
pub(crate) enum OwnedSteps {
    Hidden(Vec<f32>),
    Codes(Vec<[u32; 4]>),
}

impl OwnedSteps {
    fn read(case: &Case, row: usize, use_decoder: bool) -> Result<Option<Self>, String> {
        let name = format!("in.{}.{row}", if use_decoder { "hiddens" } else { "codes" });
        let Some(stored) = case.tensors.get(&name) else { return Ok(None) };
        if use_decoder {
            return Ok(Some(Self::Hidden(stored.to_f32())));
        }
        let codes: Vec<u32> = stored.to_i64()?.into_iter().map(|code| code as u32).collect();
        Ok(Some(Self::Codes(codes.as_chunks().0.to_vec())))
    }

    /// All of it at once.
    pub(crate) fn wave(&self, synthesizer: &Synthesizer) -> Result<Vec<f32>, String> {
        let steps = match self {
            Self::Hidden(hidden) => Steps::Hidden(hidden),
            Self::Codes(codes) => Steps::Codes(codes),
        };
        told(synthesizer.push(&mut Utterance::default(), steps, true))
    }

    /// Filled up with zeros (or code 0) to the size of the longest, as the reference does.
    fn filled(&self, longest: &Self) -> Self {
        let (mut filled, longest) = match (self, longest) {
            (Self::Hidden(own), Self::Hidden(longest)) => {
                let mut own = own.clone();
                own.resize(longest.len(), 0.0);
                return Self::Hidden(own);
            }
            (Self::Codes(own), Self::Codes(longest)) => (own.clone(), longest.len()),
            _ => return Self::Codes(Vec::new()),
        };
        filled.resize(longest, [0; 4]);
        Self::Codes(filled)
    }

    fn len(&self) -> usize {
        match self {
            Self::Hidden(hidden) => hidden.len(),
            Self::Codes(codes) => codes.len(),
        }
    }
}

/// What the reference's decoding of a batch gives: every row filled up to the longest.
pub(crate) fn padded_waves(rows: &[OwnedSteps], synthesizer: &Synthesizer) -> Result<(Vec<usize>, Vec<f32>), String> {
    let longest = rows.iter().max_by_key(|row| row.len()).ok_or("there are no rows")?;
    let mut samples = Vec::new();
    for row in rows {
        samples.extend(row.filled(longest).wave(synthesizer)?);
    }
    Ok((vec![rows.len(), samples.len() / rows.len()], samples))
}

fn decode_to_wavs(case: &Case) -> Result<Got, String> {
    let synthesizer = synthesizer(case)?;
    let synthesizer = locked(&synthesizer);
    let use_decoder = case.param("use_decoder")?;
    let mut rows = Vec::new();
    while let Some(row) = OwnedSteps::read(case, rows.len(), use_decoder)? {
        rows.push(row);
    }
    let (shape, samples) = padded_waves(&rows, &synthesizer)?;
    let mut got = Got::new().f32("out.wavs", &shape, samples);
    for (index, row) in rows.iter().enumerate() {
        let wave = row.wave(&synthesizer)?;
        got = got.f32(&format!("out.wav_alone.{index}"), &[wave.len()], wave);
    }
    Ok(got)
}
