//! What the command line accepts beyond what clap can parse: Xinference's short options of two letters, options of the
//! endpoint before the command, options of a model among those of `launch`, and Xinference's program names.
//!
//! The words are put in order before clap sees them, by clap's own description of the commands.

use clap::{Arg, Command};
use std::{
    collections::VecDeque,
    ffi::{OsStr, OsString},
    path::Path,
};

/// Short options of two letters and what they stand for, per command; `None` is every command.
const TWO_LETTERS: [(Option<&str>, &str, &str); 12] = [
    (None, "-ak", "--api-key"),
    (Some("launch"), "-en", "--model-engine"),
    (Some("launch"), "-mp", "--model-path"),
    (Some("launch"), "-vp", "--virtual-env-package"),
    (Some("launch"), "-ev", "--env"),
    (Some("launch"), "-lm", "--lora-modules"),
    (Some("launch"), "-ld", "--image-lora-load-kwargs"),
    (Some("launch"), "-fd", "--image-lora-fuse-kwargs"),
    (Some("launch"), "-qc", "--quantization-config"),
    (Some("engine"), "-en", "--model-engine"),
    (Some("serve"), "-MH", "--metrics-exporter-host"),
    (Some("serve"), "-mp", "--metrics-exporter-port"),
];

/// Options that may stand before the command, with a value each.
const OF_THE_ENDPOINT: [&str; 4] = ["--endpoint", "-e", "--api-key", "-ak"];

/// The words of a command line as `command` parses them; the first one is the program.
pub(super) fn in_order(words: impl IntoIterator<Item = OsString>, command: &Command) -> Vec<OsString> {
    let mut words: VecDeque<OsString> = words.into_iter().collect();
    let program = words.pop_front().unwrap_or_else(|| "syrinx".into());
    let mut ordered = vec![program.clone()];

    // Whatever stands before the command and belongs to it.
    let mut early = Vec::new();
    let name = loop {
        let Some(word) = words.front().and_then(|word| word.to_str()) else { break None };
        if !word.starts_with('-') {
            break words.pop_front();
        }
        let takes_value = OF_THE_ENDPOINT.contains(&word);
        if !takes_value && !OF_THE_ENDPOINT.iter().any(|option| is_joined(word, option)) {
            break None;
        }
        early.extend(words.pop_front());
        if takes_value {
            early.extend(words.pop_front());
        }
    };
    let name = match name {
        Some(name) => name,
        None if starts_the_server(&program, &words) => "serve".into(),
        None => {
            ordered.extend(early);
            ordered.extend(words);
            return ordered;
        }
    };
    for word in early.into_iter().rev() {
        words.push_front(word);
    }
    let known = name.to_str().and_then(|name| command.find_subcommand(name));
    ordered.push(name);
    match known {
        Some(known) => ordered.extend(Words::new(known).order(words)),
        None => ordered.extend(words),
    }
    ordered
}

/// Whether a program of this name serves without being told to: `xinference-local`, and `xinference` by itself.
fn starts_the_server(program: &OsStr, words: &VecDeque<OsString>) -> bool {
    let stem = Path::new(program).file_stem().and_then(OsStr::to_str).unwrap_or_default();
    let asks = |word: &OsString| ["-h", "--help", "-v", "-V", "--version"].iter().any(|question| word == question);
    match stem {
        "xinference-local" => !words.iter().any(|word| word == "--version" || word == "-v"),
        "xinference" => !words.iter().any(asks),
        _ => false,
    }
}

/// `--name=value`, or `-xy=value`.
fn is_joined(word: &str, option: &str) -> bool {
    word.strip_prefix(option).is_some_and(|rest| rest.starts_with('='))
}

/// Sorts the words behind a command.
struct Words<'a> {
    command: &'a Command,
    /// Options that the command doesn't know belong to the model.
    has_model_options: bool,
    ordered: Vec<OsString>,
    model_options: Vec<OsString>,
}

impl<'a> Words<'a> {
    fn new(command: &'a Command) -> Self {
        let has_model_options = command.get_name() == "launch";
        Self { command, has_model_options, ordered: Vec::new(), model_options: Vec::new() }
    }

    fn order(mut self, mut words: VecDeque<OsString>) -> Vec<OsString> {
        let mut strays = Vec::new();
        let mut is_named = false;
        while let Some(word) = words.pop_front() {
            if word == "--" {
                if self.has_model_options {
                    self.model_options.extend(words);
                } else {
                    self.ordered.push(word);
                    self.ordered.extend(words);
                }
                break;
            }
            let Some(text) = word.to_str() else {
                self.ordered.push(word);
                continue;
            };
            if let Some(option) = self.option(text) {
                is_named |= option.is_model_name;
                self.ordered.push(option.spelling);
                let following = if option.is_joined { 0 } else { option.values };
                for _ in 0..following {
                    self.ordered.extend(words.pop_front());
                }
            } else if !self.has_model_options || (text.starts_with('-') && !text.starts_with("--")) {
                self.ordered.push(word);
            } else if text.starts_with("--") {
                let is_joined = text.contains('=');
                self.model_options.push(word);
                let value = words.front().and_then(|next| next.to_str());
                if !is_joined && value.is_some_and(|next| !next.starts_with("--") && self.option(next).is_none()) {
                    self.model_options.extend(words.pop_front());
                }
            } else {
                strays.push(word);
            }
        }
        // One name of a model may stand by itself. All else is refused with the model's options, which says what is wrong.
        let mut strays = strays.into_iter();
        if !is_named {
            self.ordered.extend(strays.next());
        }
        self.model_options.extend(strays);
        if !self.model_options.is_empty() {
            self.ordered.push("--".into());
            self.ordered.extend(self.model_options);
        }
        self.ordered
    }

