//! Patterns of LIKE and ILIKE: `%` is any text, `_` any one character.

/// A pattern.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Pattern {
    chars: Vec<char>,
    any_case: bool,
}

impl Pattern {
    /// The pattern of LIKE, for which `a` and `A` differ.
    pub fn like(pattern: &str) -> Self {
        Self { chars: pattern.chars().collect(), any_case: false }
    }

    /// The pattern of ILIKE, for which they are the same.
    pub fn ilike(pattern: &str) -> Self {
        Self { chars: pattern.chars().collect(), any_case: true }
    }

    /// Whether the whole of a text matches.
    pub fn matches(&self, text: &str) -> bool {
        let mut rest = text.chars();
        let mut at = 0;
        // Where to go on from if this fails: after the last `%`, with one character more in it.
        let mut retry: Option<(usize, std::str::Chars<'_>)> = None;
        loop {
            let before = rest.clone();
            match (self.chars.get(at), rest.next()) {
                (Some('%'), _) => {
                    at += 1;
                    rest = before;
                    retry = Some((at, rest.clone()));
                    continue;
                }
                (Some(wanted), Some(found)) if self.char_matches(*wanted, found) => {
                    at += 1;
                    continue;
                }
                (None, None) => return true,
                _ => {}
            }
            let Some((after, from)) = &mut retry else { return false };
            if from.next().is_none() {
                return false;
            }
            at = *after;
            rest = from.clone();
        }
    }

    /// The text that all that matches starts with, if it matches whatever comes after that.
    pub(super) fn as_prefix(&self) -> Option<String> {
        let (last, fixed) = self.chars.split_last()?;
        let is_prefix = !self.any_case && *last == '%' && !fixed.iter().any(|c| "%_".contains(*c));
        is_prefix.then(|| fixed.iter().collect())
    }

    fn char_matches(&self, wanted: char, found: char) -> bool {
        wanted == '_'
            || wanted == found
            || (self.any_case && wanted.to_lowercase().eq(found.to_lowercase()))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn wildcards_stand_for_text() {
        for (pattern, text) in [
            ("", ""),
            ("%", ""),
            ("a%", "a"),
            ("%b%d", "abcbd"),
            ("_é_", "né\n"),
            ("%%a_%", "xxab"),
            ("a.c", "a.c"),
        ] {
            assert!(Pattern::like(pattern).matches(text), "{pattern} {text}");
        }
        for (pattern, text) in [("", "a"), ("a", "A"), ("_", ""), ("%b", "abc"), ("a.c", "abc")] {
            assert!(!Pattern::like(pattern).matches(text), "{pattern} {text}");
        }
        assert!(Pattern::ilike("É%").matches("éTÉ"));
        assert_eq!(Pattern::like("ab%").as_prefix(), Some("ab".to_owned()));
    }

    /// The definition, with no thought of time.
    fn naive(pattern: &[char], text: &[char]) -> bool {
        match (pattern, text) {
            ([], []) => true,
            (['%', after @ ..], _) => (0..=text.len()).any(|skip| naive(after, &text[skip..])),
            (['_', after @ ..], [_, rest @ ..]) => naive(after, rest),
            ([wanted, after @ ..], [found, rest @ ..]) => wanted == found && naive(after, rest),
            _ => false,
        }
    }

    proptest! {
        #[test]
        fn matching_is_what_it_is_defined_to_be(pattern in "[ab%_]{0,6}", text in "[ab]{0,8}") {
            let chars = |s: &str| s.chars().collect::<Vec<_>>();
            let expected = naive(&chars(&pattern), &chars(&text));
            prop_assert_eq!(Pattern::like(&pattern).matches(&text), expected);
            prop_assert_eq!(Pattern::ilike(&pattern.to_uppercase()).matches(&text), expected);
            if let Some(prefix) = Pattern::like(&pattern).as_prefix() {
                prop_assert_eq!(text.starts_with(&prefix), expected);
            }
        }
    }

    #[test]
    fn many_wildcards_take_no_more_than_length_times_length() {
        let pattern = Pattern::like(&"%a".repeat(2_000));
        assert!(!pattern.matches(&format!("{}b", "a".repeat(8_000))));
    }
}
