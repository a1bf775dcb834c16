//! A tree walked over a value.

use std::fmt;
use std::sync::Arc;

use crate::functions::{Functions, Kind, builtin};
use crate::node::{At, Branch, Call, Command, List, Node, Pipe, Term};
use crate::value::{Field, Value};
use crate::{Cause, DEPTH_MAX, MissingKey, STEPS_MAX, TEXT_MAX, Template, TemplateError};

/// The text, or what was written before a mistake and the mistake.
pub(crate) fn render(
    template: &Template<'_>,
    functions: &Functions<'_>,
    data: &Value,
) -> Result<String, (String, TemplateError)> {
    let mut walk = Walk {
        template,
        functions,
        name: &template.name,
        place: None,
        variables: vec![("$".to_owned(), data.clone())],
        out: String::new(),
        steps: 0,
        depth: 0,
    };
    match walk.list(data, &template.root) {
        Ok(_) => Ok(walk.out),
        Err(error) => Err((walk.out, error)),
    }
}

/// A rendering under way.
struct Walk<'t> {
    template: &'t Template<'t>,
    functions: &'t Functions<'t>,
    /// Of the template that is walked: the whole, or one that it defines.
    name: &'t str,
    /// What messages quote.
    place: Option<(At, &'t dyn fmt::Display)>,
    variables: Vec<(String, Value)>,
    out: String,
    steps: usize,
    depth: usize,
}

type Walked<T> = Result<T, TemplateError>;

/// How a list of nodes ended.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Ended {
    Here,
    Break,
    Continue,
}

// === impl Walk ===

impl<'t> Walk<'t> {
    fn list(&mut self, dot: &Value, list: &'t List) -> Walked<Ended> {
        for node in &list.0 {
            self.step()?;
            let ended = match node {
                Node::Text(text) => self.write(text)?,
                Node::Action(pipe) => self.action(dot, pipe)?,
                Node::If(branch) => self.branch(dot, branch, false)?,
                Node::With(branch) => self.branch(dot, branch, true)?,
                Node::Range(branch) => self.range(dot, branch)?,
                Node::Template(call) => self.call_template(dot, call)?,
                Node::Break => Ended::Break,
                Node::Continue => Ended::Continue,
            };
            if ended != Ended::Here {
                return Ok(ended);
            }
        }
        Ok(Ended::Here)
    }

    fn action(&mut self, dot: &Value, pipe: &'t Pipe) -> Walked<Ended> {
        let value = self.pipe(dot, pipe)?;
        if !pipe.variables.is_empty() {
            return Ok(Ended::Here);
        }
        match value {
            Value::Missing | Value::Null => self.write("<no value>"),
            Value::Text(text) => self.write(&text),
            value => {
                let text = value.to_string();
                self.write(&text)
            }
        }
    }

    fn branch(&mut self, dot: &Value, branch: &'t Branch, with: bool) -> Walked<Ended> {
        let known = self.variables.len();
        let value = self.pipe(dot, &branch.pipe)?;
        let ended = match (value.is_true(), &branch.otherwise) {
            (true, _) => self.list(if with { &value } else { dot }, &branch.list),
            (false, Some(otherwise)) => self.list(dot, otherwise),
            (false, None) => Ok(Ended::Here),
        };
        self.variables.truncate(known);
        ended
    }

    fn range(&mut self, dot: &Value, branch: &'t Branch) -> Walked<Ended> {
        let known = self.variables.len();
        let value = self.pipe(dot, &branch.pipe)?;
        let mut any = false;
        for (key, item) in self.items(&value, &branch.pipe)? {
            any = true;
            self.step()?;
            if self.turn(key, item, branch)? == Ended::Break {
                break;
            }
        }
        let ended = match &branch.otherwise {
            Some(otherwise) if !any => self.list(dot, otherwise)?,
            _ => Ended::Here,
        };
        self.variables.truncate(known);
        Ok(ended)
    }