    /// The option of the command that `word` is, if it is one.
    fn option(&self, word: &str) -> Option<Known> {
        let (name, value) = match word.split_once('=') {
            Some((name, value)) => (name, Some(value)),
            None => (word, None),
        };
        let spell = |name: &str| match value {
            Some(value) => format!("{name}={value}").into(),
            None => name.into(),
        };
        let known = |name: &str, arg: &Arg| Known {
            spelling: spell(name),
            values: arg.get_num_args().map_or(0, |range| range.min_values()),
            is_joined: value.is_some(),
            is_model_name: arg.get_id() == "model_name",
        };
        if let Some(long) = name.strip_prefix("--") {
            // Xinference's users write both.
            let long = long.replace('_', "-");
            return Some(known(&format!("--{long}"), self.long(&long)?));
        }
        let here = |of: &Option<&str>| of.is_none_or(|command| command == self.command.get_name());
        if let Some((_, _, long)) = TWO_LETTERS.iter().find(|(of, short, _)| *short == name && here(of)) {
            return Some(known(long, self.long(&long[2..])?));
        }
        let mut letters = word.strip_prefix('-')?.chars();
        let letter = letters.next()?;
        let arg = self.command.get_arguments().find(|arg| arg.get_short() == Some(letter))?;
        let values = arg.get_num_args().map_or(0, |range| range.min_values());
        // `-nNAME` is whole by itself.
        Some(Known {
            spelling: word.into(),
            values,
            is_joined: !letters.as_str().is_empty(),
            is_model_name: arg.get_id() == "model_name",
        })
    }

    fn long(&self, name: &str) -> Option<&'a Arg> {
        self.command
            .get_arguments()
            .find(|arg| arg.get_long() == Some(name) || arg.get_all_aliases().is_some_and(|all| all.contains(&name)))
    }
}

/// An option of a command.
struct Known {
    spelling: OsString,
    /// How many words it takes at least.
    values: usize,
    /// Whether its value is in the same word.
    is_joined: bool,
    is_model_name: bool,
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::CommandFactory as _;

    fn ordered(line: &str) -> String {
        let mut command = crate::cli::Cli::command();
        command.build();
        let words = in_order(line.split(' ').map(OsString::from), &command);
        words.iter().map(|word| word.to_str().unwrap()).collect::<Vec<_>>().join(" ")
    }

    #[test]
    fn words_come_in_order() {
        for (line, expected) in [
            ("syrinx list", "syrinx list"),
            ("syrinx -e http://a:1 list", "syrinx list -e http://a:1"),
            ("syrinx -ak key --endpoint=http://a list --json", "syrinx list --api-key key --endpoint=http://a --json"),
            ("syrinx list -ak=key", "syrinx list --api-key=key"),
            ("syrinx terminate --model_uid x-ak", "syrinx terminate --model-uid x-ak"),
            ("syrinx transcribe -- -ak", "syrinx transcribe -- -ak"),
            ("syrinx --help", "syrinx --help"),
            ("syrinx nonsense -ak x", "syrinx nonsense -ak x"),
            // Model options wherever they stand; a value may begin with one dash.
            (
                "syrinx launch --lang_code z -n Kokoro-82M --gain -3 -t audio",
                "syrinx launch -n Kokoro-82M -t audio -- --lang_code z --gain -3",
            ),
            ("syrinx launch whisper-base --compile -u x", "syrinx launch -u x whisper-base -- --compile"),
            ("syrinx launch m --a=1 --b --c 2", "syrinx launch m -- --a=1 --b --c 2"),
            (
                "syrinx launch -en x -mp /m -vp p -ev K V m",
                "syrinx launch --model-engine x --model-path /m --virtual-env-package p --env K V m",
            ),
            ("syrinx launch --model_path /m --n-gpu none -nm", "syrinx launch --model-path /m --n-gpu none -nm"),
            ("syrinx launch m stray --a 1", "syrinx launch m -- --a 1 stray"),
            ("syrinx launch m -- --endpoint x", "syrinx launch m -- --endpoint x"),
            (
                "syrinx serve -MH 127.0.0.1 -mp 9 -p 0",
                "syrinx serve --metrics-exporter-host 127.0.0.1 --metrics-exporter-port 9 -p 0",
            ),
            ("/usr/bin/xinference-local -H 0.0.0.0 -p 1", "/usr/bin/xinference-local serve -H 0.0.0.0 -p 1"),
            ("xinference-local", "xinference-local serve"),
            ("xinference -H 0.0.0.0", "xinference serve -H 0.0.0.0"),
            ("xinference --help", "xinference --help"),
            ("xinference list", "xinference list"),
        ] {
            assert_eq!(ordered(line), expected, "{line}");
        }
    }
}
