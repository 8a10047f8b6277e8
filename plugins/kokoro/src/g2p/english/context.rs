//! The pass from right to left that gives every piece its phonemes, knowing what sound comes next, and the stress within groups.
//!
//! Reference: `misaki/en.py: G2P.__call__, token_context, resolve_tokens`.

use super::{
    Variant,
    fallback::Fallback,
    lexicon::{Context, Lexicon},
    pieces::{Piece, is_hopeless, is_junk, is_mixed, is_pause, merge},
    stress,
};

/// Longest run of pieces that is looked up together.
const LONGEST_RUN: usize = 64;

/// What pronounces pieces: the lexicon, then the fallback.
pub(crate) struct Pronouncer<'a> {
    pub(crate) lexicon: &'a Lexicon,
    pub(crate) fallback: Option<&'a dyn Fallback>,
    pub(crate) variant: Variant,
}

impl Pronouncer<'_> {
    /// Fills in the phonemes of all groups; pieces that nobody knows keep none.
    pub(crate) fn pronounce(&self, groups: &mut [Vec<Piece<'_>>]) {
        let mut context = Context::default();
        for group in groups.iter_mut().rev() {
            context = match group.as_mut_slice() {
                [piece] => self.single(piece, context),
                group => self.group(group, context),
            };
        }
    }

    fn fall_back(&self, text: &str) -> Option<String> {
        self.fallback.and_then(|fallback| fallback.phonemes(text, self.variant))
    }

    fn single(&self, piece: &mut Piece<'_>, context: Context) -> Context {
        if piece.phonemes.is_none() {
            piece.phonemes = self.lexicon.pronounce(&piece.view(), context).or_else(|| self.fall_back(&piece.text));
        }
        context_before(context, piece.phonemes.as_deref(), piece)
    }

    /// Looks for the longest known run of pieces that ends at the right end, then goes on to the left of it. If a piece is not known at all,
    /// the fallback pronounces the whole group.
    fn group(&self, group: &mut [Piece<'_>], mut context: Context) -> Context {
        let hopeless: Vec<bool> = group.iter().map(|piece| is_hopeless(&piece.text)).collect();
        let (mut left, mut right) = (0, group.len());
        while left < right {
            // Skip runs that can't be known: too long ones, and those with a hopeless piece in them.
            let behind_hopeless = hopeless[left..right].iter().rposition(|&is| is).map_or(left, |at| left + at + 1);
            left = behind_hopeless.max(right.saturating_sub(LONGEST_RUN)).min(right - 1);
            let candidate = match group[left..right].iter().any(Piece::is_settled) {
                true => None,
                false => merge(&group[left..right], None),
            };
            let found = candidate.and_then(|piece| Some((self.lexicon.pronounce(&piece.view(), context)?, piece)));
            if let Some((phonemes, piece)) = found {
                context = context_before(context, Some(&phonemes), &piece);
                for part in &mut group[left + 1..right] {
                    part.phonemes = Some(String::new());
                }
                group[left].phonemes = Some(phonemes);
                right = left;
                left = 0;
            } else if left + 1 < right {
                left += 1;
            } else {
                right -= 1;
                left = 0;
                let piece = &mut group[right];
                if piece.phonemes.is_some() {
                    continue;
                }
                if is_junk(&piece.text) {
                    piece.phonemes = Some(String::new());
                } else if let (Some(fallback), Some(whole)) = (self.fallback, merge(group, None)) {
                    if !fallback.wants_whole(&whole.text) {
                        let piece = &mut group[right];
                        piece.phonemes = fallback.phonemes(&piece.text, self.variant);
                        continue;
                    }
                    let whole = fallback.phonemes(&whole.text, self.variant);
                    for part in group.iter_mut() {
                        part.phonemes = Some(String::new());
                    }
                    group[0].phonemes = whole;
                    return context;
                }
            }
        }
        resolve(group);
        context
    }
}

/// What the word to the left of this one sees. Phonemes without any vowel, consonant or pause leave the next sound as it was.
fn context_before(context: Context, phonemes: Option<&str>, piece: &Piece<'_>) -> Context {
    let first =
        phonemes.unwrap_or_default().chars().find(|&c| stress::is_vowel(c) || stress::is_consonant(c) || is_pause(c));
    Context {
        before_vowel: match first {
            Some(c) if is_pause(c) => None,
            Some(c) => Some(stress::is_vowel(c)),
            None => context.before_vowel,
        },
        before_to: piece.is_word_to(),
    }
}

/// Settles what is left in a group: junk is silent, mixed groups get spaces, in others not more than about half of the pieces keep their
/// primary stress.
fn resolve(group: &mut [Piece<'_>]) {
    let Some(whole) = merge(group, None) else { return };
    let has_spaces = whole.text.contains([' ', '/']) || is_mixed(&whole.text);
    let count = group.len();
    for (i, piece) in group.iter_mut().enumerate() {
        if piece.phonemes.is_none() {
            let mut chars = piece.text.chars();
            let is_single_pause = matches!((chars.next(), chars.next()), (Some(c), None) if is_pause(c));
            if i + 1 == count && is_single_pause {
                piece.phonemes = Some(piece.text.clone());
            } else if is_junk(&piece.text) {
                piece.phonemes = Some(String::new());
            }
        } else if i > 0 {
            piece.prespace = has_spaces;
        }
    }
    if has_spaces {
        return;
    }
    let mut spoken: Vec<(bool, usize, usize)> = group
        .iter()
        .enumerate()
        .filter_map(|(i, piece)| {
            let phonemes = piece.phonemes.as_deref().filter(|p| !p.is_empty())?;
            Some((phonemes.contains(stress::PRIMARY), stress::weight(phonemes), i))
        })
        .collect();
    if let [(_, _, first), (_, _, second)] = spoken[..]
        && group[first].text.chars().count() == 1
    {
        demote(&mut group[second]);
        return;
    }
    let stressed = spoken.iter().filter(|(has_primary, _, _)| *has_primary).count();
    if spoken.len() < 2 || stressed <= spoken.len().div_ceil(2) {
        return;
    }
    spoken.sort_unstable();
    for &(_, _, i) in &spoken[..spoken.len() / 2] {
        demote(&mut group[i]);
    }
}

/// Turns primary stress into secondary.
fn demote(piece: &mut Piece<'_>) {
    if let Some(phonemes) = &mut piece.phonemes {
        *phonemes = stress::apply(phonemes, Some(-0.5));
    }
}
