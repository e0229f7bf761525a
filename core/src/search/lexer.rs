//! Tokens of the filter and order_by language.
//!
//! MLflow reads filters with a parser of SQL in general (sqlparse); these are the tokens that it
//! gives to what can stand in a filter. Every token is a span of the text, so that an error can
//! quote what the user wrote. Anything unknown is a token of one character: lexing never fails.

/// What a token is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    /// A name, or names joined by dots, each bare or quoted with backticks or double quotes.
    Identifier,
    /// Names joined by an operator, like `metrics.val-loss`: such a name needs quotes.
    Operation,
    /// A number; `true` if it is an integer.
    Number(bool),
    /// Text in single quotes.
    Text,
    /// `=`, `!=`, `LIKE` and so on, `NOT LIKE` included.
    Comparator,
    /// A word that joins clauses or makes a comparison, like `AND`, `IN` or `NULL`.
    Keyword,
    /// `(`
    Open,
    /// `)`
    Close,
    /// `;`
    Semicolon,
    /// Any other character.
    Other,
}

/// A token and its place in the text, in bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Token {
    pub(super) kind: Kind,
    pub(super) start: usize,
    pub(super) end: usize,
}

const KEYWORDS: [&str; 7] = ["AND", "OR", "NOT", "IN", "IS", "NULL", "BETWEEN"];
const COMPARING_WORDS: [&str; 4] = ["LIKE", "ILIKE", "RLIKE", "REGEXP"];
const COMPARING_SIGNS: &str = "<>=~!";
const OPERATORS: &str = "-+/*%@#^&|";

/// The tokens of a text, without the space between them.
pub(super) fn tokens(text: &str) -> Vec<Token> {
    let mut lexer = Lexer { text, at: 0 };
    let mut found: Vec<Token> = Vec::new();
    while let Some(token) = lexer.next_token() {
        // `NOT LIKE` is one comparator, and `NOT NULL` two keywords.
        match found.last_mut() {
            Some(last) if token.is_comparing_word(text) && last.is_word(text, "NOT") => {
                *last = Token { kind: Kind::Comparator, end: token.end, ..*last };
            }
            _ => found.push(token),
        }
    }
    found
}

impl Token {
    /// What the user wrote.
    pub(super) fn of<'a>(&self, text: &'a str) -> &'a str {
        &text[self.start..self.end]
    }

    fn is_comparing_word(&self, text: &str) -> bool {
        self.kind == Kind::Comparator && !self.of(text).starts_with(|c| COMPARING_SIGNS.contains(c))
    }

    /// Whether this is a keyword, in any case.
    pub(super) fn is_word(&self, text: &str, word: &str) -> bool {
        self.kind == Kind::Keyword && self.of(text).eq_ignore_ascii_case(word)
    }
}

struct Lexer<'a> {
    text: &'a str,
    at: usize,
}

impl<'a> Lexer<'a> {
    fn rest(&self) -> &'a str {
        &self.text[self.at..]
    }

    fn peek(&self) -> Option<char> {
        self.rest().chars().next()
    }

    fn skip_while(&mut self, keep: impl Fn(char) -> bool) {
        let rest = self.rest();
        self.at += rest.find(|c| !keep(c)).unwrap_or(rest.len());
    }

    fn next_token(&mut self) -> Option<Token> {
        self.skip_while(char::is_whitespace);
        let start = self.at;
        let kind = self.kind(self.peek()?);
        Some(Token { kind, start, end: self.at })
    }

    /// Takes one token off the front.
    fn kind(&mut self, first: char) -> Kind {
        if let Some((length, whole)) = number(self.rest()) {
            self.at += length;
            return Kind::Number(whole);
        }
        if first == '\'' && self.skip_quoted('\'') {
            return Kind::Text;
        }
        let start = self.at;
        if self.skip_name(first) {
            return self.finish_name(start);
        }
        if COMPARING_SIGNS.contains(first) {
            self.skip_while(|c| COMPARING_SIGNS.contains(c));
            return Kind::Comparator;
        }
        self.at += first.len_utf8();
        match first {
            '(' => Kind::Open,
            ')' => Kind::Close,
            ';' => Kind::Semicolon,
            _ => Kind::Other,
        }
    }

    /// Takes one bare or quoted name.
    fn skip_name(&mut self, first: char) -> bool {
        match first {
            '`' | '"' => self.skip_quoted(first),
            c if is_word_char(c) => {
                self.skip_while(|c| is_word_char(c) || c == '$');
                true
            }
            _ => false,
        }
    }

    /// Takes what follows a name: further names after dots, or an operator and its other side.
    fn finish_name(&mut self, start: usize) -> Kind {
        let word = &self.text[start..self.at];
        let mut operation = false;
        while let Some(c) = self.peek() {
            if c == '.' {
                self.at += 1;
                if let Some(next) = self.peek() {
                    let _ = self.skip_name(next) || (next == '\'' && self.skip_quoted('\''));
                }
            } else if OPERATORS.contains(c) {
                operation = true;
                self.at += 1;
                self.skip_while(is_word_char);
            } else {
                break;
            }
        }
        let alone = &self.text[start..self.at] == word;
        let is_one_of = |words: &[&str]| words.iter().any(|one| word.eq_ignore_ascii_case(one));
        match () {
            () if alone && is_one_of(&KEYWORDS) => Kind::Keyword,
            () if alone && is_one_of(&COMPARING_WORDS) => Kind::Comparator,
            () if operation => Kind::Operation,
            () => Kind::Identifier,
        }
    }

    /// Takes a quoted text. Inside it a doubled quote stands for one, as does one after a
    /// backslash (but in backticks), unless the text would have no end then.
    fn skip_quoted(&mut self, quote: char) -> bool {
        let bytes = self.text.as_bytes();
        let quote = quote as u8;
        let mut at = self.at + 1;
        let mut end_if_open = None;
        while let Some(&byte) = bytes.get(at) {
            let next_is_quote = bytes.get(at + 1) == Some(&quote);
            if byte == b'\\' && next_is_quote && quote != b'`' {
                end_if_open = Some(at + 2);
                at += 2;
            } else if byte == quote && next_is_quote {
                end_if_open = Some(at + 1);
                at += 2;
            } else if byte == quote {
                self.at = at + 1;
                return true;
            } else {
                at += 1;
            }
        }
        self.at = end_if_open.unwrap_or(self.at);
        end_if_open.is_some()
    }
}

