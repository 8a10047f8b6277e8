//! Names of voices and blends.

use std::fmt;
use std::str::FromStr;

/// Most components of a blend.
const MAX_PARTS: usize = 16;

/// A blend that can't be read.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "`{text}` is no voice and no blend of voices ({reason}); a blend looks like `af_heart(2)+af_bella(1)` or `af_heart,af_bella`"
)]
pub struct BlendError {
    /// What was given.
    pub text: String,
    /// What is wrong with it.
    pub reason: String,
}

/// One voice, or several with weights: names joined by `+` or `,`, each with an optional weight in brackets. Without
/// brackets a component weighs 1, so a repeated name weighs more (`kokoro.pipeline:KPipeline.load_voice`).
#[derive(Clone, Debug, PartialEq)]
pub struct VoiceSpec {
    /// Names and weights; not empty, weights positive and finite.
    pub parts: Vec<(String, f32)>,
}

impl FromStr for VoiceSpec {
    type Err = BlendError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let error = |reason: String| BlendError { text: text.to_owned(), reason };
        let mut parts = Vec::new();
        for part in text.split(['+', ',']) {
            let part = part.trim();
            let (name, weight) = match part.split_once('(') {
                None => (part, 1.0),
                Some((name, weight)) => {
                    let number = weight.strip_suffix(')').and_then(|number| number.trim().parse::<f32>().ok());
                    match number {
                        Some(number) if number.is_finite() && number > 0.0 => (name.trim(), number),
                        _ => return Err(error(format!("`({weight}` is no positive weight"))),
                    }
                }
            };
            if name.is_empty() {
                return Err(error("a name is missing".to_owned()));
            }
            parts.push((name.to_owned(), weight));
        }
        if parts.len() > MAX_PARTS {
            return Err(error(format!("more than {MAX_PARTS} components")));
        }
        Ok(VoiceSpec { parts })
    }
}

impl fmt::Display for VoiceSpec {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let [(name, _)] = self.parts.as_slice() {
            return f.write_str(name);
        }
        for (index, (name, weight)) in self.parts.iter().enumerate() {
            write!(f, "{}{name}({weight})", if index == 0 { "" } else { "+" })?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn blends_are_read() {
        let parts = |text: &str| text.parse::<VoiceSpec>().map(|spec| spec.parts);
        assert_eq!(parts("af_heart"), Ok(vec![("af_heart".into(), 1.0)]));
        assert_eq!(parts("a, b"), Ok(vec![("a".into(), 1.0), ("b".into(), 1.0)]));
        assert_eq!(parts("a(2) + b(0.5)"), Ok(vec![("a".into(), 2.0), ("b".into(), 0.5)]));
        for broken in ["", "a+", "+a", "a(0)", "a(-1)", "a(x)", "a(1", "(2)", "a(NaN)", "a(inf)"] {
            assert!(parts(broken).is_err(), "{broken}");
        }
        assert_eq!("a(2)+b".parse::<VoiceSpec>().unwrap().to_string(), "a(2)+b(1)");
    }
}
