//! Words and pictures for people: numbers, sizes, times, sparklines, and names made harmless.
//!
//! Invariant: nothing that came from outside reaches the terminal with a control character in it.

use std::fmt::Write as _;
use std::time::{SystemTime, UNIX_EPOCH};

use jiff::Timestamp;
use jiff::tz::TimeZone;
use runmesh_core::api::Value;

/// Makes text from outside harmless: control characters, and those that reorder what follows, are
/// written as escapes.
pub(crate) fn clean(text: &str) -> String {
    let mut clean = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '\n' => clean.push_str("\\n"),
            '\t' => clean.push_str("\\t"),
            '\u{200b}'..='\u{200f}'
            | '\u{2028}'..='\u{202e}'
            | '\u{2066}'..='\u{2069}'
            | '\u{feff}' => clean.extend(c.escape_unicode()),
            c if c.is_control() => clean.extend(c.escape_unicode()),
            c => clean.push(c),
        }
    }
    clean
}

/// What a device or a workspace is called: its name, or the start of its id if it has none.
pub(crate) fn name_or(name: &str, short_id: String) -> String {
    if name.is_empty() { short_id } else { clean(name) }
}

/// Its name and, in brackets, the start of its id; or this alone.
pub(crate) fn name_with(name: &str, short_id: &str) -> String {
    match name {
        "" => short_id.to_owned(),
        name => format!("{} ({short_id})", clean(name)),
    }
}

/// As [`clean`], in at most `width` characters.
pub(crate) fn clean_in(text: &str, width: usize) -> String {
    let clean = clean(text);
    if clean.chars().count() <= width {
        return clean;
    }
    let head: String = clean.chars().take(width.saturating_sub(1)).collect();
    format!("{head}…")
}

/// A number in few digits.
pub(crate) fn number(value: f64) -> String {
    let size = value.abs();
    if value.is_nan() {
        return "NaN".to_owned();
    }
    if value.is_infinite() {
        return if value > 0.0 { "∞" } else { "-∞" }.to_owned();
    }
    if value.fract() == 0.0 && size < 1e9 {
        return format!("{value}");
    }
    if !(1e-4..1e7).contains(&size) {
        return format!("{value:.3e}");
    }
    let decimals = match size {
        1000.0.. => 1,
        100.0.. => 2,
        10.0.. => 3,
        _ => 4,
    };
    format!("{value:.decimals$}")
}

/// A count with its noun.
pub(crate) fn count(count: u64, one: &str, many: &str) -> String {
    format!("{} {}", thousands(count), if count == 1 { one } else { many })
}

