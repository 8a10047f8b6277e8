//! Part-of-speech tagger: spaCy's `tok2vec` (hash embeddings, window convolutions with maxout) and a linear output layer.
//!
//! Reference: `spacy/ml/models/tok2vec.py: MultiHashEmbed, MaxoutWindowEncoder`, `spacy/ml/models/tagger.py`, thinc's `HashEmbed`, `Maxout`,
//! `LayerNorm`, `expand_window`.

use super::{
    murmur::row_hashes,
    package::Vocabulary,
    tokenizer::Word,
    unicode::{digit_value, is_alpha, is_space},
};

/// Features per token: norm, prefix, suffix, shape, followed by a space, is white space.
pub(crate) const FEATURES: usize = 6;

/// Seed of the first embedding; each further one adds 1 (`MultiHashEmbed`).
const FIRST_SEED: u32 = 8;

/// Zero rows put around a text before the convolutions (`with_array(pad=4)`: as many as there are layers).
const PADDING: usize = 4;

/// Added to the variance in layer norms (thinc `layernorm.py`).
const EPSILON: f32 = 1e-8;

/// Words this long all have the shape "LONG" (`lex_attrs.py: word_shape`).
const LONG_WORD: usize = 100;

/// An embedding table addressed by hashes: each value is the sum of four rows.
#[derive(Debug)]
pub(crate) struct HashEmbedding {
    table: Vec<f32>, // [rows, width]
    rows: u32,
    width: usize,
}

impl HashEmbedding {
    pub(crate) fn new(table: Vec<f32>, rows: usize, width: usize) -> Result<Self, String> {
        let rows = u32::try_from(rows).map_err(|_| "an embedding has too many rows".to_owned())?;
        Ok(Self { table, rows, width })
    }

    fn rows(&self, feature: u64, seed: u32) -> [u32; 4] {
        row_hashes(feature, seed).map(|hash| hash % self.rows)
    }

    fn add(&self, feature: u64, seed: u32, out: &mut [f32]) {
        for row in self.rows(feature, seed) {
            let row = row as usize * self.width;
            for (out, value) in out.iter_mut().zip(&self.table[row..row + self.width]) {
                *out += value;
            }
        }
    }
}

/// Outputs computed together: one register of AVX, two of SSE.
const LANES: usize = 8;

/// Rows computed together, so that each weight is fetched once for all of them.
const ROWS: usize = 4;

/// `y = W x + b`, with the weights packed so that the innermost loop runs over neighbouring outputs.
#[derive(Debug)]
pub(crate) struct Linear {
    packed: Vec<[f32; LANES]>, // [ceil(outputs / LANES), inputs], LANES outputs each
    bias: Vec<f32>,            // [outputs]
    inputs: usize,
}

impl Linear {
    /// `weight`: `[outputs, inputs]`.
    pub(crate) fn new(weight: &[f32], bias: Vec<f32>, outputs: usize, inputs: usize) -> Result<Self, String> {
        if bias.len() != outputs || weight.len() != outputs * inputs || outputs == 0 || inputs == 0 {
            return Err(format!("a layer of {outputs} × {inputs} has {} biases", bias.len()));
        }
        let mut packed = vec![[0.0; LANES]; outputs.div_ceil(LANES) * inputs];
        for (o, row) in weight.chunks_exact(inputs).enumerate() {
            let block = &mut packed[o / LANES * inputs..][..inputs];
            for (lanes, &w) in block.iter_mut().zip(row) {
                lanes[o % LANES] = w;
            }
        }
        Ok(Self { packed, bias, inputs })
    }

    fn outputs(&self) -> usize {
        self.bias.len()
    }

    /// `[n, inputs]` → `[n, outputs]`.
    fn forward(&self, x: &[f32]) -> Vec<f32> {
        let outputs = self.outputs();
        let mut y = vec![0.0; x.len() / self.inputs * outputs];
        let mut columns = vec![[0.0; ROWS]; self.inputs]; // the inputs of ROWS rows, side by side
        for (x, y) in x.chunks(ROWS * self.inputs).zip(y.chunks_mut(ROWS * outputs)) {
            for (r, row) in x.chunks_exact(self.inputs).enumerate() {
                for (column, &value) in columns.iter_mut().zip(row) {
                    column[r] = value;
                }
            }
            let blocks = self.packed.chunks_exact(self.inputs).zip(self.bias.chunks(LANES));
            for (block, (weights, bias)) in blocks.enumerate() {
                let sums = products(&columns, weights);
                for (row, sums) in y.chunks_exact_mut(outputs).zip(sums) {
                    let row = &mut row[block * LANES..][..bias.len()];
                    for ((y, sum), bias) in row.iter_mut().zip(sums).zip(bias) {
                        *y = sum + bias;
                    }
                }
            }
        }
        y
    }
}

