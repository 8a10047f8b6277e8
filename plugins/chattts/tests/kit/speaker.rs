//! Speakers, their strings and seeds.

use half::f16;
use serde_json::Value;
use syrinx_plugin_chattts::speaker::{
    AudioPrompt, CODEBOOKS, Speaker, Statistics, Voice, decode_base16384, draw, encode_base16384, parse_voice, seed,
};
use syrinx_plugin_common::kits::{Case, Got, Op};

/// Ops of this file.
pub(crate) const OPS: &[Op] = &[
    Op::new("b14.codec", base16384),
    Op::new("speaker.stat", statistics),
    // Another compressor may write another string.
    Op::new("speaker.sample_random", sample_random).remarks(&["expect.spk_emb", "expect.chars"]),
    Op::new("speaker.decode", decode),
    Op::new("speaker.decode_prompt", decode_prompt),
    Op::new("voice.seed", voice_seed),
    Op::new("voice.emb_data", emb_data),
];

fn base16384(case: &Case) -> Result<Got, String> {
    let hex: Vec<String> = case.param("hex")?;
    let mut strings = Vec::new();
    for hex in hex {
        let byte = |at: usize| u8::from_str_radix(&hex[at..at + 2], 16).map_err(|e| e.to_string());
        let bytes = (0..hex.len()).step_by(2).map(byte).collect::<Result<Vec<_>, _>>()?;
        let text = encode_base16384(&bytes);
        if decode_base16384(&text).map_err(|e| e.to_string())? != bytes {
            return Err(format!("{hex} doesn't come back from {text}"));
        }
        strings.push(text);
    }
    Ok(Got::new().value("strings", strings))
}

fn floats(values: &[f16]) -> Vec<f32> {
    values.iter().map(|value| value.to_f32()).collect()
}

/// The width of the case's model.
fn width(case: &Case) -> Result<usize, String> {
    let path = case.model_path()?.join("asset/gpt/config.json");
    let json = std::fs::read_to_string(&path).map_err(|e| format!("{}: {e}", path.display()))?;
    let config: Value = serde_json::from_str(&json).map_err(|e| e.to_string())?;
    config["hidden_size"].as_u64().map(|width| width as usize).ok_or_else(|| "hidden_size is missing".to_owned())
}

/// The statistics that the package would hold for the case's model.
fn model_statistics(case: &Case) -> Result<Statistics, String> {
    let path = case.model_path()?.join("kit_config.json");
    let json = std::fs::read_to_string(&path).map_err(|e| format!("{}: {e}", path.display()))?;
    let config: Value = serde_json::from_str(&json).map_err(|e| e.to_string())?;
    let text = config["spk_stat"].as_str().ok_or("spk_stat is missing")?;
    Statistics::decode(text, width(case)?).map_err(|e| e.to_string())
}

fn statistics(case: &Case) -> Result<Got, String> {
    let width = case.tensor("out.std")?.len();
    let text: String = case.param("spk_stat")?;
    let statistics = Statistics::decode(&text, width).map_err(|e| e.to_string())?;
    Ok(Got::new().f32("out.std", &[width], floats(statistics.std())).f32(
        "out.mean",
        &[width],
        floats(statistics.mean()),
    ))
}

fn sample_random(case: &Case) -> Result<Got, String> {
    let noise: Vec<f16> = case.tensor("in.noise")?.to_f32().into_iter().map(f16::from_f32).collect();
    let speaker = model_statistics(case)?.sample(&noise).map_err(|e| e.to_string())?;
    let text = speaker.encode().map_err(|e| e.to_string())?;
    let recorded = case.expect["spk_emb"].as_str().ok_or("spk_emb is missing")?;
    for text in [&text, recorded] {
        if Speaker::decode(text, noise.len()).map_err(|e| e.to_string())? != speaker {
            return Err(format!("{text} is another speaker"));
        }
    }
    Ok(Got::new().f32("out.spk", &[noise.len()], floats(speaker.values())).value("spk_emb", text))
}

fn decode(case: &Case) -> Result<Got, String> {
    let width = width(case)?;
    let texts: Vec<String> = case.param("spk_emb")?;
    let mut values = Vec::new();
    for text in &texts {
        let speaker = Speaker::decode(text, width).map_err(|e| e.to_string())?;
        let again = speaker.encode().and_then(|text| Speaker::decode(&text, width)).map_err(|e| e.to_string())?;
        if again != speaker || parse_voice(text, width).map_err(|e| e.to_string())? != Voice::Speaker(again) {
            return Err(format!("{text} doesn't come back"));
        }
        values.extend(floats(speaker.values()));
    }
    Ok(Got::new().f32("out.spk", &[texts.len(), width], values))
}

fn decode_prompt(case: &Case) -> Result<Got, String> {
    let texts: Vec<String> = case.param("spk_smp")?;
    let mut got = Got::new();
    for (i, text) in texts.iter().enumerate() {
        let prompt = AudioPrompt::decode(text).map_err(|e| e.to_string())?;
        let again = prompt.encode().and_then(|text| AudioPrompt::decode(&text)).map_err(|e| e.to_string())?;
        if again != prompt {
            return Err(format!("{text} doesn't come back"));
        }
        let codes = prompt.codes().iter().map(|code| i64::from(*code)).collect();
        got = got.i64(&format!("out.codes.{i}"), &[CODEBOOKS, prompt.steps()], codes);
    }
    Ok(got)
}

fn voice_seed(case: &Case) -> Result<Got, String> {
    let voices: Vec<String> = case.param("voices")?;
    let statistics = model_statistics(case)?;
    let width = width(case)?;
    let mut got = Got::new().value("seeds", voices.iter().map(|voice| seed(voice)).collect::<Vec<_>>());
    for (i, voice) in voices.iter().enumerate() {
        let Voice::Seed(seed) = parse_voice(voice, width).map_err(|e| e.to_string())? else {
            return Err(format!("{voice} is no name"));
        };
        let speaker = statistics.seeded(seed).map_err(|e| e.to_string())?;
        let wide = case.tensor(&format!("out.noise768.{i}"))?.len();
        got = got
            .f32(&format!("out.noise.{i}"), &[width], floats(&draw(seed, width)))
            .f32(&format!("out.noise768.{i}"), &[wide], floats(&draw(seed, wide)))
            .f32(&format!("out.spk.{i}"), &[width], floats(speaker.values()));
    }
    Ok(got)
}

fn emb_data(case: &Case) -> Result<Got, String> {
    let voices: Vec<String> = case.param("voice")?;
    let mut got = Got::new();
    for (i, voice) in voices.iter().enumerate() {
        let name = format!("out.spk.{i}");
        let width = case.tensor(&name)?.len();
        let Voice::Speaker(speaker) = parse_voice(voice, width).map_err(|e| e.to_string())? else {
            return Err(format!("voice {i} is taken for a name"));
        };
        got = got.f32(&name, &[width], floats(speaker.values()));
    }
    Ok(got)
}