    /// One turn of a range. Its variables stand on the stack already.
    fn turn(&mut self, key: Value, item: Value, branch: &'t Branch) -> Walked<Ended> {
        let pipe = &branch.pipe;
        let last = pipe.variables.len().saturating_sub(1);
        for (at, variable) in pipe.variables.iter().enumerate() {
            let value = if at == last { &item } else { &key };
            self.set(variable, value.clone());
        }
        let known = self.variables.len();
        let ended = self.list(&item, &branch.list);
        self.variables.truncate(known);
        ended
    }

    /// What a range goes over: keys, and what is there.
    fn items(
        &mut self,
        value: &Value,
        pipe: &'t Pipe,
    ) -> Walked<Box<dyn Iterator<Item = (Value, Value)>>> {
        let number = |at: usize| Value::Int(i64::try_from(at).unwrap_or(i64::MAX));
        Ok(match value.plain() {
            Value::Bytes(bytes, _) => {
                let bytes = Arc::clone(bytes);
                let item = |byte| Value::Int(i64::from(byte));
                Box::new((0..bytes.len()).map(move |at| (number(at), item(bytes[at]))))
            }
            Value::List(list) => {
                let list = Arc::clone(list);
                Box::new((0..list.len()).map(move |at| (number(at), list[at].clone())))
            }
            Value::Map(map) => {
                let sorted: Vec<_> = map
                    .sorted()
                    .into_iter()
                    .map(|(key, value)| (Value::Text(key.clone()), value.clone()))
                    .collect();
                Box::new(sorted.into_iter())
            }
            Value::Int(_) if pipe.variables.len() > 1 => {
                let message = format!("can't use {value} to iterate over more than one variable");
                return Err(self.wrong(&message));
            }
            Value::Int(end) => Box::new((0..*end).map(|at| (Value::Int(at), Value::Int(at)))),
            Value::Missing | Value::Null | Value::NilPointer(_) => Box::new(std::iter::empty()),
            _ => return Err(self.wrong(&format!("range can't iterate over {value}"))),
        })
    }

    fn call_template(&mut self, dot: &Value, call: &'t Call) -> Walked<Ended> {
        self.place = Some((call.at, call));
        let template = self.template;
        let Some((name, list)) = template.defined.get_key_value(&call.name) else {
            return Err(self.wrong(&format!("template {:?} not defined", call.name)));
        };
        if self.depth == DEPTH_MAX {
            return Err(self.wrong(&format!("exceeded maximum template depth ({DEPTH_MAX})")));
        }
        let dot = match &call.pipe {
            Some(pipe) => self.pipe(dot, pipe)?,
            None => Value::Missing,
        };
        let outer = std::mem::replace(&mut self.name, name);
        let variables = std::mem::replace(&mut self.variables, vec![("$".to_owned(), dot.clone())]);
        self.depth += 1;
        self.list(&dot, list)?;
        self.depth -= 1;
        self.variables = variables;
        self.name = outer;
        Ok(Ended::Here)
    }

    fn pipe(&mut self, dot: &Value, pipe: &'t Pipe) -> Walked<Value> {
        self.place = Some((pipe.at, pipe));
        let mut value = None;
        for command in &pipe.commands {
            value = Some(self.command(dot, command, value)?);
        }
        let value = value.unwrap_or(Value::Missing);
        for variable in &pipe.variables {
            match pipe.assigns {
                true => self.set(variable, value.clone()),
                false => self.variables.push((variable.clone(), value.clone())),
            }
        }
        Ok(value)
    }

    fn set(&mut self, variable: &str, value: Value) {
        if let Some(slot) = self.variables.iter_mut().rev().find(|(name, _)| name == variable) {
            slot.1 = value;
        }
    }

