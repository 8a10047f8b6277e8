//! Dynamic time warping.

/// Where a cell's path came from.
#[derive(Clone, Copy)]
enum From {
    Diagonal,
    Up,
    Left,
}

/// The cheapest monotonic path through a cost matrix `[rows, columns]`, as (row, column) from first to last.
///
/// Costs add up in 32 bits. A step is diagonal or up only where that is strictly cheapest, otherwise left.
/// Source: openai/whisper `whisper/timing.py: dtw_cpu, backtrace`.
#[must_use]
pub fn dtw(cost: &[f32], rows: usize, columns: usize) -> Vec<(usize, usize)> {
    if rows == 0 || columns == 0 || cost.len() < rows * columns {
        return Vec::new();
    }
    let mut from = vec![From::Left; rows * columns];
    // Accumulated costs of the row above and of this one; column 0 is the border before the matrix.
    let mut above = vec![f32::INFINITY; columns + 1];
    above[0] = 0.0;
    let mut here = vec![f32::INFINITY; columns + 1];
    for i in 0..rows {
        here[0] = f32::INFINITY;
        for j in 0..columns {
            let (diagonal, up, left) = (above[j], above[j + 1], here[j]);
            let (cheapest, step) = if diagonal < up && diagonal < left {
                (diagonal, From::Diagonal)
            } else if up < diagonal && up < left {
                (up, From::Up)
            } else {
                (left, From::Left)
            };
            here[j + 1] = cost[i * columns + j] + cheapest;
            from[i * columns + j] = step;
        }
        std::mem::swap(&mut above, &mut here);
    }

    let (mut i, mut j) = (rows - 1, columns - 1);
    let mut path = vec![(i, j)];
    while i > 0 || j > 0 {
        // Along the edges there is only one way.
        let step = match (i, j) {
            (0, _) => From::Left,
            (_, 0) => From::Up,
            _ => from[i * columns + j],
        };
        match step {
            From::Diagonal => (i, j) = (i - 1, j - 1),
            From::Up => i -= 1,
            From::Left => j -= 1,
        }
        path.push((i, j));
    }
    path.reverse();
    path
}

#[cfg(test)]
mod tests {
    use super::dtw;

    #[test]
    fn the_path_follows_the_cheap_cells() {
        #[rustfmt::skip]
        let cost = [
            0.0, 0.0, 9.0, 9.0,
            9.0, 9.0, 0.0, 9.0,
            9.0, 9.0, 9.0, 0.0,
        ];
        assert_eq!(dtw(&cost, 3, 4), [(0, 0), (0, 1), (1, 2), (2, 3)]);
    }

    #[test]
    fn nothing_to_align_gives_no_path() {
        assert!(dtw(&[], 0, 5).is_empty());
        assert!(dtw(&[], 5, 0).is_empty());
        assert_eq!(dtw(&[f32::NAN; 4], 2, 2).len(), 3);
    }
}