/// `sums[r][l] = Σ x[i][r] · w[i][l]`, on AVX where the processor has it.
fn products(x: &[[f32; ROWS]], w: &[[f32; LANES]]) -> [[f32; LANES]; ROWS] {
    #[cfg(target_arch = "x86_64")]
    if std::arch::is_x86_feature_detected!("avx2") {
        // SAFETY: the processor has just been asked for AVX2.
        return unsafe { products_avx2(x, w) };
    }
    products_anywhere(x, w)
}

#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx2")]
fn products_avx2(x: &[[f32; ROWS]], w: &[[f32; LANES]]) -> [[f32; LANES]; ROWS] {
    products_anywhere(x, w)
}

#[inline(always)]
fn products_anywhere(x: &[[f32; ROWS]], w: &[[f32; LANES]]) -> [[f32; LANES]; ROWS] {
    let mut sums = [[0.0; LANES]; ROWS];
    for (x, w) in x.iter().zip(w) {
        for (sums, x) in sums.iter_mut().zip(x) {
            for (sum, w) in sums.iter_mut().zip(w) {
                *sum += x * w;
            }
        }
    }
    sums
}

/// Linear layer, maximum over `pieces` neighbouring outputs, layer norm.
#[derive(Debug)]
pub(crate) struct MaxoutLayer {
    linear: Linear, // outputs · pieces
    pieces: usize,
    gain: Vec<f32>,
    shift: Vec<f32>,
}

impl MaxoutLayer {
    /// `weight`: `[outputs, pieces, inputs]`.
    pub(crate) fn new(
        weight: &[f32],
        bias: Vec<f32>,
        gain: Vec<f32>,
        shift: Vec<f32>,
        outputs: usize,
        pieces: usize,
        inputs: usize,
    ) -> Result<Self, String> {
        if gain.len() != outputs || shift.len() != outputs || pieces == 0 {
            return Err(format!("a layer norm of {} after {outputs} outputs", gain.len()));
        }
        Ok(Self { linear: Linear::new(weight, bias, outputs * pieces, inputs)?, pieces, gain, shift })
    }

    /// `[n, inputs]` → `[n, outputs]`.
    fn forward(&self, x: &[f32]) -> Vec<f32> {
        let mut y: Vec<f32> = self
            .linear
            .forward(x)
            .chunks_exact(self.pieces)
            .map(|pieces| pieces.iter().copied().fold(f32::NEG_INFINITY, f32::max))
            .collect();
        let width = self.gain.len();
        for row in y.chunks_exact_mut(width) {
            let mean = row.iter().sum::<f32>() / width as f32;
            let variance = row.iter().map(|v| (v - mean) * (v - mean)).sum::<f32>() / width as f32 + EPSILON;
            let scale = variance.sqrt().recip();
            for ((v, gain), shift) in row.iter_mut().zip(&self.gain).zip(&self.shift) {
                *v = (*v - mean) * scale * gain + shift;
            }
        }
        y
    }
}

/// The trained parts.
#[derive(Debug)]
pub(crate) struct TaggerWeights {
    embeddings: Vec<HashEmbedding>,
    mix: MaxoutLayer,
    encoder: Vec<MaxoutLayer>,
    output: Linear,
    labels: Vec<String>,
}

impl TaggerWeights {
    pub(crate) fn new(
        embeddings: Vec<HashEmbedding>,
        mix: MaxoutLayer,
        encoder: Vec<MaxoutLayer>,
        output: Linear,
        labels: Vec<String>,
    ) -> Result<Self, String> {
        let width = mix.gain.len();
        let embedded: usize = embeddings.iter().map(|e| e.width).sum();
        let fits = embeddings.len() == FEATURES
            && mix.linear.inputs == embedded
            && encoder.iter().all(|l| l.linear.inputs == 3 * width && l.gain.len() == width)
            && output.inputs == width
            && output.outputs() == labels.len();
        if !fits {
            return Err("the layers don't fit together".to_owned());
        }
        Ok(Self { embeddings, mix, encoder, output, labels })
    }
}

/// What the network sees of one token.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TokenFeatures {
    /// Normal form (lower case, spelled-out contractions, plain quotes).
    pub norm: String,
    /// Letters as `X`/`x`, digits as `d`, runs cut after four.
    pub shape: String,
    /// Values looked up in the six embeddings.
    pub values: [u64; FEATURES],
}

/// Tags tokens with the Penn Treebank tag set.
#[derive(Debug)]
pub(crate) struct Tagger {
    weights: TaggerWeights,
}

impl Tagger {
    pub(crate) fn new(weights: TaggerWeights) -> Self {
        Self { weights }
    }

    /// The six features of a token.
    pub(crate) fn features(vocabulary: &Vocabulary, word: &Word) -> TokenFeatures {
        let norm = word.norm.clone().unwrap_or_else(|| vocabulary.norm(&word.text));
        let shape = word_shape(&word.text);
        let prefix: String = word.text.chars().take(1).collect();
        let count = word.text.chars().count();
        let suffix: String = word.text.chars().skip(count.saturating_sub(3)).collect();
        let values = [
            vocabulary.id(&norm),
            vocabulary.id(&prefix),
            vocabulary.id(&suffix),
            vocabulary.id(&shape),
            u64::from(word.space_after),
            u64::from(!word.text.is_empty() && word.text.chars().all(is_space)),
        ];
        TokenFeatures { norm, shape, values }
    }

