//! Times as they are written in subtitles.

/// `[HH:]MM:SS<mark>mmm`, milliseconds rounded half to even. Hours are left out while they are 0, unless `always_hours`.
/// Negative and undefined times are written as 0. Source: openai/whisper `whisper/utils.py: format_timestamp`.
#[must_use]
pub fn format_timestamp(seconds: f64, always_hours: bool, decimal_mark: char) -> String {
    let milliseconds = (seconds * 1000.0).round_ties_even() as u64;
    let (hours, rest) = (milliseconds / 3_600_000, milliseconds % 3_600_000);
    let (minutes, rest) = (rest / 60_000, rest % 60_000);
    let (seconds, milliseconds) = (rest / 1000, rest % 1000);
    let hours = if always_hours || hours > 0 { format!("{hours:02}:") } else { String::new() };
    format!("{hours}{minutes:02}:{seconds:02}{decimal_mark}{milliseconds:03}")
}

#[cfg(test)]
mod tests {
    use super::format_timestamp;

    #[test]
    fn odd_times_do_no_harm() {
        assert_eq!(format_timestamp(-1.0, false, '.'), "00:00.000");
        assert_eq!(format_timestamp(f64::NAN, true, ','), "00:00:00,000");
    }
}
