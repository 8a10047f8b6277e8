//! Telephone numbers and other rows of digits that are no numbers.

use super::super::Language;
use super::rule::{Found, Read};
use super::words::spelled;

pub(super) const RULES: &[(&str, Read)] = &[
    // Mobile and fixed lines in China, with or without the country.
    (r"(\+?86[- ]?)?(1[3-9][0-9])[- ]?([0-9]{4})[- ]?([0-9]{4})", telephone),
    (r"(\+?86[- ]?)?(0[1-9][0-9]{1,2})-([0-9]{3,4})-?([0-9]{4})", telephone),
    (r"()([48]00)-([0-9]{3,4})-([0-9]{3,4})", telephone),
    // North America.
    (r"(\+?1[-. ])?\(?([2-9][0-9]{2})(?:\) ?|[-. ])([0-9]{3})[-. ]([0-9]{4})", telephone),
    // Elsewhere: a plus and groups of digits.
    (r"(\+[0-9]{1,3})[- ]([0-9]{1,4})[- ]([0-9]{2,4})[- ]([0-9]{2,4}(?:[- ][0-9]{2,4})*)", telephone),
    // A word says that it is a code.
    (
        r"((?:电话|手机|热线|号码|验证码|密码|账号|卡号|编号|邮编|单号|学号|QQ|微信)号?(?:[是为]|[：:])?\s?)([0-9]{3,})",
        code,
    ),
    (r"(?i)(\b(?:code|pin|password|extension|ext\.)(?: is|:)? )([0-9]{3,})", code),
    // Rooms.
    (r"([0-9]{3,4})(室|号房|房间)", room),
    // Several groups: serial numbers.
    (r"[0-9]+(?:-[0-9]+){2,}", serial),
];

/// Groups of digits, with short pauses between them. In Chinese a one is 幺 on the telephone.
fn groups<'t>(groups: impl Iterator<Item = &'t str>, language: Language) -> String {
    let digits = |group: &str| group.chars().filter(char::is_ascii_digit).collect::<String>();
    let groups: Vec<String> =
        groups.map(digits).filter(|group| !group.is_empty()).map(|g| spelled(&g, language)).collect();
    match language {
        Language::Chinese => groups.join("，").replace('一', "幺"),
        Language::English => groups.join(", "),
    }
}

fn telephone(found: &Found<'_>) -> Option<String> {
    let touches = |c: Option<char>| matches!(c, Some('-' | '/' | '%' | '元'));
    let is_number = found.is_alone() && !touches(found.previous()) && !touches(found.next());
    let plus = if found.group(1).starts_with('+') && !found.is_chinese() { "plus " } else { "" };
    let parts = [1, 2, 3, 4].into_iter().flat_map(|group| found.group(group).split(['-', ' ']));
    is_number.then(|| format!("{plus}{}", groups(parts, found.language)))
}

fn code(found: &Found<'_>) -> Option<String> {
    let ends = found.ends_alone() && found.next() != Some('-');
    ends.then(|| format!("{}{}", found.group(1), spelled(found.group(2), found.language)))
}

fn room(found: &Found<'_>) -> Option<String> {
    found.begins_alone().then(|| format!("{}{}", spelled(found.group(1), found.language), found.group(2)))
}

fn serial(found: &Found<'_>) -> Option<String> {
    found.begins_alone().then(|| groups(found.group(0).split('-'), found.language))
}
