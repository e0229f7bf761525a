//! order_by: what rows are sorted by, and which way.

use super::SearchError;
use super::lexer::{Kind, tokens};
use super::schema::{Field, Schema, quoted_list, unquoted};

/// One thing that rows are sorted by.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Order<A> {
    /// What.
    pub field: Field<A>,
    /// From low to high. What has no value comes last either way.
    pub ascending: bool,
}

/// Reads what rows are to be sorted by: first by the first, and so on.
pub fn parse_order<A: Copy + PartialEq>(
    schema: &Schema<A>,
    clauses: &[impl AsRef<str>],
) -> Result<Vec<Order<A>>, SearchError> {
    let mut order: Vec<Order<A>> = Vec::with_capacity(clauses.len());
    for clause in clauses {
        let one = parse_one(schema, clause.as_ref())?;
        if order.iter().any(|earlier| earlier.field == one.field) {
            let all = quoted_list(clauses.iter().map(AsRef::as_ref));
            return Err(SearchError::RepeatedOrder(all));
        }
        order.push(one);
    }
    Ok(order)
}

fn parse_one<A: Copy>(schema: &Schema<A>, clause: &str) -> Result<Order<A>, SearchError> {
    let words = tokens(clause);
    let (name, ascending) = match words.as_slice() {
        [name] if is_direction(name.of(clause)).is_none() => (name, true),
        [name, direction] if direction.kind == Kind::Identifier => {
            let ascending = is_direction(direction.of(clause))
                .ok_or_else(|| SearchError::InvalidDirection(clause.to_owned()))?;
            (name, ascending)
        }
        _ => return Err(SearchError::InvalidOrder(clause.to_owned())),
    };
    if name.kind != Kind::Identifier {
        return Err(SearchError::InvalidOrder(clause.to_owned()));
    }
    let source = name.of(clause);
    // An entity and its key may be quoted as a whole here.
    let name = match unquoted(source, "`\"") {
        whole if whole.contains(['`', '"']) => source,
        whole => whole,
    };
    Ok(Order { field: schema.named_in_order(name)?.field(), ascending })
}

/// Whether a word means ascending, if it is a direction.
fn is_direction(word: &str) -> Option<bool> {
    match () {
        () if word.eq_ignore_ascii_case("asc") => Some(true),
        () if word.eq_ignore_ascii_case("desc") => Some(false),
        () => None,
    }
}
