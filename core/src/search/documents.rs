//! Searching rows of which there are few enough to read them all: filter, sort, page.
//!
//! Experiments, registered models, versions and the like each say what their fields are; everything
//! else is here. Invariants: no more rows are kept than the page needs and some to spare; two rows
//! never have one sort key, so a page that starts after a key neither repeats nor skips a row that
//! stood still.

use std::borrow::Cow;

use super::condition::Condition;
use super::schema::Field;
use super::sort_key::{self, Sorted};
use super::{Clause, Order};
use crate::store::StoreError;

/// Rows kept beyond what a page needs before the worst are thrown away.
const SPARE: usize = 1024;

/// What a row has in a field.
#[derive(Debug, Clone, PartialEq)]
pub enum FieldValue<'a> {
    /// A number.
    Number(Option<f64>),
    /// An integer.
    Integer(Option<i64>),
    /// An integer that clients compare as text, in decimal.
    Decimal(i64),
    /// A text.
    Text(Option<Cow<'a, str>>),
}

impl<'a> FieldValue<'a> {
    /// A text, if there is one.
    pub fn text(text: Option<&'a str>) -> Self {
        Self::Text(text.map(Cow::Borrowed))
    }

    fn meets(&self, condition: &Condition) -> bool {
        match self {
            Self::Number(number) => condition.holds_for_number(*number),
            Self::Integer(number) => condition.holds_for_number(number.map(|number| number as f64)),
            Self::Decimal(number) => condition.holds_for_text(Some(&number.to_string())),
            Self::Text(text) => condition.holds_for_text(text.as_deref()),
        }
    }

    fn push_to(&self, key: &mut Vec<u8>, ascending: bool) {
        let sorted = match self {
            Self::Number(number) => Sorted::Number(*number),
            Self::Integer(number) => Sorted::Integer(*number),
            Self::Decimal(number) => Sorted::Integer(Some(*number)),
            Self::Text(text) => Sorted::Text(text.as_deref()),
        };
        sort_key::push(key, sorted, ascending);
    }
}

/// A row that can be searched.
pub trait Searched {
    /// What all rows of the kind have.
    type Attribute;

    /// What the row has in a field; nothing in a field that its kind does not know.
    fn value(&self, field: &Field<Self::Attribute>) -> FieldValue<'_>;

    /// What decides between rows that `order` leaves equal, each with whether it ascends. The last
    /// is a name or an id that no two rows share.
    fn tie(&self, order: &[Order<Self::Attribute>]) -> Vec<(FieldValue<'_>, bool)>;
}

/// Where a page starts.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum PageStart {
    /// After so many rows.
    Offset(usize),
    /// After the row that had this sort key, whatever came or went before it since.
    After(Vec<u8>),
}

impl Default for PageStart {
    fn default() -> Self {
        Self::Offset(0)
    }
}

/// Which rows to find, in which order, and which of them to return.
#[derive(Debug, Clone, PartialEq)]
pub struct RowQuery<A> {
    /// What must hold.
    pub clauses: Vec<Clause<A>>,
    /// What to sort by, before what decides a tie.
    pub order: Vec<Order<A>>,
    /// Where to start.
    pub start: PageStart,
    /// How many to return.
    pub limit: usize,
}

impl<A> Default for RowQuery<A> {
    fn default() -> Self {
        Self { clauses: Vec::new(), order: Vec::new(), start: PageStart::default(), limit: 0 }
    }
}

impl<A: Clone> RowQuery<A> {
    /// Changes what the clauses and the order name: client protocols have tags that are
    /// attributes here.
    pub fn map_fields(&mut self, map: impl Fn(Field<A>) -> Field<A>) {
        let clauses = self.clauses.iter_mut().map(|clause| &mut clause.field);
        let order = self.order.iter_mut().map(|order| &mut order.field);
        for field in clauses.chain(order) {
            *field = map(field.clone());
        }
    }
}

/// Some of the rows that a query finds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RowPage<R> {
    /// The rows, in order.
    pub rows: Vec<R>,
    /// If there are more: the sort key of the last, after which the next page starts.
    pub next: Option<Vec<u8>>,
}