    /// A command; `last` is what the one before it gave, which is its last argument.
    fn command(&mut self, dot: &Value, command: &'t Command, last: Option<Value>) -> Walked<Value> {
        self.step()?;
        let (first, rest) = (&command.terms[0], &command.terms[1..]);
        match first {
            Term::Field(at, names) => {
                self.place = Some((*at, first));
                self.fields(dot, dot.clone(), names, rest, last)
            }
            Term::Variable(at, names) => {
                self.place = Some((*at, first));
                let value = self.variable(&names[0])?;
                if names.len() == 1 {
                    self.no_arguments(first, rest, last.as_ref())?;
                    return Ok(value);
                }
                self.fields(dot, value, &names[1..], rest, last)
            }
            Term::Chain(at, term, names) => {
                self.place = Some((*at, first));
                let value = self.argument(dot, term, Kind::Any)?;
                self.fields(dot, value, names, rest, last)
            }
            Term::Function(at, name) => {
                self.place = Some((*at, first));
                self.function(dot, name, (command.at, command), rest, last)
            }
            Term::Pipe(pipe) => {
                self.no_arguments(first, rest, last.as_ref())?;
                self.pipe(dot, pipe)
            }
            term => {
                self.place = Some((term.at(), term));
                self.no_arguments(first, rest, last.as_ref())?;
                match term {
                    Term::Nil(_) => Err(self.wrong("nil is not a command")),
                    term => Ok(constant(term, dot)),
                }
            }
        }
    }

    fn no_arguments(&self, term: &Term, rest: &[Term], last: Option<&Value>) -> Walked<()> {
        match rest.is_empty() && last.is_none() {
            true => Ok(()),
            false => Err(self.wrong(&format!("can't give argument to non-function {term}"))),
        }
    }

    fn variable(&self, name: &str) -> Walked<Value> {
        match self.variables.iter().rev().find(|(known, _)| known == name) {
            Some((_, value)) => Ok(value.clone()),
            None => Err(self.wrong(&format!("undefined variable: {name}"))),
        }
    }

    /// Fields of fields; only the last one may have arguments.
    fn fields(
        &mut self,
        dot: &Value,
        value: Value,
        names: &'t [String],
        rest: &'t [Term],
        last: Option<Value>,
    ) -> Walked<Value> {
        let Some((final_name, names)) = names.split_last() else { return Ok(value) };
        let mut value = value;
        for name in names {
            value = self.field(dot, &value, name, &[], None)?;
        }
        self.field(dot, &value, final_name, rest, last)
    }

    fn field(
        &mut self,
        dot: &Value,
        value: &Value,
        name: &str,
        rest: &'t [Term],
        last: Option<Value>,
    ) -> Walked<Value> {
        self.step()?;
        let given = rest.len() + usize::from(last.is_some());
        match value {
            Value::Missing => match self.template.missing_key {
                MissingKey::Refused => {
                    Err(self.wrong(&format!("nil data; no entry for key {name:?}")))
                }
                MissingKey::NoValue => Ok(Value::Missing),
            },
            Value::Null | Value::NilPointer(_) => {
                Err(self.wrong(&format!("nil pointer evaluating {}.{name}", value.type_name())))
            }
            Value::Struct(fields) => match fields.field(name) {
                Some(Field::Method(value)) => match given {
                    0 => Ok(value.clone()),
                    _ => Err(self.wrong_count(name, 0, given)),
                },
                Some(Field::Keyed(map, look_up)) if given == 1 => {
                    let key = match (rest.first(), last) {
                        (Some(term), _) => self.argument(dot, term, Kind::Text)?,
                        (None, last) => self.checked(last.unwrap_or(Value::Missing), Kind::Text)?,
                    };
                    Ok(look_up(map, key.as_text().unwrap_or_default()))
                }
                Some(Field::Keyed(..)) => Err(self.wrong_count(name, 1, given)),
                Some(Field::Value(_)) if given > 0 => {
                    Err(self
                        .wrong(&format!("{name} has arguments but cannot be invoked as function")))
                }
                Some(Field::Value(value)) => Ok(value.clone()),
                None if fields.is_open => Ok(Value::Missing),
                None => Err(self.no_field(name, value)),
            },
            Value::Map(_) if given > 0 => {
                Err(self.wrong(&format!("{name} is not a method but has arguments")))
            }
            Value::Map(map) => match (map.get(name), self.template.missing_key) {
                (Some(value), _) => Ok(value.clone()),
                (None, MissingKey::NoValue) => Ok(Value::Missing),
                (None, MissingKey::Refused) => {
                    Err(self.wrong(&format!("map has no entry for key {name:?}")))
                }
            },
            Value::Printed(_, inner)
                if matches!(inner.plain(), Value::Map(_) | Value::Struct(_)) =>
            {
                let inner = inner.plain().clone();
                self.field(dot, &inner, name, rest, last)
            }
            value => Err(self.no_field(name, value)),
        }
    }

