//! From embeddings to speakers.
//!
//! Source: FunASR `models/campplus/cluster_backend.py` (`ClusterBackend`, `SpectralCluster`).

use super::eigen::{Sparse, smallest};
use super::kmeans::k_means;

/// Fewer chunks than this are one speaker.
const FEWEST: usize = 20;
/// More chunks than this are not compared with each other.
const MOST: usize = 2047;
/// Share of similarities that are kept at least.
const KEPT: f64 = 0.022;
/// Similarities that are kept at least, per chunk.
const FEWEST_KEPT: f64 = 6.0;
/// Speakers at most, when their number is found out.
const MOST_SPEAKERS: usize = 15;
/// Voices that are more similar than this are of the same person. Source: the model card of speech_campplus_sv_zh-cn_16k-common (`thr`).
const KNOWN_SPEAKER: f64 = 0.31;
/// Speakers whose mean embeddings are more similar than this are one.
pub const SAME_SPEAKER: f64 = 0.78;

/// The speaker of each embedding, numbered from 0 without gaps; `speakers` is their number, if it is known.
#[must_use]
pub fn cluster(embeddings: &[Vec<f32>], speakers: Option<usize>) -> Vec<usize> {
    let count = embeddings.len();
    if count < FEWEST {
        return vec![0; count];
    }
    let labels = match speakers {
        _ if count <= MOST => spectral(embeddings, speakers),
        Some(speakers) => k_means(&normalised(embeddings), speakers),
        // The reference's way for so many (UMAP and HDBSCAN) depends on chance; here some chunks find the speakers, and the others join them.
        None => by_sample(embeddings),
    };
    if speakers.is_some() { labels } else { merge_similar(labels, embeddings, SAME_SPEAKER) }
}

/// Spectral clustering: few eigenvectors of the graph of the strongest similarities.
#[must_use]
pub fn spectral(embeddings: &[Vec<f32>], speakers: Option<usize>) -> Vec<usize> {
    let count = embeddings.len();
    let laplacian = laplacian(&normalised(embeddings));
    let wanted = speakers.map_or(MOST_SPEAKERS + 1, |speakers| speakers.clamp(1, count));
    let (values, vectors) = smallest(&laplacian, wanted);
    let speakers = speakers.unwrap_or_else(|| {
        let mut widest = (0, f64::NEG_INFINITY);
        for (i, pair) in values.windows(2).enumerate() {
            if pair[1] - pair[0] > widest.1 {
                widest = (i, pair[1] - pair[0]);
            }
        }
        widest.0 + 1
    });
    let points: Vec<Vec<f64>> =
        (0..count).map(|row| vectors.iter().take(speakers).map(|vector| vector[row]).collect()).collect();
    k_means(&points, speakers)
}

fn normalised(embeddings: &[Vec<f32>]) -> Vec<Vec<f64>> {
    let normal = |embedding: &Vec<f32>| {
        let norm = embedding.iter().map(|&value| f64::from(value).powi(2)).sum::<f64>().sqrt();
        embedding.iter().map(|&value| f64::from(value) / if norm > 0.0 { norm } else { 1.0 }).collect()
    };
    embeddings.iter().map(normal).collect()
}

/// Degrees minus similarities; of each row only the strongest similarities count, symmetrised.
fn laplacian(normalised: &[Vec<f64>]) -> Sparse {
    let count = normalised.len();
    let kept = if count as f64 * KEPT < FEWEST_KEPT { FEWEST_KEPT / count as f64 } else { KEPT };
    let dropped = ((1.0 - kept) * count as f64) as usize;
    let mut rows: Vec<Vec<(usize, f64)>> = vec![Vec::new(); count];
    for (i, a) in normalised.iter().enumerate() {
        let similarity = |b: &Vec<f64>| a.iter().zip(b).map(|(a, b)| a * b).sum::<f64>() as f32;
        let mut row: Vec<(f32, usize)> = normalised.iter().map(similarity).zip(0..).collect();
        row.sort_by(|a, b| a.0.total_cmp(&b.0));
        for &(similarity, j) in row[dropped..].iter().filter(|(_, j)| *j != i) {
            rows[i].push((j, -0.5 * f64::from(similarity)));
            rows[j].push((i, -0.5 * f64::from(similarity)));
        }
    }
    for (i, row) in rows.iter_mut().enumerate() {
        row.sort_by_key(|(column, _)| *column);
        let mut merged: Vec<(usize, f64)> = Vec::with_capacity(row.len() + 1);
        for &(column, value) in row.iter() {
            match merged.last_mut().filter(|(last, _)| *last == column) {
                Some((_, sum)) => *sum += value,
                None => merged.push((column, value)),
            }
        }
        let degree = merged.iter().map(|(_, value)| value.abs()).sum();
        merged.push((i, degree));
        *row = merged;
    }
    Sparse { rows }
}

