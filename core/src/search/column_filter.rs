//! A clause, made ready to be checked against a column of many runs.
//!
//! Invariant: a filter keeps every run for which its clause holds; it may keep others where the
//! column does not hold all of a text.

use std::sync::Arc;

use super::condition::{Condition, Relation};
use super::run_column::RunColumn;
use super::run_texts::{NO_TEXT, Texts};
use crate::index::column_block::{BLOCK, Held, NAN, NO_NUMBER};
use crate::index::value_key;

/// Which runs of a block are kept: 1 for each, or 0.
pub(super) type Mask = [u8; BLOCK];

/// A column and what is asked of it.
pub(super) struct ColumnFilter {
    column: Arc<RunColumn>,
    asked: Asked,
}

enum Asked {
    /// Numbers from one to another, as the column has them.
    Between(u64, u64),
    /// Any number but this one.
    Other(u64),
    /// An integer that compares so.
    Integer(Relation, f64),
    /// Codes from one on, and how many.
    Codes(u32, u32),
    /// By code, 1 if it is asked for; the first and the last that are.
    Table(Vec<u8>, u32, u32),
}

const NOTHING: Asked = Asked::Between(1, 0);

impl ColumnFilter {
    pub(super) fn new(column: Arc<RunColumn>, condition: &Condition, of_integers: bool) -> Self {
        let asked = match &*column {
            RunColumn::Numbers(_) => asked_of_numbers(condition, of_integers),
            RunColumn::Texts(_, texts) => asked_of_texts(texts, condition),
        };
        Self { column, asked }
    }

    /// Whether it keeps no run for which its clause does not hold.
    pub(super) fn is_exact(&self) -> bool {
        self.column.is_exact()
    }

    /// Whether it keeps runs that have no value, those of other experiments among them.
    pub(super) fn keeps_missing(&self) -> bool {
        match &self.asked {
            Asked::Between(_, high) => *high == NO_NUMBER,
            Asked::Other(_) | Asked::Integer(..) => false,
            Asked::Codes(..) | Asked::Table(..) => self.keeps_code(NO_TEXT),
        }
    }

    /// Whether it keeps any run of a block, as far as the least and the most value there tell.
    pub(super) fn may_keep(&self, block: usize) -> bool {
        if self.keeps_missing() {
            return true;
        }
        match &*self.column {
            RunColumn::Numbers(blocks) => {
                blocks.block(block).is_some_and(|block| match self.asked {
                    Asked::Between(low, high) => {
                        low <= high && block.most >= low && block.least <= high
                    }
                    _ => true,
                })
            }
            RunColumn::Texts(blocks, _) => blocks.block(block).is_some_and(|block| {
                let (first, last) = match self.asked {
                    Asked::Codes(_, 0) => return false,
                    Asked::Codes(from, count) => (from, from + (count - 1)),
                    Asked::Table(_, first, last) => (first, last),
                    _ => unreachable!("they are of numbers"),
                };
                block.most >= first && block.least <= last
            }),
        }
    }

    /// Leaves only the runs of a block that are asked for.
    pub(super) fn narrow(&self, block: usize, mask: &mut Mask) {
        let held = match &*self.column {
            RunColumn::Numbers(blocks) => {
                blocks.block(block).map(|block| self.narrow_numbers(&block.values, mask))
            }
            RunColumn::Texts(blocks, _) => {
                blocks.block(block).map(|block| self.narrow_codes(&block.values, mask))
            }
        };
        if held.is_none() && !self.keeps_missing() {
            mask.fill(0);
        }
    }

    fn narrow_numbers(&self, values: &[u64; BLOCK], mask: &mut Mask) {
        match self.asked {
            Asked::Between(low, high) if low > high => mask.fill(0),
            Asked::Between(low, high) => {
                narrow(mask, values, |value| value.wrapping_sub(low) <= high - low);
            }
            Asked::Other(other) => {
                narrow(mask, values, |value| value != other && value != NO_NUMBER);
            }
            Asked::Integer(relation, asked) => narrow(mask, values, |value| {
                let integer = value_key::from_integer(value.to_be_bytes());
                value != NO_NUMBER && relation.holds(integer as f64, asked)
            }),
            Asked::Codes(..) | Asked::Table(..) => unreachable!("they are of texts"),
        }
    }

    fn narrow_codes(&self, values: &[u32; BLOCK], mask: &mut Mask) {
        match &self.asked {
            Asked::Codes(from, count) => {
                narrow(mask, values, |code| code.wrapping_sub(*from) < *count);
            }
            Asked::Table(table, ..) => {
                for (kept, code) in mask.iter_mut().zip(values) {
                    *kept &= table[*code as usize];
                }
            }
            _ => unreachable!("they are of numbers"),
        }
    }