    fn function(
        &mut self,
        dot: &Value,
        name: &str,
        call: (At, &'t dyn fmt::Display),
        terms: &'t [Term],
        last: Option<Value>,
    ) -> Walked<Value> {
        let functions = self.functions;
        let given = terms.len() + usize::from(last.is_some());
        if let Some(function) = functions.get(name) {
            let takes = function.takes();
            if given != takes.len() {
                return Err(self.wrong_count(name, takes.len(), given));
            }
            let values = self.arguments(dot, takes, Kind::Any, terms, last)?;
            return self.result(name, call, Cause::Given, function.call(&values));
        }
        if matches!(name, "and" | "or") {
            return self.junction(dot, name, terms, last);
        }
        if name == "call" {
            return self.call_value(dot, call, terms, last);
        }
        let Some(builtin) = builtin(name) else {
            return Err(self.wrong(&format!("{name:?} is not a defined function")));
        };
        let least = builtin.takes.len();
        if builtin.more && given < least {
            return Err(self.wrong(&format!(
                "wrong number of args for {name}: want at least {least} got {}",
                terms.len()
            )));
        }
        if !builtin.more && given != least {
            return Err(self.wrong_count(name, least, given));
        }
        let values = self.arguments(dot, builtin.takes, Kind::Any, terms, last)?;
        self.result(name, call, Cause::Value, (builtin.call)(&values))
    }

    /// `and` and `or` look at no more than they must.
    fn junction(
        &mut self,
        dot: &Value,
        name: &str,
        terms: &'t [Term],
        last: Option<Value>,
    ) -> Walked<Value> {
        if terms.is_empty() && last.is_none() {
            return Err(
                self.wrong(&format!("wrong number of args for {name}: want at least 1 got 0"))
            );
        }
        let mut value = Value::Missing;
        for term in terms {
            value = self.argument(dot, term, Kind::Any)?;
            if value.is_true() == (name == "or") {
                return Ok(value);
            }
        }
        Ok(last.unwrap_or(value))
    }

    /// No value here is a function, so each call of one is a mistake.
    fn call_value(
        &mut self,
        dot: &Value,
        call: (At, &'t dyn fmt::Display),
        terms: &'t [Term],
        last: Option<Value>,
    ) -> Walked<Value> {
        let (value, named) = match (terms.first(), last) {
            (Some(term), _) => (self.argument(dot, term, Kind::Any)?, term.to_string()),
            (None, Some(last)) => {
                let named = last.to_string();
                (last, named)
            }
            (None, None) => {
                return Err(self.wrong("wrong number of args for call: want at least 1 got 0"));
            }
        };
        let message = match &value {
            Value::Missing | Value::Null => "call of nil".to_owned(),
            value => format!("non-function {named} of type {}", value.type_name()),
        };
        self.result("call", call, Cause::Value, Err(message))
    }

    fn result(
        &mut self,
        name: &str,
        call: (At, &'t dyn fmt::Display),
        cause: Cause,
        result: Result<Value, String>,
    ) -> Walked<Value> {
        let value = result.map_err(|message| {
            self.place = Some(call);
            self.wrong_by(cause, &format!("error calling {name}: {message}"))
        })?;
        // What functions make counts as work, so that nothing doubles for long.
        if let Value::Text(text) = &value {
            self.steps += text.len() / 64;
        }
        self.step()?;
        Ok(value)
    }

    fn arguments(
        &mut self,
        dot: &Value,
        takes: &[Kind],
        further: Kind,
        terms: &'t [Term],
        last: Option<Value>,
    ) -> Walked<Vec<Value>> {
        let kind = |at: usize| takes.get(at).copied().unwrap_or(further);
        let mut values = Vec::with_capacity(terms.len() + 1);
        for (at, term) in terms.iter().enumerate() {
            values.push(self.argument(dot, term, kind(at))?);
        }
        if let Some(last) = last {
            values.push(self.checked(last, kind(terms.len()))?);
        }
        Ok(values)
    }

    fn argument(&mut self, dot: &Value, term: &'t Term, kind: Kind) -> Walked<Value> {
        self.step()?;
        self.place = Some((term.at(), term));
        let value = match term {
            Term::Dot(_) => dot.clone(),
            Term::Nil(_) => {
                return match kind {
                    Kind::Any | Kind::Texts => Ok(Value::Null),
                    kind => Err(self.wrong(&format!("cannot assign nil to {}", kind.type_name()))),
                };
            }
            Term::Field(_, names) => self.fields(dot, dot.clone(), names, &[], None)?,
            Term::Variable(_, names) => {
                let value = self.variable(&names[0])?;
                self.fields(dot, value, &names[1..], &[], None)?
            }
            Term::Pipe(pipe) => self.pipe(dot, pipe)?,
            Term::Function(at, name) => self.function(dot, name, (*at, term), &[], None)?,
            Term::Chain(_, inner, names) => {
                let value = self.argument(dot, inner, Kind::Any)?;
                self.fields(dot, value, names, &[], None)?
            }
            term => {
                let value = constant(term, dot);
                return match kind {
                    kind if kind.admits(&value) => Ok(value),
                    Kind::Text => Err(self.wrong(&format!("expected string; found {term}"))),
                    Kind::Int => Err(self.wrong(&format!("expected integer; found {term}"))),
                    kind => {
                        let kind = kind.type_name();
                        Err(self.wrong(&format!("can't handle {term} for arg of type {kind}")))
                    }
                };
            }
        };
        self.checked(value, kind)
    }

    fn checked(&self, value: Value, kind: Kind) -> Walked<Value> {
        if kind.admits(&value) {
            return Ok(value);
        }
        let want = kind.type_name();
        Err(match (&value, kind) {
            (Value::Missing | Value::Null, Kind::Texts) => return Ok(Value::List(Arc::new([]))),
            (Value::Missing | Value::Null, _) => {
                self.wrong(&format!("invalid value; expected {want}"))
            }
            (value, _) => self.wrong(&format!(
                "wrong type for value; expected {want}; got {}",
                value.type_name()
            )),
        })
    }

    fn write(&mut self, text: &str) -> Walked<Ended> {
        if self.out.len() + text.len() > TEXT_MAX {
            return Err(self.wrong(&format!("makes more than {TEXT_MAX} bytes")));
        }
        self.out.push_str(text);
        Ok(Ended::Here)
    }

    fn step(&mut self) -> Walked<()> {
        self.steps += 1;
        match self.steps > STEPS_MAX {
            true => Err(self.wrong(&format!("takes more than {STEPS_MAX} steps"))),
            false => Ok(()),
        }
    }

    fn no_field(&self, name: &str, value: &Value) -> TemplateError {
        let message = format!("can't evaluate field {name} in type {}", value.type_name());
        self.wrong_by(Cause::Field, &message)
    }

    fn wrong_count(&self, name: &str, want: usize, got: usize) -> TemplateError {
        self.wrong(&format!("wrong number of args for {name}: want {want} got {got}"))
    }

    fn wrong(&self, message: &str) -> TemplateError {
        self.wrong_by(Cause::Value, message)
    }

    fn wrong_by(&self, cause: Cause, message: &str) -> TemplateError {
        let name = &self.template.name;
        let place = match self.place {
            None => name.clone(),
            Some((at, place)) => {
                let text = &self.template.text;
                let before = text.get(..at).unwrap_or(text);
                let line = before.matches('\n').count() + 1;
                let column = before.len() - before.rfind('\n').map_or(0, |end| end + 1);
                format!("{name}:{line}:{column}: executing {:?} at <{place}>", self.name)
            }
        };
        TemplateError { place, message: message.to_owned(), cause }
    }
}

fn constant(term: &Term, dot: &Value) -> Value {
    match term {
        Term::Dot(_) => dot.clone(),
        Term::Bool(_, on) => Value::Bool(*on),
        Term::Int(_, number, _) => Value::Int(*number),
        Term::Float(_, number, _) => Value::Float(*number),
        Term::Text(_, text, _) => Value::Text(Arc::clone(text)),
        _ => Value::Null,
    }
}
