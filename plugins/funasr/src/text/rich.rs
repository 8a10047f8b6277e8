//! The tags that SenseVoice puts around its text: language, emotion, event, and how the text is written.

/// Language tags. Source: FunASR `utils/postprocess_utils.py: lang_dict`.
const LANGUAGES: [&str; 6] = ["zh", "en", "yue", "ja", "ko", "nospeech"];
/// Emotions and the emoji of each. Source: ibid., `emo_dict`.
const EMOTIONS: [(&str, &str); 7] = [
    ("HAPPY", "😊"),
    ("SAD", "😔"),
    ("ANGRY", "😡"),
    ("NEUTRAL", ""),
    ("FEARFUL", "😰"),
    ("DISGUSTED", "🤢"),
    ("SURPRISED", "😮"),
];
/// Events and the emoji of each. Source: ibid., `event_dict`.
const EVENTS: [(&str, &str); 8] = [
    ("BGM", "🎼"),
    ("Speech", ""),
    ("Applause", "👏"),
    ("Laughter", "😀"),
    ("Cry", "😭"),
    ("Sneeze", "🤧"),
    ("Breath", ""),
    ("Cough", "🤧"),
];
/// Tags that vanish. Source: ibid., `emoji_dict`.
const OTHERS: [&str; 7] = ["EMO_UNKNOWN", "Sing", "Speech_Noise", "withitn", "woitn", "GBG", "Event_UNK"];
/// Emoji that stand for emotions and events where text is glued together. Source: ibid., `emo_set`, `event_set`.
const EMOTION_EMOJI: [&str; 6] = ["😊", "😔", "😡", "😰", "🤢", "😮"];
const EVENT_EMOJI: [&str; 6] = ["🎼", "👏", "😀", "😭", "🤧", "😷"];
/// Nobody speaks, and nothing else is known.
const NOTHING_KNOWN: &str = "<|nospeech|><|Event_UNK|>";

/// A text without its tags, and what they said.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Tagged {
    /// The text.
    pub text: String,
    /// Code of the language, if somebody speaks.
    pub language: Option<String>,
    /// The first emotion named, in lower case: `happy`, `neutral`.
    pub emotion: Option<String>,
    /// The first event named, in lower case: `speech`, `bgm`.
    pub event: Option<String>,
}

/// Takes tags out of a text.
#[must_use]
pub fn untag(text: &str) -> Tagged {
    let mut tagged = Tagged::default();
    let mut rest = text;
    while let Some((before, after)) = rest.split_once("<|") {
        tagged.text.push_str(before);
        let Some((tag, after)) = after.split_once("|>") else {
            tagged.text.push_str("<|");
            rest = after;
            continue;
        };
        rest = after;
        if LANGUAGES.contains(&tag) {
            if tag != "nospeech" {
                tagged.language.get_or_insert_with(|| tag.to_owned());
            }
        } else if EMOTIONS.iter().any(|(name, _)| *name == tag) {
            tagged.emotion.get_or_insert_with(|| tag.to_lowercase());
        } else if EVENTS.iter().any(|(name, _)| *name == tag) || matches!(tag, "Sing" | "Speech_Noise") {
            tagged.event.get_or_insert_with(|| tag.to_lowercase());
        }
    }
    tagged.text.push_str(rest);
    tagged.text = tagged.text.trim().to_owned();
    tagged
}

/// The text without anything between `<|` and `|>`, and without spaces around it.
#[must_use]
pub fn without_tags(text: &str) -> String {
    untag(text).text
}

/// The text as Xinference shows it: events and emotions as emoji, other tags gone.
///
/// Source: FunASR `utils/postprocess_utils.py: rich_transcription_postprocess`.
#[must_use]
pub fn with_emoji(text: &str) -> String {
    let mut text = text.replace(NOTHING_KNOWN, "❓");
    for language in LANGUAGES {
        text = text.replace(&tag(language), "<|lang|>");
    }
    let parts: Vec<String> = text.split("<|lang|>").map(part_with_emoji).collect();
    let mut whole = format!(" {}", parts[0]);
    let mut event = first_of(&whole, &EVENT_EMOJI);
    for part in &parts[1..] {
        let mut part = part.as_str();
        if let Some(own) = first_of(part, &EVENT_EMOJI).filter(|own| Some(*own) == event) {
            part = &part[own.len()..];
        }
        if part.is_empty() {
            continue;
        }
        event = first_of(part, &EVENT_EMOJI);
        if let Some(emotion) = last_of(part).filter(|emotion| last_of(&whole) == Some(*emotion)) {
            whole.truncate(whole.len() - emotion.len());
        }
        whole.push_str(part.trim());
    }
    whole.replace("The.", " ").trim().to_owned()
}

