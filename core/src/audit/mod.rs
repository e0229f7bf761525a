//! The audit: who did what, when and on which device, read from the journals themselves.
//!
//! Invariants: what is told comes from signed entries and from nothing derived but names; an entry
//! that is told is verified first, and one that is not what it should be is told as such; what does
//! not count by the rules of membership is told, and said not to count. Every text is bounded.

mod cursor;
mod file;
mod trail;
mod verify;
mod words;

pub use self::cursor::BadCursor;
pub use self::file::{FileReport, HeldJournal, verify_file};
pub use self::trail::{About, Line, MAX_LINES, Page, PageError, Standing, page};
pub use self::verify::{Flaw, Verified, Wrong, verify};
pub use self::words::{MAX_PARTS, MAX_WORD_CHARS, Said};
