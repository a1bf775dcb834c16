//! Builders of claims and grants.

use crate::{Claim, Grant, GrantRequest};

impl Claim {
    /// One whole key, such as `node.id`.
    pub fn key(key: &str) -> Self {
        Self::Key(key.to_owned())
    }

    /// Every key that starts so, such as `node.labels.`.
    pub fn key_prefix(prefix: &str) -> Self {
        Self::KeyPrefix(prefix.to_owned())
    }

    /// Of this plugin's keys, only expressions with one of its operators.
    pub fn operator(operator: &str) -> Self {
        Self::Operator(operator.to_owned())
    }

    /// `near` for `near(…)`.
    pub fn call(name: &str) -> Self {
        Self::Call(name.to_owned())
    }

    /// A preference, update policy or volume driver, as typed by operators.
    pub fn name(name: &str) -> Self {
        Self::Name(name.to_owned())
    }
}

impl Grant {
    /// To ask the host for the answer of URLs of this pattern.
    pub fn observe(pattern: &str, reason: &str) -> Self {
        Self::of(GrantRequest::Observe(pattern.to_owned()), reason)
    }

    /// To have a file system of this type mounted from sources of this pattern.
    pub fn mount(fs_type: &str, source: &str, reason: &str) -> Self {
        Self::of(GrantRequest::Mount((fs_type.to_owned(), source.to_owned())), reason)
    }

    /// To have a program run that the node's admin has allowed.
    pub fn helper(program: &str, reason: &str) -> Self {
        Self::of(GrantRequest::Helper(program.to_owned()), reason)
    }

    /// To have secrets of this name pattern put in place of handles.
    pub fn secret(pattern: &str, reason: &str) -> Self {
        Self::of(GrantRequest::Secret(pattern.to_owned()), reason)
    }

    fn of(request: GrantRequest, reason: &str) -> Self {
        Self { request, reason: reason.to_owned() }
    }
}
