//! What a template consists of. Each part prints as it was written, which messages
//! quote.

use std::fmt;
use std::sync::Arc;

/// Bytes before a part, in the text that it is of.
pub(crate) type At = usize;

/// Parts in their order.
#[derive(Clone, Debug, Default)]
pub(crate) struct List(pub(crate) Vec<Node>);

#[derive(Clone, Debug)]
pub(crate) enum Node {
    Text(String),
    Action(Pipe),
    If(Branch),
    With(Branch),
    Range(Branch),
    Template(Call),
    Break,
    Continue,
}

/// `if`, `with` and `range`.
#[derive(Clone, Debug)]
pub(crate) struct Branch {
    pub(crate) pipe: Pipe,
    pub(crate) list: List,
    pub(crate) otherwise: Option<List>,
}

/// `{{template "NAME" PIPE}}`
#[derive(Clone, Debug)]
pub(crate) struct Call {
    pub(crate) at: At,
    pub(crate) name: String,
    pub(crate) pipe: Option<Pipe>,
}

/// Commands, each of which gets what the one before it gave.
#[derive(Clone, Debug)]
pub(crate) struct Pipe {
    pub(crate) at: At,
    /// Variables that get the value, with their `$`.
    pub(crate) variables: Vec<String>,
    /// Whether the variables are known already.
    pub(crate) assigns: bool,
    pub(crate) commands: Vec<Command>,
}

/// A function or a value, and its arguments.
#[derive(Clone, Debug)]
pub(crate) struct Command {
    pub(crate) at: At,
    pub(crate) terms: Vec<Term>,
}

#[derive(Clone, Debug)]
pub(crate) enum Term {
    Dot(At),
    Nil(At),
    Bool(At, bool),
    Int(At, i64, String),
    Float(At, f64, String),
    /// What it is, and how it was written.
    Text(At, Arc<str>, String),
    Field(At, Vec<String>),
    /// The variable first, then fields of its value.
    Variable(At, Vec<String>),
    Function(At, String),
    Pipe(Pipe),
    Chain(At, Box<Term>, Vec<String>),
}

// === impl Term ===

impl Term {
    pub(crate) fn at(&self) -> At {
        match self {
            Self::Dot(at)
            | Self::Nil(at)
            | Self::Bool(at, _)
            | Self::Int(at, _, _)
            | Self::Float(at, _, _)
            | Self::Text(at, _, _)
            | Self::Field(at, _)
            | Self::Variable(at, _)
            | Self::Function(at, _)
            | Self::Chain(at, _, _) => *at,
            Self::Pipe(pipe) => pipe.at,
        }
    }
}

impl fmt::Display for Term {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Dot(_) => f.write_str("."),
            Self::Nil(_) => f.write_str("nil"),
            Self::Bool(_, on) => write!(f, "{on}"),
            Self::Int(_, _, written) | Self::Float(_, _, written) | Self::Text(_, _, written) => {
                f.write_str(written)
            }
            Self::Field(_, names) => names.iter().try_for_each(|name| write!(f, ".{name}")),
            Self::Variable(_, names) => f.write_str(&names.join(".")),
            Self::Function(_, name) => f.write_str(name),
            Self::Pipe(pipe) => write!(f, "{pipe}"),
            Self::Chain(_, term, names) => {
                match &**term {
                    Self::Pipe(pipe) => write!(f, "({pipe})")?,
                    term => write!(f, "{term}")?,
                }
                names.iter().try_for_each(|name| write!(f, ".{name}"))
            }
        }
    }
}

impl fmt::Display for Command {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (at, term) in self.terms.iter().enumerate() {
            f.write_str(if at == 0 { "" } else { " " })?;
            match term {
                Term::Pipe(pipe) => write!(f, "({pipe})")?,
                term => write!(f, "{term}")?,
            }
        }
        Ok(())
    }
}

impl fmt::Display for Pipe {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if !self.variables.is_empty() {
            let sign = if self.assigns { "=" } else { ":=" };
            write!(f, "{} {sign} ", self.variables.join(", "))?;
        }
        for (at, command) in self.commands.iter().enumerate() {
            write!(f, "{}{command}", if at == 0 { "" } else { " | " })?;
        }
        Ok(())
    }
}

impl fmt::Display for Call {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{{{{template {:?}", self.name)?;
        if let Some(pipe) = &self.pipe {
            write!(f, " {pipe}")?;
        }
        f.write_str("}}")
    }
}
