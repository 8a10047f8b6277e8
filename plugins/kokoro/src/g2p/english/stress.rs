//! Stress marks in Kokoro's phoneme alphabet and how capital letters and markup move them (`misaki/en.py: apply_stress`).

/// Mark before a vowel with primary stress.
pub(crate) const PRIMARY: char = 'ˈ';
/// Mark before a vowel with secondary stress.
pub(crate) const SECONDARY: char = 'ˌ';

/// Phonemes that count as vowels, American and British.
pub(crate) fn is_vowel(c: char) -> bool {
    "AIOQWYaiuæɑɒɔəɛɜɪʊʌᵻ".contains(c)
}

/// Phonemes that count as consonants.
pub(crate) fn is_consonant(c: char) -> bool {
    "bdfhjklmnpstvwzðŋɡɹɾʃʒʤʧθ".contains(c)
}

/// Length of a pronunciation for weighing words against each other: diphthongs and affricates count twice.
pub(crate) fn weight(phonemes: &str) -> usize {
    phonemes.chars().map(|c| if "AIOQWYʤʧ".contains(c) { 2 } else { 1 }).sum()
}

/// Shifts the stress of a word: below −1 removes the marks, −1 demotes, 0 to 1 adds a secondary mark to unmarked words, 1 and more promotes,
/// above 1 adds a primary mark.
pub(crate) fn apply(phonemes: &str, shift: Option<f64>) -> String {
    let Some(shift) = shift else {
        return phonemes.to_owned();
    };
    let has_primary = phonemes.contains(PRIMARY);
    let has_secondary = phonemes.contains(SECONDARY);
    let is_unmarked = !has_primary && !has_secondary;
    let one_of = |values: &[f64]| values.contains(&shift);
    if shift < -1.0 {
        phonemes.replace([PRIMARY, SECONDARY], "")
    } else if shift == -1.0 || (one_of(&[0.0, -0.5]) && has_primary) {
        phonemes.replace(SECONDARY, "").replace(PRIMARY, "ˌ")
    } else if one_of(&[0.0, 0.5, 1.0]) && is_unmarked {
        mark_first_vowel(phonemes, SECONDARY)
    } else if shift >= 1.0 && !has_primary && has_secondary {
        phonemes.replace(SECONDARY, "ˈ")
    } else if shift > 1.0 && is_unmarked {
        mark_first_vowel(phonemes, PRIMARY)
    } else {
        phonemes.to_owned()
    }
}

fn mark_first_vowel(phonemes: &str, mark: char) -> String {
    let mut marked = phonemes.to_owned();
    if let Some(at) = phonemes.find(is_vowel) {
        marked.insert(at, mark);
    }
    marked
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shifts() {
        assert_eq!(apply("həlˈO", Some(-2.0)), "həlO");
        assert_eq!(apply("həlˈO", Some(-1.0)), "həlˌO");
        assert_eq!(apply("ˌʌndəɹstˈænd", Some(-0.5)), "ʌndəɹstˌænd");
        assert_eq!(apply("ðə", Some(0.5)), "ðˌə");
        assert_eq!(apply("ðə", Some(2.0)), "ðˈə");
        assert_eq!(apply("ˌɪt", Some(1.0)), "ˈɪt");
        assert_eq!(apply("həlˈO", Some(1.0)), "həlˈO");
        assert_eq!(apply("pst", Some(2.0)), "pst");
        assert_eq!(apply("ðə", None), "ðə");
    }
}
