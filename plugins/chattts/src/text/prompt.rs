//! The control tokens around a text.
//!
//! Source: ChatTTS `model/speaker.py: decorate_code_prompts, decorate_text_prompts`; Xinference `model/audio/chattts.py` (speed).

/// Tokens that [`decorate_code`] adds and that a text must not bring.
const RESERVED: [&str; 3] = ["[Stts]", "[spk_emb]", "[empty_spk]"];
/// Steps of speed for each unit: a speed of 1 is `[speed_5]`.
const SPEED_STEPS: f64 = 5.0;
/// The last speed that there is a token for.
const FASTEST: u32 = 9;

/// The prompt of the pass that makes sound: `transcript` is what the audio prompt says, `prompt` are tags like `[speed_5]`.
pub fn decorate_code(text: &str, prompt: &str, transcript: Option<&str>, has_speaker: bool) -> String {
    let text = RESERVED.iter().fold(text.to_owned(), |text, token| text.replace(token, ""));
    let speaker = if has_speaker { "[spk_emb]" } else { "[empty_spk]" };
    format!("[Stts]{speaker}{}{prompt}{}[Ptts]", transcript.unwrap_or_default(), text.trim())
}

/// The prompt of the pass that adds breaks, laughter and fillers: `prompt` are tags like `[oral_2][laugh_0][break_6]`.
pub fn decorate_text(text: &str, prompt: &str) -> String {
    format!("[Sbreak]{text}[Pbreak]{prompt}")
}

/// The step of a request's speed, 1 being normal.
pub fn speed_step(speed: f64) -> u32 {
    (speed * SPEED_STEPS) as u32
}

/// The tag of a request's speed: `[speed_0]` to `[speed_9]`.
pub fn speed_prompt(speed: f64) -> String {
    format!("[speed_{}]", speed_step(speed).min(FASTEST))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn prompts() {
        assert_eq!(
            decorate_code(" [Stts]好。[spk_emb] ", "[speed_5]", None, false),
            "[Stts][empty_spk][speed_5]好。[Ptts]"
        );
        assert_eq!(
            decorate_code("[empty_spk]x", "[speed_5]", Some("你好。"), true),
            "[Stts][spk_emb]你好。[speed_5]x[Ptts]"
        );
        assert_eq!(decorate_text("好。", "[oral_2]"), "[Sbreak]好。[Pbreak][oral_2]");
    }

    #[test]
    fn speeds() {
        for (speed, prompt) in [
            (0.1, "[speed_0]"),
            (0.99, "[speed_4]"),
            (1.0, "[speed_5]"),
            (1.9999, "[speed_9]"),
            (3.0, "[speed_9]"),
            (f64::INFINITY, "[speed_9]"),
            (-1.0, "[speed_0]"),
            (f64::NAN, "[speed_0]"),
        ] {
            assert_eq!(speed_prompt(speed), prompt, "{speed}");
        }
        assert_eq!(speed_step(3.0), 15);
    }
}