/// Glues texts with emoji together, one after the other: what a text begins with after one that begins the same, and what one ends with
/// before one that ends the same, is shown once.
///
/// Source: ibid., where this is done over the texts between language tags.
#[derive(Clone, Debug, Default)]
pub struct Glue {
    event: Option<&'static str>,
}

impl Glue {
    /// Takes what the text before has shown out of `next`, and what `next` shows again out of `before`.
    pub fn join(&mut self, before: Option<&mut String>, next: &mut String) {
        if let Some(own) = first_of(next, &EVENT_EMOJI).filter(|own| Some(*own) == self.event) {
            next.replace_range(..own.len(), "");
        }
        if next.is_empty() {
            return;
        }
        self.event = first_of(next, &EVENT_EMOJI);
        if let Some(before) = before
            && let Some(emotion) = last_of(next).filter(|emotion| last_of(before) == Some(*emotion))
        {
            before.truncate(before.len() - emotion.len());
        }
    }
}

fn tag(name: &str) -> String {
    format!("<|{name}|>")
}

/// What lies between two language tags.
fn part_with_emoji(text: &str) -> String {
    let mut text = text.to_owned();
    let mut count = |name: &str| {
        let tag = tag(name);
        let count = text.matches(&tag).count();
        text = text.replace(&tag, "");
        count
    };
    let emotions = EMOTIONS.map(|(name, emoji)| (name, emoji, count(name)));
    let events = EVENTS.map(|(name, emoji)| (emoji, count(name)));
    for name in OTHERS {
        count(name);
    }
    let neutral = emotions.iter().find(|(name, ..)| *name == "NEUTRAL").map_or(0, |(.., count)| *count);
    let (mut emotion, mut most) = ("", neutral);
    for (_, emoji, count) in emotions {
        if count > most {
            (emotion, most) = (emoji, count);
        }
    }
    for (emoji, count) in events {
        if count > 0 {
            text.insert_str(0, emoji);
        }
    }
    text.push_str(emotion);
    for emoji in EMOTION_EMOJI.iter().chain(&EVENT_EMOJI) {
        text = text.replace(&format!(" {emoji}"), emoji).replace(&format!("{emoji} "), emoji);
    }
    text.trim().to_owned()
}

fn first_of(text: &str, emoji: &[&'static str]) -> Option<&'static str> {
    emoji.iter().copied().find(|emoji| text.starts_with(emoji))
}

fn last_of(text: &str) -> Option<&'static str> {
    EMOTION_EMOJI.iter().copied().find(|emoji| text.ends_with(emoji))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn emoji_of_neighbours_are_shown_once() {
        let texts = ["<|zh|><|HAPPY|><|BGM|>一", "<|zh|><|HAPPY|><|BGM|>二", "<|en|><|SAD|><|Speech|>three"];
        let (mut glue, mut glued) = (Glue::default(), Vec::<String>::new());
        for text in texts {
            let mut next = with_emoji(text);
            glue.join(glued.last_mut(), &mut next);
            glued.push(next);
        }
        assert_eq!(glued, ["🎼一", "二😊", "three😔"]);
        assert_eq!(glued.concat(), with_emoji(&texts.concat()));
    }

    #[test]
    fn tags_become_fields() {
        let tagged = untag("<|zh|><|HAPPY|><|BGM|><|withitn|>你好。");
        assert_eq!(tagged.text, "你好。");
        assert_eq!(tagged.language.as_deref(), Some("zh"));
        assert_eq!(tagged.emotion.as_deref(), Some("happy"));
        assert_eq!(tagged.event.as_deref(), Some("bgm"));
        let silent = untag("<|nospeech|><|EMO_UNKNOWN|><|Event_UNK|><|woitn|>");
        assert_eq!(silent, Tagged::default());
        assert_eq!(untag("a <| b").text, "a <| b");
    }
}
