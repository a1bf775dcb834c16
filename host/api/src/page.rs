//! Lists in pages: `?limit=N`, and `?continue=TOKEN` with what the page before said.
//!
//! The order is that of ids. A token holds the last id of a page, so nobody keeps anything
//! for who may never come back, and what is made or removed meanwhile moves nothing else:
//! what is there all along comes on one page and no other. The body stays Docker's list; what
//! pages add is in the head of the answer.

use std::fmt::Display;
use std::str::FromStr;

use axum::response::Response;
use http::{HeaderName, HeaderValue};

use swarmw_model::Refusal;

use crate::body::Params;

/// What to `continue` with; absent on the last page.
const CONTINUE: HeaderName = HeaderName::from_static("x-swarmw-continue");
/// How many come after this page.
const REMAINING: HeaderName = HeaderName::from_static("x-swarmw-remaining");

/// Which part of a list is wanted.
pub(crate) struct Page<K> {
    /// Of what, as tokens name it.
    kind: &'static str,
    limit: Option<usize>,
    after: Option<K>,
}

/// What is on a page.
pub(crate) struct Cut<T> {
    pub(crate) items: Vec<T>,
    pub(crate) head: Head,
}

/// What its answer says of those that are not.
pub(crate) struct Head {
    next: Option<String>,
    remaining: Option<usize>,
}

// === impl Page ===

impl<K: Ord + Display + FromStr> Page<K> {
    /// What the parameters of a list say.
    ///
    /// # Errors
    /// A limit that is no number from 1 on, a token that no list of this kind gave.
    pub(crate) fn of(kind: &'static str, params: &Params<'_>) -> Result<Self, Refusal> {
        let limit = match params.get("limit") {
            "" => None,
            text => Some(text.parse().ok().filter(|limit| *limit > 0).ok_or_else(|| {
                Refusal::invalid(format!("invalid limit {text:?}: want a whole number from 1 on"))
            })?),
        };
        let after = match params.get("continue") {
            "" => None,
            token => Some(Self::key(kind, token).ok_or_else(|| {
                Refusal::invalid(format!(
                    "invalid continue token {token:?}: want the header X-Swarmw-Continue of the \
                     page before, of a list of {kind}s"
                ))
            })?),
        };
        Ok(Self { kind, limit, after })
    }

    fn key(kind: &str, token: &str) -> Option<K> {
        token.strip_prefix(kind)?.strip_prefix('.')?.parse().ok()
    }

    /// What is on the page, out of all that pass the filters.
    pub(crate) fn cut<T>(&self, mut items: Vec<T>, key: impl Fn(&T) -> K) -> Cut<T> {
        if self.limit.is_none() && self.after.is_none() {
            return Cut { items, head: Head { next: None, remaining: None } };
        }
        if let Some(after) = &self.after {
            items.retain(|item| key(item) > *after);
        }
        let all = items.len();
        // Of a long list only the page is put in order.
        if let Some(limit) = self.limit.filter(|limit| *limit < all) {
            items.select_nth_unstable_by_key(limit, &key);
            items.truncate(limit);
        }
        items.sort_by_cached_key(&key);
        let remaining = all - items.len();
        let last = items.last().filter(|_| remaining > 0);
        let next = last.map(|item| format!("{}.{}", self.kind, key(item)));
        Cut { items, head: Head { next, remaining: Some(remaining) } }
    }
}

// === impl Head ===

impl Head {
    /// Puts it into an answer.
    pub(crate) fn on(self, mut answer: Response) -> Response {
        let headers = answer.headers_mut();
        let next = self.next.and_then(|token| HeaderValue::try_from(token).ok());
        headers.extend(next.map(|token| (CONTINUE, token)));
        headers.extend(self.remaining.map(|many| (REMAINING, HeaderValue::from(many))));
        answer
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use http::Uri;
    use swarmw_model::TaskId;

    fn page(query: &str) -> Result<Page<TaskId>, String> {
        let uri: Uri = format!("/tasks?{query}").parse().expect("a uri");
        Page::of("task", &Params::of(&uri)).map_err(|refusal| refusal.message)
    }

    fn ids(of: &[u128]) -> Vec<TaskId> {
        of.iter().map(|n| TaskId::from_bits(*n)).collect()
    }

    #[test]
    fn pages_follow_each_other_in_the_order_of_ids() {
        let all = ids(&[5, 1, 4, 2, 3]);
        let first = page("limit=2").expect("fine").cut(all.clone(), |id| *id);
        assert_eq!((first.items, first.head.remaining), (ids(&[1, 2]), Some(3)));
        let token = first.head.next.expect("there is more");
        // What comes in front, and the last one going, moves nothing.
        let later = ids(&[5, 1, 4, 3, 0]);
        let second = page(&format!("limit=2&continue={token}")).expect("fine").cut(later, |id| *id);
        assert_eq!((second.items, second.head.remaining), (ids(&[3, 4]), Some(1)));
        let token = second.head.next.expect("there is more");
        let third = page(&format!("continue={token}")).expect("fine").cut(all, |id| *id);
        assert_eq!((third.items, third.head.remaining), (ids(&[5]), Some(0)));
        assert_eq!(third.head.next, None);
    }

    #[test]
    fn a_list_without_pages_is_left_as_it_is() {
        let all = ids(&[5, 1, 4]);
        let cut = page("").expect("fine").cut(all.clone(), |id| *id);
        assert_eq!(cut.items, all);
        assert!(cut.head.next.is_none() && cut.head.remaining.is_none());
    }

    #[test]
    fn what_is_no_token_of_this_list_is_refused() {
        let id = TaskId::from_bits(1);
        for token in ["x", "task.", "task.x", &format!("service.{id}"), &format!("task{id}")] {
            let why = page(&format!("continue={token}")).err().expect("refused");
            assert!(why.starts_with(&format!("invalid continue token {token:?}: want")), "{why}");
        }
        for limit in ["0", "-1", "x", "1.5"] {
            let why = page(&format!("limit={limit}")).err().expect("refused");
            assert_eq!(why, format!("invalid limit {limit:?}: want a whole number from 1 on"));
        }
    }
}
