//! The smallest eigenvalues of a symmetric matrix, and their vectors.
//!
//! Small matrices: Jacobi rotations. Large ones: subspace iteration with a Chebyshev filter (Zhou, Saad, Tiago, Chelikowsky 2006,
//! "Self-consistent-field calculations using Chebyshev-filtered subspace iteration"), which needs only products of the sparse matrix.

/// Larger matrices are not treated as dense ones.
const DENSE: usize = 160;
/// Vectors that are iterated beyond those that are wanted.
const GUARDS: usize = 12;
/// Degree of the filter.
const DEGREE: usize = 16;
/// Iterations at most; most matrices need a handful.
const MOST_ITERATIONS: usize = 200;
/// Residual relative to the largest eigenvalue at which a vector counts as found.
const TOLERANCE: f64 = 1e-9;

/// A symmetric matrix, row by row: columns and values.
#[derive(Clone, Debug, Default)]
pub(super) struct Sparse {
    pub(super) rows: Vec<Vec<(usize, f64)>>,
}

impl Sparse {
    fn len(&self) -> usize {
        self.rows.len()
    }

    fn times(&self, x: &[f64]) -> Vec<f64> {
        self.rows.iter().map(|row| row.iter().map(|&(column, value)| value * x[column]).sum()).collect()
    }

    /// No eigenvalue is larger (Gershgorin).
    fn bound(&self) -> f64 {
        self.rows.iter().map(|row| row.iter().map(|(_, value)| value.abs()).sum::<f64>()).fold(0.0, f64::max)
    }
}

/// The `count` smallest eigenvalues, ascending, and a vector for each.
pub(super) fn smallest(matrix: &Sparse, count: usize) -> (Vec<f64>, Vec<Vec<f64>>) {
    let n = matrix.len();
    let count = count.min(n);
    if n <= DENSE {
        let mut dense = vec![vec![0.0; n]; n];
        for (to, row) in dense.iter_mut().zip(&matrix.rows) {
            for &(column, value) in row {
                to[column] += value;
            }
        }
        let (values, mut vectors) = jacobi(dense);
        vectors.truncate(count);
        return (values[..count].to_vec(), vectors);
    }
    let bound = matrix.bound().max(f64::MIN_POSITIVE);
    let mut random = 0x9E37_79B9_7F4A_7C15_u64;
    let mut block: Vec<Vec<f64>> =
        (0..(count + GUARDS).min(n)).map(|_| (0..n).map(|_| uniform(&mut random)).collect()).collect();
    let mut values = Vec::new();
    for _ in 0..MOST_ITERATIONS {
        orthonormalise(&mut block);
        let images: Vec<Vec<f64>> = block.iter().map(|vector| matrix.times(vector)).collect();
        let projected: Vec<Vec<f64>> = block.iter().map(|a| images.iter().map(|b| dot(a, b)).collect()).collect();
        let rotation;
        (values, rotation) = jacobi(projected);
        let rotate = |vectors: &[Vec<f64>]| -> Vec<Vec<f64>> {
            rotation.iter().map(|weights| combine(vectors, weights)).collect()
        };
        let images = rotate(&images);
        block = rotate(&block);
        let is_found = (0..count).all(|i| {
            let residual: f64 = images[i].iter().zip(&block[i]).map(|(a, v)| (a - values[i] * v).powi(2)).sum();
            residual.sqrt() <= TOLERANCE * bound
        });
        if is_found {
            break;
        }
        // What lies above the block's largest value is damped, what lies below grows.
        let cut = values.last().copied().unwrap_or(0.0).clamp(bound * 1e-6, bound * 0.95);
        block = block.iter().map(|vector| filter(matrix, vector, cut, bound)).collect();
    }
    values.truncate(count);
    block.truncate(count);
    (values, block)
}

/// Chebyshev's polynomial of the matrix, scaled so that `low..high` lies within −1…1, times a vector.
fn filter(matrix: &Sparse, vector: &[f64], low: f64, high: f64) -> Vec<f64> {
    let (half, middle) = ((high - low) / 2.0, f64::midpoint(high, low));
    let step = |x: &[f64]| -> Vec<f64> {
        matrix.times(x).iter().zip(x).map(|(image, x)| (image - middle * x) / half).collect()
    };
    let mut before = vector.to_vec();
    let mut now = step(&before);
    for _ in 1..DEGREE {
        let next = step(&now).iter().zip(&before).map(|(image, before)| 2.0 * image - before).collect();
        before = std::mem::replace(&mut now, next);
    }
    now
}

/// Makes vectors perpendicular and of length 1. A vector that depends on others is replaced by one of the axes.
fn orthonormalise(block: &mut [Vec<f64>]) {
    for i in 0..block.len() {
        let (done, rest) = block.split_at_mut(i);
        let vector = &mut rest[0];
        for attempt in 0..=vector.len() {
            let before = norm(vector);
            for _ in 0..2 {
                for other in &*done {
                    let share = dot(vector, other);
                    vector.iter_mut().zip(other).for_each(|(v, o)| *v -= share * o);
                }
            }
            let after = norm(vector);
            if after > 1e-10 * before && after.is_finite() && after > 0.0 {
                vector.iter_mut().for_each(|v| *v /= after);
                break;
            }
            vector.fill(0.0);
            let axis = (i + attempt) % vector.len();
            vector[axis] = 1.0;
        }
    }
}

