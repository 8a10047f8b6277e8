//! Generation of refined text and of codes.

use std::sync::Arc;

use serde::Deserialize;
use serde_json::{Value, json};
use syrinx_plugin_chattts::engine::{Batch, Outcome, Prompt};
use syrinx_plugin_chattts::generate::{CODEBOOKS, Ending, Filters, Kind, Recorded, Row, Rules};
use syrinx_plugin_chattts::network::LanguageModel;
use syrinx_plugin_chattts::speaker::{AudioPrompt, Speaker};
use syrinx_plugin_chattts::text::{Tokenizer, prompt};
use syrinx_plugin_common::kits::{Case, Got, Op};
use tch::Tensor;

use crate::models::{files, language_model, locked, told};

/// Ops of this file.
pub(crate) const OPS: &[Op] =
    &[Op::new("gpt.generate_code", generate_code), Op::new("gpt.generate_text", generate_text)];

/// Parameters of a generation, under the reference's names. What a case leaves out has the reference's default.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub(crate) struct Parameters {
    pub(crate) prompt: Option<String>,
    pub(crate) spk_emb: Option<String>,
    pub(crate) spk_smp: Option<String>,
    pub(crate) txt_smp: Option<String>,
    temperature: Option<Value>,
    #[serde(rename = "top_P")]
    top_p: Option<f32>,
    #[serde(rename = "top_K")]
    top_k: Option<usize>,
    repetition_penalty: Option<f32>,
    max_new_token: Option<usize>,
    min_new_token: Option<usize>,
    pub(crate) stream_batch: Option<usize>,
    pub(crate) stream_speed: Option<usize>,
    pub(crate) pass_first_n_batches: Option<usize>,
}

impl Parameters {
    fn rules(&self, kind: Kind, end: u32) -> Result<Rules, String> {
        let (temperature, most, penalty) = match kind {
            Kind::Code => (0.3, 2048, 1.05),
            Kind::Text => (0.7, 384, 1.0),
        };
        let temperature = match &self.temperature {
            None => vec![temperature],
            Some(Value::Array(list)) => list.iter().filter_map(Value::as_f64).map(|value| value as f32).collect(),
            Some(one) => vec![one.as_f64().ok_or("a temperature is no number")? as f32],
        };
        Ok(Rules {
            kind,
            filters: Filters {
                temperature,
                top_p: Some(self.top_p.unwrap_or(0.7)),
                top_k: Some(self.top_k.unwrap_or(20)),
                repetition_penalty: self.repetition_penalty.unwrap_or(penalty),
            },
            min_new_token: self.min_new_token.unwrap_or(0),
            max_new_token: self.max_new_token.unwrap_or(most),
            end,
            // The reference starts all rows again; see `generate`.
            ensure_non_empty: false,
        })
    }
}

/// A generated row.
#[derive(Clone, Debug, Default)]
pub(crate) struct Generated {
    pub(crate) tokens: Vec<[u32; CODEBOOKS]>,
    /// `[steps, hidden]`
    pub(crate) hidden: Vec<f32>,
    pub(crate) ended_by_token: bool,
}

/// A call of the reference's `generate`, as the case describes it.
pub(crate) struct Call {
    pub(crate) kind: Kind,
    pub(crate) rows: Vec<Generated>,
    /// Positions of the longest prompt.
    pub(crate) prompt_len: usize,
    /// Steps that were computed.
    pub(crate) steps: usize,
}

impl Call {
    pub(crate) fn describe(&self) -> Value {
        let kind = if self.kind == Kind::Code { "code" } else { "text" };
        json!({"kind": kind, "batch": self.rows.len(), "steps": self.steps, "prompt_len": self.prompt_len})
    }
}

/// What a case generates with.
pub(crate) struct Generator<'c> {
    case: &'c Case,
    pub(crate) tokenizer: Tokenizer,
    /// How many records of chance are used up.
    used: usize,
    pub(crate) calls: Vec<Call>,
}

impl<'c> Generator<'c> {
    pub(crate) fn new(case: &'c Case) -> Result<Self, String> {
        let tokenizer = told(Tokenizer::load(&files(case)?.tokenizer()))?;
        Ok(Self { case, tokenizer, used: 0, calls: Vec::new() })
    }

