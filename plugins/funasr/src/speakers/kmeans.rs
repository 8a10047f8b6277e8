//! k-means, from several starts that are always the same.

/// Starts.
const STARTS: u64 = 10;
/// Rounds of a start at most.
const MOST_ROUNDS: usize = 300;

/// The cluster of each point, 0…`k` − 1: of several starts the one with the smallest sum of squared distances.
pub(super) fn k_means(points: &[Vec<f64>], k: usize) -> Vec<usize> {
    let k = k.clamp(1, points.len().max(1));
    if k == 1 || points.is_empty() {
        return vec![0; points.len()];
    }
    let runs = (0..STARTS).map(|seed| run(points, k, seed));
    runs.min_by(|a, b| a.1.total_cmp(&b.1)).map_or_else(Vec::new, |(labels, _)| labels)
}

fn run(points: &[Vec<f64>], k: usize, seed: u64) -> (Vec<usize>, f64) {
    let mut centres = seeds(points, k, seed);
    let mut labels = vec![0; points.len()];
    let mut spread = f64::INFINITY;
    for _ in 0..MOST_ROUNDS {
        let mut sum = 0.0;
        for (label, point) in labels.iter_mut().zip(points) {
            let (nearest, distance) = nearest(point, &centres);
            *label = nearest;
            sum += distance;
        }
        if sum >= spread {
            break;
        }
        spread = sum;
        for (number, centre) in centres.iter_mut().enumerate() {
            let members: Vec<&Vec<f64>> =
                points.iter().zip(&labels).filter(|(_, l)| **l == number).map(|(p, _)| p).collect();
            if members.is_empty() {
                continue;
            }
            for (i, value) in centre.iter_mut().enumerate() {
                *value = members.iter().map(|member| member[i]).sum::<f64>() / members.len() as f64;
            }
        }
    }
    (labels, spread)
}

/// k-means++: each start is chosen with a chance that grows with its squared distance to the others.
fn seeds(points: &[Vec<f64>], k: usize, seed: u64) -> Vec<Vec<f64>> {
    let mut state = seed.wrapping_mul(0x9E37_79B9_7F4A_7C15).wrapping_add(0xD1B5_4A32_D192_ED03);
    let mut chance = || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        (state >> 11) as f64 / (1_u64 << 53) as f64
    };
    let first = (chance() * points.len() as f64) as usize;
    let mut centres = vec![points[first.min(points.len() - 1)].clone()];
    let mut distances: Vec<f64> = points.iter().map(|point| squared(point, &centres[0])).collect();
    while centres.len() < k {
        let mut left = chance() * distances.iter().sum::<f64>();
        let next = distances.iter().position(|distance| {
            left -= distance;
            left < 0.0
        });
        let centre = points[next.unwrap_or(points.len() - 1)].clone();
        for (distance, point) in distances.iter_mut().zip(points) {
            *distance = distance.min(squared(point, &centre));
        }
        centres.push(centre);
    }
    centres
}

fn nearest(point: &[f64], centres: &[Vec<f64>]) -> (usize, f64) {
    let distances = centres.iter().map(|centre| squared(point, centre)).enumerate();
    distances.min_by(|a, b| a.1.total_cmp(&b.1)).unwrap_or((0, 0.0))
}

fn squared(a: &[f64], b: &[f64]) -> f64 {
    a.iter().zip(b).map(|(a, b)| (a - b).powi(2)).sum()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn clouds_are_told_apart() {
        let points: Vec<Vec<f64>> = (0..30).map(|i| vec![f64::from(i % 3) * 10.0 + f64::from(i) * 0.01]).collect();
        let labels = k_means(&points, 3);
        assert!((0..30).all(|i| labels[i] == labels[i % 3]));
        assert_ne!(labels[0], labels[1]);
        assert_eq!(k_means(&points[..2], 5).len(), 2);
        assert!(k_means(&[], 2).is_empty());
    }
}