fn combine(vectors: &[Vec<f64>], weights: &[f64]) -> Vec<f64> {
    let mut sum = vec![0.0; vectors.first().map_or(0, Vec::len)];
    for (vector, weight) in vectors.iter().zip(weights) {
        sum.iter_mut().zip(vector).for_each(|(sum, v)| *sum += weight * v);
    }
    sum
}

fn dot(a: &[f64], b: &[f64]) -> f64 {
    a.iter().zip(b).map(|(a, b)| a * b).sum()
}

fn norm(a: &[f64]) -> f64 {
    dot(a, a).sqrt()
}

/// −1…1, by xorshift.
fn uniform(state: &mut u64) -> f64 {
    *state ^= *state << 13;
    *state ^= *state >> 7;
    *state ^= *state << 17;
    (*state >> 11) as f64 / (1_u64 << 52) as f64 - 1.0
}

/// All eigenvalues of a dense symmetric matrix, ascending, and a vector for each.
fn jacobi(mut a: Vec<Vec<f64>>) -> (Vec<f64>, Vec<Vec<f64>>) {
    let n = a.len();
    let mut vectors: Vec<Vec<f64>> = (0..n).map(|i| (0..n).map(|j| f64::from(u8::from(i == j))).collect()).collect();
    let total: f64 = a.iter().flatten().map(|value| value * value).sum();
    for _ in 0..100 {
        let off: f64 = (0..n).map(|i| a[i][i + 1..].iter().map(|value| value * value).sum::<f64>()).sum();
        if off <= 1e-30 * total {
            break;
        }
        for p in 0..n {
            for q in p + 1..n {
                if a[p][q] == 0.0 {
                    continue;
                }
                let theta = (a[q][q] - a[p][p]) / (2.0 * a[p][q]);
                let t = theta.signum() / (theta.abs() + (theta * theta + 1.0).sqrt());
                let t = if theta == 0.0 { 1.0 } else { t };
                let c = 1.0 / (t * t + 1.0).sqrt();
                let s = t * c;
                for row in &mut a {
                    let (x, y) = (row[p], row[q]);
                    row[p] = c * x - s * y;
                    row[q] = s * x + c * y;
                }
                let (upper, lower) = a.split_at_mut(q);
                turn(&mut upper[p], &mut lower[0], c, s);
                let (upper, lower) = vectors.split_at_mut(q);
                turn(&mut upper[p], &mut lower[0], c, s);
            }
        }
    }
    let mut order: Vec<usize> = (0..n).collect();
    order.sort_by(|&i, &j| a[i][i].total_cmp(&a[j][j]));
    (order.iter().map(|&i| a[i][i]).collect(), order.iter().map(|&i| vectors[i].clone()).collect())
}

fn turn(p: &mut [f64], q: &mut [f64], c: f64, s: f64) {
    for (x, y) in p.iter_mut().zip(q) {
        (*x, *y) = (c * *x - s * *y, s * *x + c * *y);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A chain: eigenvalues are 2 − 2 cos(πk / n).
    fn chain(n: usize) -> Sparse {
        let row = |i: usize| {
            let mut row = vec![(i, if i == 0 || i + 1 == n { 1.0 } else { 2.0 })];
            if i > 0 {
                row.push((i - 1, -1.0));
            }
            if i + 1 < n {
                row.push((i + 1, -1.0));
            }
            row
        };
        Sparse { rows: (0..n).map(row).collect() }
    }

    #[test]
    fn eigenvalues_of_a_chain_are_found_either_way() {
        for n in [40, 400] {
            let matrix = chain(n);
            let (values, vectors) = smallest(&matrix, 6);
            for (k, (value, vector)) in values.iter().zip(&vectors).enumerate() {
                let want = 2.0 - 2.0 * (std::f64::consts::PI * k as f64 / n as f64).cos();
                assert!((value - want).abs() < 1e-7, "{n} {k}: {value} {want}");
                let image = matrix.times(vector);
                assert!(image.iter().zip(vector).all(|(a, v)| (a - value * v).abs() < 1e-6));
            }
        }
    }

    #[test]
    fn pieces_that_hang_apart_have_an_eigenvalue_of_zero_each() {
        let mut matrix = chain(100);
        for piece in 1..3 {
            let shifted = chain(100)
                .rows
                .into_iter()
                .map(|row| row.into_iter().map(|(column, value)| (column + 100 * piece, value)).collect());
            matrix.rows.extend(shifted);
        }
        let (values, _) = smallest(&matrix, 4);
        assert!(values[..3].iter().all(|value| value.abs() < 1e-8), "{values:?}");
        assert!(values[3] > 1e-5);
    }
}