/// A count with its thousands apart.
pub(crate) fn thousands(count: u64) -> String {
    let digits = count.to_string();
    let mut text = String::new();
    for (at, digit) in digits.chars().enumerate() {
        if at > 0 && (digits.len() - at).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

/// A size in bytes.
pub(crate) fn bytes(bytes: u64) -> String {
    const UNITS: [&str; 5] = ["KiB", "MiB", "GiB", "TiB", "PiB"];
    if bytes < 1024 {
        return format!("{bytes} B");
    }
    let mut size = bytes as f64 / 1024.0;
    let mut unit = 0;
    while size >= 1023.95 && unit + 1 < UNITS.len() {
        size /= 1024.0;
        unit += 1;
    }
    format!("{size:.1} {}", UNITS[unit])
}

/// A span of time.
pub(crate) fn span(ms: u64) -> String {
    let seconds = ms / 1000;
    match seconds {
        0 => format!("{ms} ms"),
        1..60 => format!("{:.1} s", ms as f64 / 1000.0),
        60..3600 => format!("{} min {} s", seconds / 60, seconds % 60),
        3600..86_400 => format!("{} h {} min", seconds / 3600, seconds / 60 % 60),
        _ => format!("{} d {} h", seconds / 86_400, seconds / 3600 % 24),
    }
}

/// Now, in milliseconds since 1970.
pub(crate) fn now_ms() -> i64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    i64::try_from(since.as_millis()).unwrap_or(i64::MAX)
}

/// A moment as people say it: "3 min ago".
pub(crate) fn ago(ms: i64, now_ms: i64) -> String {
    let seconds = now_ms.saturating_sub(ms) / 1000;
    let (count, unit) = match seconds.unsigned_abs() {
        0..5 => return "now".to_owned(),
        s @ 5..60 => (s, "s"),
        s @ 60..3600 => (s / 60, "min"),
        s @ 3600..86_400 => (s / 3600, "h"),
        s @ 86_400..5_184_000 => (s / 86_400, "d"),
        s @ 5_184_000..63_072_000 => (s / 2_592_000, "months"),
        s => (s / 31_536_000, "years"),
    };
    if seconds < 0 { format!("in {count} {unit}") } else { format!("{count} {unit} ago") }
}

/// A moment on the clock of `zone`, or its number if no calendar reaches so far.
pub(crate) fn moment_in(ms: i64, zone: TimeZone) -> String {
    match Timestamp::from_millisecond(ms) {
        Ok(moment) => moment.to_zoned(zone).strftime("%Y-%m-%d %H:%M:%S").to_string(),
        Err(_) => format!("{ms} ms"),
    }
}

/// A moment on the clock here, and how long ago it was.
pub(crate) fn moment(ms: i64) -> String {
    format!("{} ({})", moment_in(ms, TimeZone::system()), ago(ms, now_ms()))
}

/// A curve in one line of at most `width` characters. What is not a number leaves a gap;
/// infinities touch the ends. Less than two points are no curve.
pub(crate) fn sparkline(values: &[Value], width: usize) -> String {
    if values.len() < 2 {
        return String::new();
    }
    let count = values.len().min(width.max(2));
    let at = |index: usize| values[index * (values.len() - 1) / (count - 1)];
    let values: Vec<Value> = (0..count).map(at).collect();
    curve(&values)
}

fn curve(values: &[Value]) -> String {
    const BLOCKS: [char; 8] = ['▁', '▂', '▃', '▄', '▅', '▆', '▇', '█'];
    let finite = || values.iter().map(|value| value.0).filter(|value| value.is_finite());
    let low = finite().fold(f64::INFINITY, f64::min);
    let high = finite().fold(f64::NEG_INFINITY, f64::max);
    // Halves, because the difference of two finite numbers need not be finite.
    let half_range = high / 2.0 - low / 2.0;
    let top = (BLOCKS.len() - 1) as f64;
    let block = |value: f64| {
        let share = match value {
            value if value.is_nan() => return ' ',
            f64::INFINITY => 1.0,
            f64::NEG_INFINITY => 0.0,
            value if half_range > 0.0 => (value / 2.0 - low / 2.0) / half_range,
            _ => 0.5,
        };
        BLOCKS[(share * top).round().clamp(0.0, top) as usize]
    };
    values.iter().map(|value| block(value.0)).collect()
}

/// Several short lists in one line, or a dash.
pub(crate) fn list<'a>(items: impl IntoIterator<Item = &'a str>) -> String {
    let mut text = String::new();
    for item in items {
        let comma = if text.is_empty() { "" } else { ", " };
        let _ = write!(text, "{comma}{}", clean(item));
    }
    if text.is_empty() { "–".to_owned() } else { text }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_cannot_drive_the_terminal() {
        assert_eq!(clean("a\u{1b}[2Jb"), "a\\u{1b}[2Jb");
        assert_eq!(clean("one\ntwo\r\u{7}"), "one\\ntwo\\u{d}\\u{7}");
        assert_eq!(clean("\u{9b}31m\u{202e}evil"), "\\u{9b}31m\\u{202e}evil");
        assert_eq!(clean("Größe 10 → 好"), "Größe 10 → 好");
        assert_eq!(clean_in("abcdef", 4), "abc…");
        assert_eq!(clean_in("abcd", 4), "abcd");
    }

    #[test]
    fn numbers_are_short_and_right() {
        let cases = [
            (0.0, "0"),
            (-3.0, "-3"),
            (0.012_345, "0.0123"),
            (12.345_67, "12.346"),
            (123_456.789, "123456.8"),
            (1.5e-9, "1.500e-9"),
            (2.5e12, "2.500e12"),
            (f64::NAN, "NaN"),
            (f64::NEG_INFINITY, "-∞"),
        ];
        for (value, text) in cases {
            assert_eq!(number(value), text);
        }
    }

    #[test]
    fn sizes_and_counts_read_well() {
        assert_eq!(bytes(1023), "1023 B");
        assert_eq!(bytes(1024), "1.0 KiB");
        assert_eq!(bytes(1024 * 1024 - 1), "1.0 MiB");
        assert_eq!(bytes(u64::MAX), "16384.0 PiB");
        assert_eq!(thousands(999), "999");
        assert_eq!(thousands(1_234_567), "1,234,567");
        assert_eq!(count(1, "run", "runs"), "1 run");
        assert_eq!(count(0, "run", "runs"), "0 runs");
    }

    #[test]
    fn times_are_said_both_ways() {
        let hour = 3_600_000;
        assert_eq!(ago(0, 2_000), "now");
        assert_eq!(ago(0, 90_000), "1 min ago");
        assert_eq!(ago(3 * hour, 0), "in 3 h");
        assert_eq!(ago(0, 24 * hour * 3), "3 d ago");
        assert_eq!(ago(i64::MIN, i64::MAX), "292471208 years ago");
        assert_eq!(moment_in(1_700_000_000_000, TimeZone::UTC), "2023-11-14 22:13:20");
        assert_eq!(moment_in(i64::MAX, TimeZone::UTC), format!("{} ms", i64::MAX));
        assert_eq!(span(950), "950 ms");
        assert_eq!(span(61_000), "1 min 1 s");
    }

    #[test]
    fn sparklines_survive_any_numbers() {
        let line =
            |values: &[f64]| sparkline(&values.iter().copied().map(Value).collect::<Vec<_>>(), 8);
        assert_eq!(line(&[0.0, 1.0, 2.0, 3.0]), "▁▃▆█");
        assert_eq!(line(&[5.0, 5.0]), "▅▅");
        assert_eq!(line(&[]), "");
        assert_eq!(line(&[0.0, f64::NAN, 1.0]), "▁ █");
        assert_eq!(line(&[f64::NAN, f64::NAN]), "  ");
        assert_eq!(line(&[1.0]), "");
        let long: Vec<f64> = (0..1000).map(f64::from).collect();
        assert_eq!(line(&long), "▁▂▃▄▅▆▇█");
        assert_eq!(line(&[f64::INFINITY, 0.0, 1.0, f64::NEG_INFINITY]), "█▁█▁");
        assert_eq!(line(&[f64::MIN, f64::MAX]), "▁█");
    }
}