fn is_word_char(c: char) -> bool {
    c == '_' || c.is_alphanumeric()
}

/// The length of the number at the front, and whether it is an integer.
fn number(text: &str) -> Option<(usize, bool)> {
    let bytes = text.as_bytes();
    let digits = |from: usize| bytes[from..].iter().take_while(|b| b.is_ascii_digit()).count();
    let sign = usize::from(bytes.first() == Some(&b'-'));
    let whole = digits(sign);
    let mut end = sign + whole;
    let mut integer = true;
    let mut fraction = 0;
    if bytes.get(end) == Some(&b'.') {
        fraction = digits(end + 1);
        integer = false;
        end += 1 + fraction;
    }
    if whole + fraction == 0 {
        return None;
    }
    if matches!(bytes.get(end), Some(b'e' | b'E')) {
        let sign = usize::from(matches!(bytes.get(end + 1), Some(b'-' | b'+')));
        let exponent = digits((end + 1 + sign).min(bytes.len()));
        if exponent > 0 {
            integer = false;
            end += 1 + sign + exponent;
        }
    }
    // `12ab` and `1_000` are names.
    let ends_here = !text[end..].starts_with(is_word_char);
    ends_here.then_some((end, integer))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lexed(text: &str) -> Vec<(Kind, &str)> {
        tokens(text).iter().map(|token| (token.kind, token.of(text))).collect()
    }

    #[test]
    fn a_clause_is_a_name_a_comparator_and_a_value() {
        use Kind::*;
        for (text, name, sign, value) in [
            ("metrics.m >= 0.7", (Identifier, "metrics.m"), ">=", (Number(false), "0.7")),
            ("metrics.m>-1", (Identifier, "metrics.m"), ">", (Number(true), "-1")),
            ("tags.`a.b c`='x'", (Identifier, "tags.`a.b c`"), "=", (Text, "'x'")),
            ("tags.a.b ilike \"x\"", (Identifier, "tags.a.b"), "ilike", (Identifier, "\"x\"")),
            ("`run name` NOT LIKE 'x'", (Identifier, "`run name`"), "NOT LIKE", (Text, "'x'")),
            ("params.key != ''", (Identifier, "params.key"), "!=", (Text, "''")),
            ("params.p = 'it''s'", (Identifier, "params.p"), "=", (Text, "'it''s'")),
            ("params.p = 'it\\'s'", (Identifier, "params.p"), "=", (Text, "'it\\'s'")),
            ("params.p = 'C:\\'", (Identifier, "params.p"), "=", (Text, "'C:\\'")),
            ("val-loss < 5.", (Operation, "val-loss"), "<", (Number(false), "5.")),
            ("metrics.1a < .5e-3", (Identifier, "metrics.1a"), "<", (Number(false), ".5e-3")),
            ("größe = 1_000", (Identifier, "größe"), "=", (Identifier, "1_000")),
        ] {
            assert_eq!(lexed(text), [name, (Comparator, sign), value], "{text}");
        }
    }

    #[test]
    fn words_join_clauses_in_any_case() {
        use Kind::*;
        assert_eq!(
            lexed("is Not null; (and)"),
            [
                (Keyword, "is"),
                (Keyword, "Not"),
                (Keyword, "null"),
                (Semicolon, ";"),
                (Open, "("),
                (Keyword, "and"),
                (Close, ")"),
            ]
        );
        assert_eq!(lexed("'open"), [(Other, "'"), (Identifier, "open")]);
        assert_eq!(lexed("- .e5"), [(Other, "-"), (Other, "."), (Identifier, "e5")]);
    }
}
