//! Values as bytes that sort as they do, for keys and columns of the index.
//!
//! A text is cut at [`TEXT_BYTES`] and at its first zero byte. Texts that agree in what is kept tie,
//! and whoever reads in order rechecks such ties on the rows.

/// How much of a text is kept.
pub const TEXT_BYTES: usize = 32;

/// Eight bytes that sort as integers do.
pub const fn integer(value: i64) -> [u8; 8] {
    (value as u64 ^ (1 << 63)).to_be_bytes()
}

/// The integer of the eight bytes that [`integer`] made.
pub const fn from_integer(bytes: [u8; 8]) -> i64 {
    (u64::from_be_bytes(bytes) ^ (1 << 63)) as i64
}

/// The place of NaN: after all numbers, and apart from them for those who ask for numbers.
pub const NAN: [u8; 8] = [u8::MAX; 8];

/// Eight bytes that sort as numbers do, negative zero as zero and [`NAN`] last.
pub fn number(value: f64) -> [u8; 8] {
    if value.is_nan() {
        return NAN;
    }
    let bits = if value == 0.0 { 0 } else { value.to_bits() };
    let sign = 1 << 63;
    (if bits & sign == 0 { bits | sign } else { !bits }).to_be_bytes()
}

/// The number of the eight bytes that [`number`] made.
pub const fn from_number(bytes: [u8; 8]) -> f64 {
    let sign = 1 << 63;
    match u64::from_be_bytes(bytes) {
        u64::MAX => f64::NAN,
        bits if bits & sign != 0 => f64::from_bits(bits ^ sign),
        bits => f64::from_bits(!bits),
    }
}

/// A text's place in the order: its head, cut at [`TEXT_BYTES`] and at the first zero byte.
pub fn text(value: &str) -> &[u8] {
    let head = &value.as_bytes()[..value.len().min(TEXT_BYTES)];
    let end = head.iter().position(|byte| *byte == 0).unwrap_or(head.len());
    &head[..end]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_sort_as_numbers() {
        let ascending = [f64::NEG_INFINITY, -1e300, -1.5, -0.0, 1e-300, 2.0, f64::INFINITY];
        for pair in ascending.windows(2) {
            assert!(number(pair[0]) < number(pair[1]), "{pair:?}");
        }
        assert_eq!(number(-0.0), number(0.0));
        assert!(number(f64::INFINITY) < NAN && number(-f64::NAN) == NAN);
        assert!(integer(-5) < integer(-4) && integer(-1) < integer(0));
    }

    #[test]
    fn what_is_kept_of_a_text_sorts_as_texts_do() {
        assert!(text("ab") < text("abc"));
        assert_eq!((text("a\0b"), text(&"x".repeat(40)).len()), (&b"a"[..], TEXT_BYTES));
    }
}