    /// Codes for each of the texts, which are normalised.
    pub(crate) fn code(&mut self, texts: &[String], parameters: &Parameters) -> Result<Vec<Generated>, String> {
        let model = language_model(self.case)?;
        let model = locked(&model);
        let width = told(model.embed.forward(&[[0; CODEBOOKS]]))?.size()[1] as usize;
        let speaker = parameters.spk_emb.as_deref().map(|text| told(Speaker::decode(text, width))).transpose()?;
        let audio = parameters.spk_smp.as_deref().map(|text| told(AudioPrompt::decode(text))).transpose()?;
        let tags = parameters.prompt.as_deref().unwrap_or("[speed_5]");
        let decorate =
            |text: &String| prompt::decorate_code(text, tags, parameters.txt_smp.as_deref(), speaker.is_some());
        let decorated: Vec<String> = texts.iter().map(decorate).collect();
        let mark = i64::from(told(self.tokenizer.special("[spk_emb]"))?);
        let mut prompts = Vec::new();
        for text in &decorated {
            let codes: Vec<&[u16]> = audio.iter().flat_map(|audio| (0..CODEBOOKS).map(|k| audio.codebook(k))).collect();
            let encoded = told(self.tokenizer.encode(&[text], audio.is_some().then_some(codes.as_slice())))?;
            prompts.push(assemble(&model, &encoded, speaker.as_ref().map(|speaker| (speaker, mark))));
        }
        let end = model.embed.vocabulary().end();
        self.generate(&model, &prompts, &parameters.rules(Kind::Code, end)?)
    }

    /// Refined text of each of the texts.
    pub(crate) fn text(&mut self, texts: &[String], parameters: &Parameters) -> Result<Vec<Generated>, String> {
        let model = language_model(self.case)?;
        let model = locked(&model);
        let mut prompts = Vec::new();
        for text in texts {
            let decorated = prompt::decorate_text(text, parameters.prompt.as_deref().unwrap_or_default());
            prompts.push(assemble(&model, &told(self.tokenizer.encode(&[decorated], None))?, None));
        }
        let end = told(self.tokenizer.special("[Ebreak]"))?;
        self.generate(&model, &prompts, &parameters.rules(Kind::Text, end)?)
    }

    /// Rows with the case's record of chance. A row that ends at once starts all of them again, with the next record.
    fn generate(&mut self, model: &LanguageModel, prompts: &[Prompt], rules: &Rules) -> Result<Vec<Generated>, String> {
        loop {
            let noise = self.case.tensor(&format!("in.noise.{}", self.used))?;
            self.used += 1;
            let [steps, rows, tokens] = *noise.shape() else { return Err("the record has another shape".to_owned()) };
            let numbers: Arc<[f32]> = noise.to_f32().into();
            let mut batch = Batch::default();
            for (index, prompt) in prompts.iter().enumerate() {
                let first = index * rules.kind.tokens();
                let chance = Recorded::new(numbers.clone(), rows, tokens, first);
                told(batch.admit(model, index as u64, prompt, Row::new(rules.clone(), Box::new(chance))))?;
            }
            let mut generated = vec![Generated::default(); prompts.len()];
            let (mut computed, mut has_empty) = (0, false);
            while !batch.is_empty() && !has_empty {
                if computed > steps {
                    return Err(format!("the rows go on after the {steps} steps of the record"));
                }
                computed += 1;
                for (id, outcome) in told(batch.step(model))? {
                    let row = &mut generated[id as usize];
                    match outcome {
                        Outcome::Step { tokens, hidden } => {
                            row.tokens.push(tokens);
                            row.hidden.extend(hidden);
                        }
                        Outcome::End(ending) => {
                            row.ended_by_token = ending == Ending::Token;
                            has_empty |= row.tokens.is_empty();
                        }
                    }
                }
            }
            let prompt_len = prompts.iter().map(|prompt| prompt.entries.len()).max().unwrap_or(0);
            self.calls.push(Call { kind: rules.kind, rows: generated.clone(), prompt_len, steps: computed });
            if !has_empty {
                return Ok(generated);
            }
        }
    }

