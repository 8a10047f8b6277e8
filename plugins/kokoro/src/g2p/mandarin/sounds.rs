//! A word's sounds in the v1.1 front end: initial, rime and tone of each character, which tone sandhi changes.

use super::readings::{Reading, Readings};

/// One character's sound. For what has no reading, initial and rime are the text itself and there is no tone.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Sound {
    pub(super) initial: String,
    /// Final in full spelling; `ii` and `iii` are the vowels of zi and zhi, a trailing `R` is erhua.
    pub(super) rime: String,
    /// `1` to `5`.
    pub(super) tone: Option<char>,
}

/// The character that dictionaries give no vowel.
const HUM: char = '嗯';

/// Sounds of a word.
pub(super) fn sounds(readings: &Readings, word: &str) -> Vec<Sound> {
    let mut sounds: Vec<Sound> = readings
        .read(word)
        .into_iter()
        .map(|reading| match reading {
            Reading::Text(text) => Sound { initial: text.to_owned(), rime: text.to_owned(), tone: None },
            Reading::Syllable(syllable) => {
                let rime = syllable.full_final();
                let has_tone = !rime.is_empty();
                let digit = char::from_digit(u32::from(syllable.tone), 10);
                // A hum with a tone mark on its only letter has no initial.
                let is_hum = !has_tone && matches!(syllable.letters.as_str(), "m" | "n" | "ng") && syllable.tone < 5;
                let initial = if is_hum { "" } else { syllable.initial() };
                Sound { initial: initial.to_owned(), rime: rime.to_owned(), tone: digit.filter(|_| has_tone) }
            }
        })
        .collect();
    for (at, _) in word.chars().enumerate().filter(|(_, character)| *character == HUM) {
        if let Some(sound) = sounds.get_mut(at) {
            sound.rime = "n".to_owned();
            sound.tone = Some('2');
        }
    }
    sounds
}

/// Tells the vowels of zi and zhi from that of ji.
pub(super) fn mark_buzzed_vowels(sounds: &mut [Sound]) {
    for sound in sounds.iter_mut().filter(|sound| sound.rime == "i" && sound.tone.is_some()) {
        match sound.initial.as_str() {
            "z" | "c" | "s" => sound.rime = "ii".to_owned(),
            "zh" | "ch" | "sh" | "r" => sound.rime = "iii".to_owned(),
            _ => {}
        }
    }
}

/// Whether all have the third tone.
pub(super) fn all_third(sounds: &[Sound]) -> bool {
    sounds.iter().all(is_third)
}

/// Whether a sound has the third tone.
pub(super) fn is_third(sound: &Sound) -> bool {
    sound.tone == Some('3')
}

/// Sets the tone of a character, if there is one.
pub(super) fn set_tone(sounds: &mut [Sound], at: usize, tone: char) {
    if let Some(sound) = sounds.get_mut(at) {
        sound.tone = Some(tone);
    }
}
