//! Rows that are generated together, whoever they belong to. They join and leave between steps.

use tch::Tensor;

use crate::{
    error::ChatTtsError,
    generate::{CODEBOOKS, Choice, Ending, Kind, Row},
    network::{Entry, LanguageModel, Rows, values},
    speaker::Speaker,
};

/// What a row begins with.
#[derive(Clone, Debug, Default)]
pub struct Prompt {
    /// Its positions.
    pub entries: Vec<Entry>,
    /// Who speaks, and the positions that take the speaker's vector.
    pub speaker: Option<(Speaker, Vec<usize>)>,
}

/// What a row did in a step.
#[derive(Clone, Debug, PartialEq)]
pub enum Outcome {
    /// It goes on.
    Step {
        /// One token of each codebook; of text only the first counts.
        tokens: [u32; CODEBOOKS],
        /// The state that predicted them, `[hidden]`.
        hidden: Vec<f32>,
    },
    /// It has ended, and left.
    End(Ending),
}

/// The rows.
#[derive(Default)]
pub struct Batch {
    rows: Rows,
    members: Vec<Member>,
}

struct Member {
    id: u64,
    row: Row,
    next: Prediction,
}

/// What the last position of a row predicts.
#[derive(Clone)]
struct Prediction {
    hidden: Vec<f32>,
    logits: Vec<f32>,
}

impl Batch {
    /// How many rows there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.members.len()
    }

    /// Whether there are none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.members.is_empty()
    }

    /// Adds a row under a name of the caller's.
    ///
    /// # Errors
    /// The prompt doesn't fit, or the device failed. The other rows are as they were.
    pub fn admit(&mut self, model: &LanguageModel, id: u64, prompt: &Prompt, row: Row) -> Result<(), ChatTtsError> {
        let most = model.gpt.positions() - 1;
        if prompt.entries.len() > most {
            return Err(ChatTtsError::TooLong { tokens: prompt.entries.len(), most });
        }
        let mut emb = model.embed.forward(&prompt.entries)?;
        if let Some((speaker, positions)) = &prompt.speaker {
            emb = model.embed.apply_speaker(&emb, positions, speaker.values())?;
        }
        let hidden = model.gpt.admit(&mut self.rows, &emb)?;
        let last = hidden.f_narrow(0, -1, 1);
        let next = last.map_err(ChatTtsError::from).and_then(|last| predict(model, &last, &[row.rules().kind]));
        match next.map(|mut next| next.pop()) {
            Ok(Some(next)) => {
                self.members.push(Member { id, row, next });
                Ok(())
            }
            other => {
                self.rows.remove(self.members.len())?;
                Err(other.err().unwrap_or(ChatTtsError::Nonsense))
            }
        }
    }

    /// Takes a row out, if it is there.
    ///
    /// # Errors
    /// The device failed.
    pub fn remove(&mut self, id: u64) -> Result<(), ChatTtsError> {
        match self.members.iter().position(|member| member.id == id) {
            Some(index) => self.take_out(index),
            None => Ok(()),
        }
    }

    fn take_out(&mut self, index: usize) -> Result<(), ChatTtsError> {
        self.members.swap_remove(index);
        self.rows.remove(index)
    }

    /// Draws the next tokens of every row and computes what follows them.
    ///
    /// # Errors
    /// The device failed; the rows are of no use then.
    pub fn step(&mut self, model: &LanguageModel) -> Result<Vec<(u64, Outcome)>, ChatTtsError> {
        let mut outcomes = Vec::with_capacity(self.members.len());
        let mut entries = Vec::with_capacity(self.members.len());
        let mut index = 0;
        while let Some(member) = self.members.get_mut(index) {
            let is_sound = member.next.logits.iter().all(|logit| !logit.is_nan());
            let choice =
                if is_sound { member.row.choose(&member.next.logits) } else { return Err(ChatTtsError::Nonsense) };
            let has_room = self.rows.length(index) < model.gpt.positions();
            match choice {
                Choice::Tokens(tokens) => {
                    let hidden = std::mem::take(&mut member.next.hidden);
                    outcomes.push((member.id, Outcome::Step { tokens, hidden }));
                    if has_room && !member.row.is_full() {
                        entries.push(entry(model, member.row.rules().kind, tokens));
                        index += 1;
                        continue;
                    }
                    outcomes.push((member.id, Outcome::End(Ending::Length)));
                }
                Choice::End(ending) => outcomes.push((member.id, Outcome::End(ending))),
            }
            self.take_out(index)?;
        }
        if entries.is_empty() {
            return Ok(outcomes);
        }
        let hidden = model.gpt.step(&mut self.rows, &model.embed.forward(&entries)?)?;
        let kinds: Vec<Kind> = self.members.iter().map(|member| member.row.rules().kind).collect();
        for (member, next) in self.members.iter_mut().zip(predict(model, &hidden, &kinds)?) {
            member.next = next;
        }
        Ok(outcomes)
    }
}

fn entry(model: &LanguageModel, kind: Kind, tokens: [u32; CODEBOOKS]) -> Entry {
    let tokens = tokens.map(i64::from);
    match kind {
        Kind::Code => model.embed.vocabulary().codes(tokens),
        Kind::Text => model.embed.vocabulary().text(tokens[0]),
    }
}

/// What hidden states `[rows, hidden]` predict, by the head of each row's kind.
fn predict(model: &LanguageModel, hidden: &Tensor, kinds: &[Kind]) -> Result<Vec<Prediction>, ChatTtsError> {
    let states = values(hidden)?;
    let width = states.len() / kinds.len().max(1);
    let mut predictions: Vec<Option<Prediction>> = vec![None; kinds.len()];
    for kind in [Kind::Code, Kind::Text] {
        let chosen: Vec<i64> = (0..kinds.len()).filter(|&row| kinds[row] == kind).map(|row| row as i64).collect();
        if chosen.is_empty() {
            continue;
        }
        let all = chosen.len() == kinds.len();
        let index = Tensor::f_from_slice(&chosen)?.f_to_device(hidden.device())?;
        let of_kind = if all { hidden.shallow_clone() } else { hidden.f_index_select(0, &index)? };
        let logits = values(&model.embed.logits(&of_kind, kind)?)?;
        for (&row, logits) in chosen.iter().zip(logits.chunks_exact(logits.len() / chosen.len())) {
            let row = row as usize;
            let hidden = states[row * width..(row + 1) * width].to_vec();
            predictions[row] = Some(Prediction { hidden, logits: logits.to_vec() });
        }
    }
    Ok(predictions.into_iter().flatten().collect())
}
