//! Prometheus' text format for what the recorder doesn't hold.

use std::fmt::Write as _;

/// Families of measurements, one after the other.
pub(super) struct Families(String);

impl Families {
    /// Goes on after what the recorder has rendered.
    pub(super) fn after(text: String) -> Self {
        Self(text)
    }

    /// Adds a family: name, what it is for a person, `counter` or `gauge`, and its samples with their labels.
    pub(super) fn add<'a>(
        &mut self,
        name: &str,
        help: &str,
        kind: &str,
        samples: impl IntoIterator<Item = (Vec<(&'a str, String)>, f64)>,
    ) {
        // Writing into a string can't fail.
        let _ = write!(self.0, "# HELP {name} {help}\n# TYPE {name} {kind}\n");
        for (labels, value) in samples {
            let labels: Vec<String> =
                labels.iter().map(|(key, value)| format!("{key}=\"{}\"", escaped(value))).collect();
            let _ = match labels.as_slice() {
                [] => writeln!(self.0, "{name} {value}"),
                labels => writeln!(self.0, "{name}{{{}}} {value}", labels.join(",")),
            };
        }
    }

    /// Adds a gauge without labels.
    pub(super) fn gauge(&mut self, name: &str, help: &str, value: f64) {
        self.add(name, help, "gauge", [(Vec::new(), value)]);
    }

    /// All of it.
    pub(super) fn text(self) -> String {
        self.0
    }
}

fn escaped(value: &str) -> String {
    value.replace('\\', "\\\\").replace('"', "\\\"").replace('\n', "\\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn labels_are_escaped_and_numbers_are_plain() {
        let mut families = Families::after("a 1\n".to_owned());
        families.add("b", "B", "gauge", [(vec![("x", "a\"b\\c\nd".to_owned()), ("y", String::new())], 0.5)]);
        families.gauge("c", "C", 3.0);
        let expected = "a 1\n# HELP b B\n# TYPE b gauge\nb{x=\"a\\\"b\\\\c\\nd\",y=\"\"} 0.5\n\
                        # HELP c C\n# TYPE c gauge\nc 3\n";
        assert_eq!(families.text(), expected);
    }
}