    /// Rows of embedding number `column` for these features; zeros if there is no such embedding.
    pub(crate) fn rows(&self, values: [u64; FEATURES], column: usize) -> [u32; 4] {
        match (self.weights.embeddings.get(column), values.get(column)) {
            (Some(embedding), Some(&value)) => embedding.rows(value, FIRST_SEED + column as u32),
            _ => [0; 4],
        }
    }

    /// Token vectors, `[n, 96]`.
    pub(crate) fn vectors(&self, features: &[[u64; FEATURES]]) -> Vec<f32> {
        let weights = &self.weights;
        if features.is_empty() {
            return Vec::new();
        }
        let embedded_width = weights.mix.linear.inputs;
        let mut embedded = vec![0.0; features.len() * embedded_width]; // [n, 576]
        for (values, row) in features.iter().zip(embedded.chunks_exact_mut(embedded_width)) {
            let mut row = row;
            for ((embedding, &value), seed) in weights.embeddings.iter().zip(values).zip(FIRST_SEED..) {
                let (out, rest) = row.split_at_mut(embedding.width);
                embedding.add(value, seed, out);
                row = rest;
            }
        }
        let width = weights.mix.gain.len();
        let mut x = vec![0.0; (features.len() + 2 * PADDING) * width]; // [n + 8, 96]
        x[PADDING * width..(PADDING + features.len()) * width].copy_from_slice(&weights.mix.forward(&embedded));
        for layer in &weights.encoder {
            let y = layer.forward(&windows(&x, width));
            for (x, y) in x.iter_mut().zip(y) {
                *x += y;
            }
        }
        x[PADDING * width..(PADDING + features.len()) * width].to_vec()
    }

    /// Scores of every label, `[n, labels]`.
    pub(crate) fn scores(&self, vectors: &[f32]) -> Vec<f32> {
        self.weights.output.forward(vectors)
    }

    /// Best label of each row of scores.
    pub(crate) fn best<'a>(&'a self, scores: &'a [f32]) -> impl Iterator<Item = &'a str> + 'a {
        scores.chunks_exact(self.weights.output.outputs()).map(|row| {
            let best = row.iter().enumerate().fold(0, |best, (i, &score)| if score > row[best] { i } else { best });
            self.weights.labels[best].as_str()
        })
    }
}

/// Each row with its neighbours: `[n, width]` → `[n, 3 · width]`, zeros beyond the ends.
fn windows(x: &[f32], width: usize) -> Vec<f32> {
    let n = x.len() / width;
    let mut out = vec![0.0; n * 3 * width];
    for (i, out) in out.chunks_exact_mut(3 * width).enumerate() {
        let first = i.saturating_sub(1);
        let last = (i + 2).min(n);
        let skip = (first + 1 - i) * width;
        out[skip..skip + (last - first) * width].copy_from_slice(&x[first * width..last * width]);
    }
    out
}

/// spaCy's shape of a word (`lex_attrs.py: word_shape`).
fn word_shape(text: &str) -> String {
    if text.chars().count() >= LONG_WORD {
        return "LONG".to_owned();
    }
    let mut shape = String::with_capacity(text.len());
    let mut last = None;
    let mut run = 0;
    for c in text.chars() {
        let class = if is_alpha(c) {
            if c.is_uppercase() { 'X' } else { 'x' }
        } else if digit_value(c).is_some() {
            'd'
        } else {
            c
        };
        run = if last == Some(class) { run + 1 } else { 0 };
        last = Some(class);
        if run < 4 {
            shape.push(class);
        }
    }
    shape
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shapes() {
        assert_eq!(word_shape("CO2"), "XXd");
        assert_eq!(word_shape("Smithson's"), "Xxxxx'x");
        assert_eq!(word_shape("12345678"), "dddd");
        assert_eq!(word_shape("“"), "“");
        assert_eq!(word_shape(&"a".repeat(100)), "LONG");
    }

    #[test]
    fn windows_have_zeros_at_the_ends() {
        assert_eq!(windows(&[1.0, 2.0, 3.0], 1), [0.0, 1.0, 2.0, 1.0, 2.0, 3.0, 2.0, 3.0, 0.0]);
        assert_eq!(windows(&[1.0, 2.0], 2), [0.0, 0.0, 1.0, 2.0, 0.0, 0.0]);
    }

    #[test]
    fn linear_rows_beyond_a_block() {
        let layer = Linear::new(&[1.0, 2.0, 0.5, -1.0], vec![0.0, 1.0], 2, 2).unwrap();
        let x: Vec<f32> = (0..10).map(|v| v as f32).collect();
        let y = layer.forward(&x);
        assert_eq!(y.len(), 10);
        assert_eq!(&y[8..], &[8.0 + 18.0, 4.0 - 9.0 + 1.0]);
    }
}