/// Finds rows among all there are.
pub fn search_rows<R: Searched>(
    rows: impl IntoIterator<Item = Result<R, StoreError>>,
    query: &RowQuery<R::Attribute>,
) -> Result<RowPage<R>, StoreError> {
    let (skip, after) = match &query.start {
        PageStart::Offset(offset) => (*offset, None),
        PageStart::After(key) => (0, Some(key)),
    };
    // One more than the page, to know whether there are more.
    let wanted = skip.saturating_add(query.limit).saturating_add(1);
    let mut found: Vec<(Vec<u8>, R)> = Vec::new();
    for row in rows {
        let row = row?;
        if !query.clauses.iter().all(|clause| row.value(&clause.field).meets(&clause.condition)) {
            continue;
        }
        let key = sort_key_of(&row, &query.order);
        if after.is_none_or(|after| key > *after) {
            found.push((key, row));
        }
        if found.len() > wanted.saturating_mul(2).saturating_add(SPARE) {
            keep_first(&mut found, wanted);
        }
    }
    found.sort_unstable_by(|a, b| a.0.cmp(&b.0));
    found.drain(..skip.min(found.len()));
    let more = found.len() > query.limit;
    found.truncate(query.limit);
    let next = found.last().filter(|_| more).map(|(key, _)| key.clone());
    Ok(RowPage { rows: found.into_iter().map(|(_, row)| row).collect(), next })
}

fn keep_first<R>(found: &mut Vec<(Vec<u8>, R)>, wanted: usize) {
    found.select_nth_unstable_by(wanted, |a, b| a.0.cmp(&b.0));
    found.truncate(wanted);
}

fn sort_key_of<R: Searched>(row: &R, order: &[Order<R::Attribute>]) -> Vec<u8> {
    let mut key = Vec::new();
    for order in order {
        row.value(&order.field).push_to(&mut key, order.ascending);
    }
    for (value, ascending) in row.tie(order) {
        value.push_to(&mut key, ascending);
    }
    key
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug, Clone, PartialEq)]
    struct Dish {
        id: i64,
        price: f64,
    }

    #[derive(Debug, Clone, Copy, PartialEq)]
    enum About {
        Price,
    }

    impl Searched for Dish {
        type Attribute = About;

        fn value(&self, field: &Field<About>) -> FieldValue<'_> {
            match field {
                Field::Attribute(About::Price) => FieldValue::Number(Some(self.price)),
                _ => FieldValue::Text(None),
            }
        }

        fn tie(&self, _: &[Order<About>]) -> Vec<(FieldValue<'_>, bool)> {
            vec![(FieldValue::Integer(Some(self.id)), true)]
        }
    }

    fn menu(dishes: impl Iterator<Item = i64>) -> Vec<Dish> {
        dishes.map(|id| Dish { id, price: (id * 7 % 5) as f64 }).collect()
    }

    fn page(menu: &[Dish], start: PageStart, limit: usize) -> RowPage<Dish> {
        let order = vec![Order { field: Field::Attribute(About::Price), ascending: false }];
        let query = RowQuery { order, start, limit, ..RowQuery::default() };
        search_rows(menu.iter().cloned().map(Ok), &query).expect("no store can fail")
    }

    #[test]
    fn pages_by_offset_and_by_key_are_the_sorted_whole() {
        // More than are kept at once.
        let dishes = menu(0..5000);
        let mut sorted = dishes.clone();
        sorted.sort_by(|a, b| b.price.total_cmp(&a.price).then(a.id.cmp(&b.id)));
        let mut start = PageStart::default();
        for at in (0..5000).step_by(1000) {
            let by_offset = page(&dishes, PageStart::Offset(at), 1000);
            let by_key = page(&dishes, start, 1000);
            assert_eq!(by_offset, by_key);
            assert_eq!(by_key.rows, sorted[at..at + 1000]);
            assert_eq!(by_key.next.is_some(), at < 4000);
            start = PageStart::After(by_key.next.unwrap_or_default());
        }
        assert!(page(&dishes, PageStart::Offset(usize::MAX), usize::MAX).rows.is_empty());
    }

    #[test]
    fn what_comes_meanwhile_shifts_no_page_that_follows_a_key() {
        let first = page(&menu(10..20), PageStart::default(), 5);
        let start = PageStart::After(first.next.expect("there are more"));
        let before = page(&menu(10..20), start.clone(), 5).rows;
        // Dishes of the highest price stand before the page.
        let mut grown = menu(10..20);
        grown.extend((100..110).map(|id| Dish { id, price: 9.0 }));
        assert_eq!(page(&grown, start, 5).rows, before);
    }
}
