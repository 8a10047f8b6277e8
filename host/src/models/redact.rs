//! Keeps directories of this machine out of what clients are told.

/// What stands in a path's place.
const REPLACEMENT: &str = "(a path on the server)";

/// `text` without absolute paths, except for those that begin with `known`, which the reader named itself. Addresses of
/// the web stay.
pub(super) fn redacted(text: &str, known: Option<&str>) -> String {
    let mut result = String::with_capacity(text.len());
    for word in text.split_inclusive(|c: char| c.is_whitespace() || "`'\"()<>,;=".contains(c)) {
        let end = word.trim_end_matches(|c: char| c.is_whitespace() || "`'\"()<>,;=".contains(c)).len();
        let (path, rest) = word.split_at(end);
        let is_path = path.starts_with('/') && path[1..].contains('/') || is_windows_path(path);
        let is_known = known.is_some_and(|known| path.starts_with(known));
        result.push_str(if is_path && !is_known { REPLACEMENT } else { path });
        result.push_str(rest);
    }
    result
}

/// `C:\…`
fn is_windows_path(word: &str) -> bool {
    let mut characters = word.chars();
    characters.next().is_some_and(|drive| drive.is_ascii_alphabetic()) && characters.as_str().starts_with(":\\")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_go_and_the_rest_stays() {
        for (text, told) in [
            ("can't read /srv/models/x/model.bin: it is empty", "can't read (a path on the server) it is empty"),
            ("open `/a/b` (see \"/c/d\")", "open `(a path on the server)` (see \"(a path on the server)\")"),
            ("from https://huggingface.co/a/b: 404", "from https://huggingface.co/a/b: 404"),
            ("/mine/x/y lacks config.json", "/mine/x/y lacks config.json"),
            ("a/b and 1/2 and /root", "a/b and 1/2 and /root"),
            ("C:\\models\\x is gone", "(a path on the server) is gone"),
        ] {
            assert_eq!(redacted(text, Some("/mine")), told);
        }
    }
}
