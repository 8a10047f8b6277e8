//! The few things about web addresses that downloads need: origin, file name, relative redirects, and text that is safe to show.

use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};

/// Scheme, host and port, e.g. `https://example.org:8443`; `None` when it is no http(s) address.
pub(crate) fn origin(url: &str) -> Option<&str> {
    let rest = strip_scheme(url)?;
    let scheme = url.len() - rest.len();
    let end = rest.find(['/', '?', '#']).unwrap_or(rest.len());
    (end > 0).then(|| &url[..scheme + end])
}

fn strip_scheme(url: &str) -> Option<&str> {
    url.strip_prefix("https://").or_else(|| url.strip_prefix("http://"))
}

/// Last part of the path, `None` when the path is empty or ends with `/`.
pub(crate) fn file_name(url: &str) -> Option<&str> {
    let path = &url[origin(url)?.len()..];
    let path = path.split(['?', '#']).next()?;
    path.rsplit('/').next().filter(|name| !name.is_empty())
}

/// The address without query and fragment: signed addresses carry keys there.
pub(crate) fn without_secrets(url: &str) -> &str {
    url.split(['?', '#']).next().unwrap_or(url)
}

/// Host name of an address, for messages.
pub(crate) fn host(url: &str) -> &str {
    let authority = origin(url).and_then(strip_scheme).unwrap_or(url);
    authority.rsplit('@').next().unwrap_or(authority)
}

/// Where a `Location` header leads from `base`. `None` for other schemes and for a step from https down to http.
pub(crate) fn resolve(base: &str, location: &str) -> Option<String> {
    let scheme = base.split("//").next()?;
    let target = if strip_scheme(location).is_some() {
        location.to_owned()
    } else if let Some(rest) = location.strip_prefix("//") {
        format!("{scheme}//{rest}")
    } else if location.starts_with('/') {
        format!("{}{location}", origin(base)?)
    } else if location.split(['/', '?', '#']).next()?.contains(':') {
        return None;
    } else {
        let path = without_secrets(base);
        let directory =
            path.rfind('/').filter(|at| *at >= origin(base).map_or(0, str::len)).map_or(path.len(), |at| at + 1);
        let separator = if directory == path.len() && !path.ends_with('/') { "/" } else { "" };
        format!("{}{separator}{location}", &path[..directory])
    };
    let downgrade = base.starts_with("https://") && !target.starts_with("https://");
    (!downgrade && origin(&target).is_some()).then_some(target)
}

/// What isn't `unreserved` (RFC 3986, section 2.3).
const RESERVED: AsciiSet = NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'~');

/// The same without the slash.
const RESERVED_IN_PATH: AsciiSet = RESERVED.remove(b'/');

/// Percent-encodes one part of a path, or, with `keep_slash`, a whole path.
pub(crate) fn encode(text: &str, keep_slash: bool) -> String {
    utf8_percent_encode(text, if keep_slash { &RESERVED_IN_PATH } else { &RESERVED }).to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn origin_and_name() {
        assert_eq!(origin("https://a.b:8/c/d?e"), Some("https://a.b:8"));
        assert_eq!(origin("http://a.b"), Some("http://a.b"));
        assert_eq!(origin("ftp://a.b/c"), None);
        assert_eq!(origin("https://"), None);
        assert_eq!(file_name("https://a.b/c/d.bin?x=1"), Some("d.bin"));
        assert_eq!(file_name("https://a.b/"), None);
        assert_eq!(file_name("https://a.b"), None);
        assert_eq!(host("https://user:secret@a.b/c"), "a.b");
        assert_eq!(without_secrets("https://a.b/c?key=1#x"), "https://a.b/c");
    }

    #[test]
    fn redirects() {
        let base = "https://a.b/c/d?e=1";
        assert_eq!(resolve(base, "https://x.y/z").as_deref(), Some("https://x.y/z"));
        assert_eq!(resolve(base, "//x.y/z").as_deref(), Some("https://x.y/z"));
        assert_eq!(resolve(base, "/z?q").as_deref(), Some("https://a.b/z?q"));
        assert_eq!(resolve(base, "z").as_deref(), Some("https://a.b/c/z"));
        assert_eq!(resolve("https://a.b", "z").as_deref(), Some("https://a.b/z"));
        assert_eq!(resolve(base, "http://x.y/z"), None);
        assert_eq!(resolve(base, "file:///etc/passwd"), None);
        assert_eq!(resolve("http://a.b/c", "http://x.y/z").as_deref(), Some("http://x.y/z"));
    }

    #[test]
    fn encoding() {
        assert_eq!(encode("a b/c#é", true), "a%20b/c%23%C3%A9");
        assert_eq!(encode("feature/x", false), "feature%2Fx");
    }
}