    fn keeps_code(&self, code: u32) -> bool {
        match &self.asked {
            Asked::Codes(from, count) => code.wrapping_sub(*from) < *count,
            Asked::Table(table, ..) => table[code as usize] == 1,
            _ => unreachable!("they are of numbers"),
        }
    }
}

/// One loop without branches, which compilers turn into operations on many values at once.
pub(super) fn narrow<T: Copy>(mask: &mut Mask, values: &[T; BLOCK], holds: impl Fn(T) -> bool) {
    for (kept, value) in mask.iter_mut().zip(values) {
        *kept &= u8::from(holds(*value));
    }
}

fn asked_of_numbers(condition: &Condition, of_integers: bool) -> Asked {
    let (relation, asked) = match condition {
        Condition::IsNull => return Asked::Between(NO_NUMBER, NO_NUMBER),
        Condition::IsNotNull => return Asked::Between(0, NAN),
        Condition::Number(relation, asked) => (*relation, *asked),
        _ => return NOTHING,
    };
    if of_integers {
        return Asked::Integer(relation, asked);
    }
    let number = |value| u64::from_be_bytes(value_key::number(value));
    let (least, most) = (number(f64::NEG_INFINITY), number(f64::INFINITY));
    if asked.is_nan() {
        // It only differs from all.
        return if relation == Relation::NotEqual { Asked::Between(0, NAN) } else { NOTHING };
    }
    let place = number(asked);
    match relation {
        Relation::Equal => Asked::Between(place, place),
        Relation::NotEqual => Asked::Other(place),
        Relation::Less => Asked::Between(least, place - 1),
        Relation::LessOrEqual => Asked::Between(least, place),
        Relation::Greater => Asked::Between(place + 1, most),
        Relation::GreaterOrEqual => Asked::Between(place, most),
    }
}

/// Which codes are asked for. There may be a million texts, so what is asked most is looked at without
/// reading each as a text.
fn asked_of_texts(texts: &Texts, condition: &Condition) -> Asked {
    let prefix = match condition {
        Condition::Like(pattern) => pattern.as_prefix().filter(|prefix| !prefix.is_empty()),
        _ => None,
    };
    // Texts of one field mostly begin alike, so what is asked for is compared from its end.
    let mut kept = match (condition, prefix) {
        (Condition::Equal(asked), _) => {
            let Held::Text(asked, all) = Held::text(asked) else { unreachable!("it is a text") };
            texts.codes(|head, whole| {
                head.len() == asked.len()
                    && head.last() == asked.last()
                    && head == asked
                    && whole == all
            })
        }
        (_, Some(prefix)) => {
            let prefix = prefix.as_bytes();
            let last = prefix.len() - 1;
            texts.codes(|head, whole| match head.get(last) {
                Some(byte) => *byte == prefix[last] && head.starts_with(prefix),
                // What is known of a longer text may end within the prefix.
                None => !whole && prefix.starts_with(head),
            })
        }
        _ => texts.codes(|head, whole| may_hold(condition, head, whole)),
    };
    if condition.holds_for_text(None) {
        kept.insert(0, NO_TEXT);
    }
    asked_of_codes(&kept, texts.len())
}

/// Whether what is known of a text allows that a condition holds for it.
fn may_hold(condition: &Condition, head: &[u8], whole: bool) -> bool {
    if whole {
        return std::str::from_utf8(head).is_ok_and(|text| condition.holds_for_text(Some(text)));
    }
    let has_head = |asked: &String| Held::text(asked) == Held::Text(head, false);
    match condition {
        Condition::Equal(asked) => has_head(asked),
        Condition::In(asked) => asked.iter().any(has_head),
        Condition::IsNull | Condition::Number(..) => false,
        Condition::Like(_)
        | Condition::NotEqual(_)
        | Condition::NotIn(_)
        | Condition::IsNotNull => true,
    }
}

/// Codes that ascend. Those that follow one another are checked faster than by a table.
fn asked_of_codes(kept: &[u32], texts: usize) -> Asked {
    let (Some(first), Some(last)) = (kept.first(), kept.last()) else {
        return Asked::Codes(0, 0);
    };
    if (last - first) as usize + 1 == kept.len() {
        return Asked::Codes(*first, kept.len() as u32);
    }
    let mut table = vec![0; texts + 1];
    for code in kept {
        table[*code as usize] = 1;
    }
    Asked::Table(table, *first, *last)
}