    /// The text of a refined row: without tags from [break_0] on.
    pub(crate) fn refined(&self, row: &Generated) -> Result<String, String> {
        let first_tag = told(self.tokenizer.special("[break_0]"))?;
        let ids: Vec<u32> = row.tokens.iter().map(|tokens| tokens[0]).filter(|&id| id < first_tag).collect();
        told(self.tokenizer.decode(&ids))
    }
}

/// A prompt out of one encoded text.
fn assemble(
    model: &LanguageModel,
    encoded: &syrinx_plugin_chattts::text::Encoded,
    speaker: Option<(&Speaker, i64)>,
) -> Prompt {
    let (ids, mask) = (&encoded.ids[0], &encoded.text_mask[0]);
    let entry = |(ids, &is_text): (&[i64; CODEBOOKS], &bool)| {
        if is_text { model.embed.vocabulary().text(ids[0]) } else { model.embed.vocabulary().codes(*ids) }
    };
    let marked = |mark: i64| -> Vec<usize> { (0..ids.len()).filter(|&at| ids[at][0] == mark).collect() };
    Prompt {
        entries: ids.iter().zip(mask).map(entry).collect(),
        speaker: speaker.map(|(speaker, mark)| (speaker.clone(), marked(mark))),
    }
}

/// Adds what a generated row consists of.
pub(crate) fn report(mut got: Got, row: &Generated, kind: Kind, name: &str) -> Got {
    let tokens = kind.tokens();
    let ids: Vec<i64> = row.tokens.iter().flat_map(|step| &step[..tokens]).map(|&token| i64::from(token)).collect();
    let shape = [row.tokens.len(), tokens];
    got = got.i64(&format!("out.ids.{name}"), if kind == Kind::Code { &shape } else { &shape[..1] }, ids);
    if kind == Kind::Code {
        let width = row.hidden.len() / row.tokens.len().max(1);
        got = got.f32(&format!("out.hiddens.{name}"), &[row.tokens.len(), width], row.hidden.clone());
    }
    got
}

fn generate_code(case: &Case) -> Result<Got, String> {
    let mut generator = Generator::new(case)?;
    let rows = generator.code(&case.param::<Vec<String>>("texts")?, &case.params()?)?;
    let mut got = Got::new()
        .value("lengths", rows.iter().map(|row| row.tokens.len()).collect::<Vec<_>>())
        .value("calls", generator.calls.iter().map(Call::describe).collect::<Vec<_>>());
    for (index, row) in rows.iter().enumerate() {
        got = report(got, row, Kind::Code, &index.to_string());
    }
    Ok(got)
}

fn generate_text(case: &Case) -> Result<Got, String> {
    let mut generator = Generator::new(case)?;
    let rows = generator.text(&case.param::<Vec<String>>("texts")?, &case.params()?)?;
    let refined = rows.iter().map(|row| generator.refined(row)).collect::<Result<Vec<_>, _>>()?;
    let mut got = Got::new()
        .value("lengths", rows.iter().map(|row| row.tokens.len()).collect::<Vec<_>>())
        .value("calls", generator.calls.iter().map(Call::describe).collect::<Vec<_>>())
        .value("refined", refined);
    for (index, row) in rows.iter().enumerate() {
        got = report(got, row, Kind::Text, &index.to_string());
    }
    Ok(got)
}

/// Codes `[4, steps]` as the string that audio prompts are passed on as; `expected` where that holds the same codes, since another compressor
/// writes another string.
pub(crate) fn prompt_string(codes: &Tensor, expected: Option<&Value>) -> Result<String, String> {
    let flat = told(codes.f_to_device(tch::Device::Cpu).and_then(|codes| codes.f_contiguous()?.f_reshape(-1_i64)))?;
    let mut integers = vec![0_i64; flat.numel()];
    told(flat.f_copy_data(&mut integers, flat.numel()))?;
    let codes: Vec<u16> = integers.into_iter().map(|code| code as u16).collect();
    let expected = expected.and_then(Value::as_str).unwrap_or_default();
    match AudioPrompt::decode(expected) {
        Ok(same) if same.codes() == codes => Ok(expected.to_owned()),
        _ => told(told(AudioPrompt::new(codes))?.encode()),
    }
}
