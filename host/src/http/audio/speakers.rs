//! Who speaks: the labels that callers see for the ones that a model gives.

/// Turns a model's labels (`0`, `spk1`, …) into `A`, `B`, … in the order in which they speak. Names that the caller made
/// known stay.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Speakers {
    known: Vec<String>,
    /// The model's labels and ours.
    labels: Vec<(String, String)>,
    /// Who spoke last.
    last: Option<String>,
    /// Letters given away.
    letters: usize,
}

impl Speakers {
    /// Nobody has spoken; `known` are the names that the caller gave.
    pub(crate) fn new(known: Vec<String>) -> Self {
        Self { known, ..Self::default() }
    }

    /// The label for the speaker that the model calls `given`. A segment that the model can't attribute is of whoever
    /// spoke last.
    pub(crate) fn label(&mut self, given: Option<&str>) -> String {
        let label = match (given.map(str::trim).filter(|given| !given.is_empty()), &self.last) {
            (None, Some(last)) => return last.clone(),
            (Some(name), _) if self.known.iter().any(|known| known == name) => name.to_owned(),
            (given, _) => self.letter_of(given.unwrap_or_default()),
        };
        self.last = Some(label.clone());
        label
    }

    fn letter_of(&mut self, given: &str) -> String {
        if let Some((_, label)) = self.labels.iter().find(|(theirs, _)| theirs == given) {
            return label.clone();
        }
        let label = loop {
            let label = letters(self.letters);
            self.letters += 1;
            // A caller may call somebody "A".
            if !self.known.contains(&label) {
                break label;
            }
        };
        self.labels.push((given.to_owned(), label.clone()));
        label
    }
}

/// A … Z, AA, AB, …
fn letters(mut number: usize) -> String {
    let mut reversed = Vec::new();
    loop {
        reversed.push(char::from(b'A' + (number % 26) as u8));
        if number < 26 {
            return reversed.into_iter().rev().collect();
        }
        number = number / 26 - 1;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn letters_in_the_order_of_speaking() {
        let mut speakers = Speakers::new(vec!["Ann".into(), "B".into()]);
        let given = [Some("3"), Some("1"), None, Some("Ann"), Some("3"), Some(" "), Some("0")];
        let labels = given.map(|given| speakers.label(given));
        assert_eq!(labels, ["A", "C", "C", "Ann", "A", "A", "D"]);
        assert_eq!(Speakers::default().label(None), "A");
    }

    #[test]
    fn more_than_the_alphabet() {
        assert_eq!([0, 25, 26, 51, 52, 701, 702].map(letters), ["A", "Z", "AA", "AZ", "BA", "ZZ", "AAA"]);
    }
}
