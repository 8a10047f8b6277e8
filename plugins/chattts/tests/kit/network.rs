//! Embeddings, the language model, and how a token is chosen.

use syrinx_plugin_chattts::generate::{CODEBOOKS, Candidate, Chance, Filters, History, Kind, Recorded, candidates};
use syrinx_plugin_chattts::network::{Entry, LanguageModel, Rows};
use syrinx_plugin_chattts::speaker::Speaker;
use syrinx_plugin_common::kits::{Case, Got, Op};
use tch::Tensor;

use crate::models::{GotTensor, language_model, locked, tensor, told};

/// Ops of this file.
pub(crate) const OPS: &[Op] = &[
    Op::new("embed.forward", embed),
    Op::new("speaker.apply", apply_speaker),
    Op::new("gpt.teacher_forced", teacher_forced),
    // Margins tell how safe a case is.
    Op::new("sampler.step", sample).remarks(&["expect.min_pick_margin", "expect.min_topp_margin"]),
];

/// The entries of a batch `[rows, positions, 4]`: text where the mask says so, codes elsewhere.
fn entries(model: &LanguageModel, ids: &[i64], mask: &[i64]) -> Vec<Entry> {
    let (ids, _) = ids.as_chunks::<CODEBOOKS>();
    let entry = |(ids, &is_text): (&[i64; CODEBOOKS], &i64)| match is_text {
        0 => model.embed.vocabulary().codes(*ids),
        _ => model.embed.vocabulary().text(ids[0]),
    };
    ids.iter().zip(mask).map(entry).collect()
}

fn embed(case: &Case) -> Result<Got, String> {
    let model = language_model(case)?;
    let model = locked(&model);
    let mask = case.tensor("in.text_mask")?;
    let entries = entries(&model, &case.tensor("in.input_ids")?.to_i64()?, &mask.to_i64()?);
    let emb = told(model.embed.forward(&entries))?;
    let shape: Vec<i64> = mask.shape().iter().map(|&size| size as i64).chain([-1]).collect();
    Got::new().float("out.emb", &told(emb.f_reshape(&shape))?)
}

fn apply_speaker(case: &Case) -> Result<Got, String> {
    let model = language_model(case)?;
    let model = locked(&model);
    let emb = tensor(case, "in.emb")?;
    let ids = case.tensor("in.input_ids")?;
    let (rows, positions) = (ids.shape()[0], ids.shape()[1]);
    let ids = ids.to_i64()?;
    let mark: i64 = case.param("spk_emb_id")?;
    let speaker = told(Speaker::decode(&case.param::<String>("spk_emb")?, told(usize::try_from(emb.size()[2]))?))?;
    let apply = |row: usize| {
        let marked: Vec<usize> =
            (0..positions).filter(|position| ids[(row * positions + position) * CODEBOOKS] == mark).collect();
        told(model.embed.apply_speaker(&emb.get(row as i64), &marked, speaker.values()))
    };
    let applied = (0..rows).map(apply).collect::<Result<Vec<_>, _>>()?;
    Got::new().float("out.emb", &Tensor::stack(&applied, 0))
}

fn teacher_forced(case: &Case) -> Result<Got, String> {
    let model = language_model(case)?;
    let model = locked(&model);
    let kind = if case.param("infer_text")? { Kind::Text } else { Kind::Code };
    let steps: i64 = case.param("steps")?;
    let (emb, mask) = (tensor(case, "in.emb")?, case.tensor("in.attention_mask")?);
    let (batch, length) = (mask.shape()[0], mask.shape()[1]);
    let mask = mask.to_i64()?;
    let mut rows = Rows::default();
    let mut prefilled = Vec::new();
    let mut last = Vec::new();
    for row in 0..batch {
        let padding = mask[row * length..(row + 1) * length].iter().filter(|&&attended| attended == 0).count() as i64;
        let own = emb.get(row as i64).narrow(0, padding, length as i64 - padding);
        let hidden = told(model.gpt.admit(&mut rows, &own))?;
        last.push(hidden.get(-1));
        prefilled.push(hidden.constant_pad_nd([0, 0, padding, 0]));
    }
    let mut hidden = Tensor::stack(&last, 0);
    let forced = case.tensor("in.forced")?.to_i64()?;
    let tokens = kind.tokens();
    let (mut logits, mut states) = (Vec::new(), Vec::new());
    for step in 0..steps {
        let predicted = told(model.embed.logits(&hidden, kind))?;
        logits.push(predicted.reshape([(batch * tokens) as i64, -1]));
        if step + 1 == steps {
            break;
        }
        let entry = |row: usize| {
            let start = (step as usize * batch + row) * tokens;
            match kind {
                Kind::Code => model.embed.vocabulary().codes(std::array::from_fn(|k| forced[start + k])),
                Kind::Text => model.embed.vocabulary().text(forced[start]),
            }
        };
        let entries: Vec<Entry> = (0..batch).map(entry).collect();
        hidden = told(model.gpt.step(&mut rows, &told(model.embed.forward(&entries))?))?;
        states.push(hidden.shallow_clone());
    }
    Got::new()
        .value("prompt_len", length)
        .float("out.prefill_hidden", &Tensor::stack(&prefilled, 0))?
        .float("out.step_hidden", &Tensor::stack(&states, 1))?
        .float("out.logits", &Tensor::stack(&logits, 0))
}

fn sample(case: &Case) -> Result<Got, String> {
    let logits = case.tensor("in.logits")?;
    let (rows, tokens) = (logits.shape()[0], logits.shape()[1]);
    let logits = logits.to_f32();
    let history = case.tensor("in.history")?;
    let past = history.to_i64()?;
    let length = past.len() / rows;
    let temperatures: Vec<f32> = case.param("temperature")?;
    let (step, min_new_token): (usize, usize) = (case.param("step")?, case.param("min_new_token")?);
    let forbidden = (step < min_new_token).then_some(case.param("eos_token")?);
    let numbers: std::sync::Arc<[f32]> = case.tensor("in.noise")?.to_f32().into();
    let (mut scores, mut chosen, mut kept, mut penalised) =
        (vec![0.0; rows * tokens], Vec::new(), Vec::new(), Vec::new());
    for row in 0..rows {
        let filters = Filters {
            temperature: vec![temperatures[row]],
            top_p: case.param("top_P")?,
            top_k: case.param("top_K")?,
            repetition_penalty: case.param("repetition_penalty")?,
        };
        let mut history = History::default();
        past[row * length..(row + 1) * length].iter().for_each(|&token| history.push(token as u32));
        let mut own = logits[row * tokens..(row + 1) * tokens].to_vec();
        let found: Vec<Candidate> = candidates(&mut own, 0, &filters, &history, forbidden);
        for candidate in &found {
            scores[row * tokens + candidate.token as usize] = candidate.probability;
        }
        kept.push(found.len());
        penalised.extend(own);
        chosen.push(i64::from(Recorded::new(numbers.clone(), rows, tokens, row).draw(0, 0, &found)));
    }
    Ok(Got::new()
        .value("kept", kept)
        .f32("mid.after_penalty", &[rows, tokens], penalised)
        .f32("out.scores", &[rows, tokens], scores)
        .i64("out.idx", &[rows], chosen))
}