/// Clusters evenly spaced chunks; the others join the speaker whose mean they resemble most.
fn by_sample(embeddings: &[Vec<f32>]) -> Vec<usize> {
    let count = embeddings.len();
    let sample: Vec<Vec<f32>> = (0..MOST).map(|i| embeddings[i * count / MOST].clone()).collect();
    let labels = merge_similar(spectral(&sample, None), &sample, SAME_SPEAKER);
    let means = normalised_f64(&means(&labels, &sample));
    let nearest = |embedding: Vec<f64>| {
        let similarity = |mean: &Vec<f64>| mean.iter().zip(&embedding).map(|(a, b)| a * b).sum::<f64>();
        let similarities = means.iter().map(similarity).enumerate();
        similarities.max_by(|a, b| a.1.total_cmp(&b.1)).map_or(0, |(label, _)| label)
    };
    normalised(embeddings).into_iter().map(nearest).collect()
}

/// Joins the two most similar speakers again and again while they are at least that similar.
#[must_use]
pub fn merge_similar(mut labels: Vec<usize>, embeddings: &[Vec<f32>], similar: f64) -> Vec<usize> {
    loop {
        let means = normalised_f64(&means(&labels, embeddings));
        let mut closest = (0, 0, f64::NEG_INFINITY);
        for i in 0..means.len() {
            for j in i + 1..means.len() {
                let similarity: f64 = means[i].iter().zip(&means[j]).map(|(a, b)| a * b).sum();
                if similarity > closest.2 {
                    closest = (i, j, similarity);
                }
            }
        }
        let (into, from, similarity) = closest;
        if similarity.is_nan() || similarity < similar {
            return labels;
        }
        for label in &mut labels {
            if *label == from {
                *label = into;
            } else if *label > from {
                *label -= 1;
            }
        }
    }
}

fn means(labels: &[usize], embeddings: &[Vec<f32>]) -> Vec<Vec<f64>> {
    let speakers = labels.iter().max().map_or(0, |most| most + 1);
    let width = embeddings.first().map_or(0, Vec::len);
    let mut sums = vec![vec![0.0; width]; speakers];
    let mut counts = vec![0.0_f64; speakers];
    for (&label, embedding) in labels.iter().zip(embeddings) {
        counts[label] += 1.0;
        sums[label].iter_mut().zip(embedding).for_each(|(sum, &value)| *sum += f64::from(value));
    }
    for (sum, count) in sums.iter_mut().zip(counts) {
        sum.iter_mut().for_each(|value| *value /= count.max(1.0));
    }
    sums
}

fn normalised_f64(vectors: &[Vec<f64>]) -> Vec<Vec<f64>> {
    let normal = |vector: &Vec<f64>| {
        let norm = vector.iter().map(|value| value * value).sum::<f64>().sqrt();
        vector.iter().map(|value| value / if norm > 0.0 { norm } else { 1.0 }).collect()
    };
    vectors.iter().map(normal).collect()
}

/// Names for speakers whose voices are known: chunks of speech that sound like one of `known` (a name and an embedding each) get a label of
/// their own. Where there are enough chunks, whole speakers are compared, each with at most one name; else every chunk by itself.
/// Returns labels and the name of each label.
#[must_use]
pub fn named(
    labels: &[usize],
    embeddings: &[Vec<f32>],
    known: &[(String, Vec<f32>)],
) -> (Vec<usize>, Vec<Option<String>>) {
    let speakers = labels.iter().max().map_or(0, |most| most + 1);
    let voices = normalised(&known.iter().map(|(_, voice)| voice.clone()).collect::<Vec<_>>());
    let similarity = |a: &Vec<f64>, b: &Vec<f64>| a.iter().zip(b).map(|(a, b)| a * b).sum::<f64>();
    let mut names: Vec<Option<String>> = vec![None; speakers];
    if embeddings.len() < FEWEST {
        names.extend(known.iter().map(|(name, _)| Some(name.clone())));
        let label = |(chunk, &label): (Vec<f64>, &usize)| {
            let similarities = voices.iter().map(|voice| similarity(voice, &chunk)).enumerate();
            let best = similarities.max_by(|a, b| a.1.total_cmp(&b.1));
            best.filter(|(_, similar)| *similar >= KNOWN_SPEAKER).map_or(label, |(voice, _)| speakers + voice)
        };
        return (normalised(embeddings).into_iter().zip(labels).map(label).collect(), names);
    }
    let means = normalised_f64(&means(labels, embeddings));
    let mut pairs: Vec<(f64, usize, usize)> = (0..speakers)
        .flat_map(|speaker| (0..voices.len()).map(move |voice| (speaker, voice)))
        .map(|(speaker, voice)| (similarity(&means[speaker], &voices[voice]), speaker, voice))
        .filter(|(similar, ..)| *similar >= KNOWN_SPEAKER)
        .collect();
    pairs.sort_by(|a, b| b.0.total_cmp(&a.0));
    for (_, speaker, voice) in pairs {
        let name = &known[voice].0;
        if names[speaker].is_none() && !names.iter().flatten().any(|taken| taken == name) {
            names[speaker] = Some(name.clone());
        }
    }
    (labels.to_vec(), names)
}

/// Numbers labels in the order in which they appear.
#[must_use]
pub fn renumbered(labels: &[usize]) -> Vec<usize> {
    let mut seen: Vec<usize> = Vec::new();
    labels
        .iter()
        .map(|label| {
            seen.iter().position(|known| known == label).unwrap_or_else(|| {
                seen.push(*label);
                seen.len() - 1
            })
        })
        .collect()
}
