//! Tokens as a tree.

use std::cell::Cell;
use std::collections::HashMap;

use crate::functions::{Functions, is_builtin};
use crate::lex::{Keyword, Kind, Token, lex};
use crate::node::{Branch, Call, Command, List, Node, Pipe, Term};
use crate::{Cause, DEPTH_MAX, TemplateError};

const DEFINE: &str = "define clause";
const BLOCK: &str = "block clause";
const TEMPLATE: &str = "template clause";

/// Reads a text; gives the template and those that it defines.
pub(crate) fn parse(
    name: &str,
    text: &str,
    functions: &Functions<'_>,
) -> Result<(List, HashMap<String, List>), TemplateError> {
    let mut parser = Parser {
        name,
        functions,
        tokens: lex(text),
        at: 0,
        seen: Cell::new(0),
        variables: vec!["$".to_owned()],
        ranges: 0,
        depth: 0,
        action_line: 0,
        defined: HashMap::new(),
    };
    let root = parser.root()?;
    Ok((root, parser.defined))
}

struct Parser<'p> {
    name: &'p str,
    functions: &'p Functions<'p>,
    tokens: Vec<Token>,
    at: usize,
    /// The furthest token that was looked at, whose line messages name.
    seen: Cell<usize>,
    /// Those that are known here.
    variables: Vec<String>,
    /// How many `range` are around.
    ranges: usize,
    depth: usize,
    /// Where the action under way began; 0 outside of one.
    action_line: usize,
    defined: HashMap<String, List>,
}

type Parsed<T> = Result<T, TemplateError>;

/// What ended a list.
enum End {
    End,
    Else,
}

// === impl Parser ===

impl Parser<'_> {
    fn root(&mut self) -> Parsed<List> {
        let mut nodes = Vec::new();
        while self.peek().kind != Kind::End {
            match self.text_or_action()? {
                Ok(node) => nodes.extend(node),
                Err(End::End) => return Err(self.wrong("unexpected {{end}}")),
                Err(End::Else) => return Err(self.wrong("unexpected {{else}}")),
            }
        }
        Ok(List(nodes))
    }

    /// Up to `{{end}}` or `{{else}}`.
    fn list(&mut self) -> Parsed<(List, End)> {
        let mut nodes = Vec::new();
        while self.peek_past_space().kind != Kind::End {
            match self.text_or_action()? {
                Ok(node) => nodes.extend(node),
                Err(end) => return Ok((List(nodes), end)),
            }
        }
        Err(self.wrong("unexpected EOF"))
    }

    fn text_or_action(&mut self) -> Parsed<Result<Option<Node>, End>> {
        let token = self.next_past_space();
        match token.kind {
            Kind::Text => Ok(Ok(Some(Node::Text(token.text)))),
            Kind::Left => {
                self.action_line = token.line;
                let action = self.action();
                if action.is_ok() {
                    self.action_line = 0;
                }
                action
            }
            _ => Err(self.unexpected(&token, "input")),
        }
    }

    fn action(&mut self) -> Parsed<Result<Option<Node>, End>> {
        let token = self.next_past_space();
        let Kind::Keyword(word) = token.kind else {
            self.back();
            return Ok(Ok(Some(Node::Action(self.pipe("command", Kind::Right)?))));
        };
        Ok(Ok(match word {
            Keyword::If => Some(Node::If(self.branch("if")?)),
            Keyword::With => Some(Node::With(self.branch("with")?)),
            Keyword::Range => Some(Node::Range(self.branch("range")?)),
            Keyword::Template => Some(self.template()?),
            Keyword::Block => Some(self.block()?),
            Keyword::Define => {
                self.define()?;
                None
            }
            Keyword::Break => Some(self.leap("break", Node::Break)?),
            Keyword::Continue => Some(self.leap("continue", Node::Continue)?),
            Keyword::End => {
                self.expect(Kind::Right, "end")?;
                return Ok(Err(End::End));
            }
            Keyword::Else => {
                let next = self.peek_past_space().kind;
                if !matches!(next, Kind::Keyword(Keyword::If | Keyword::With)) {
                    self.expect(Kind::Right, "else")?;
                }
                return Ok(Err(End::Else));
            }
        }))
    }

    fn leap(&mut self, word: &str, node: Node) -> Parsed<Node> {
        let token = self.next_past_space();
        if token.kind != Kind::Right {
            return Err(self.unexpected(&token, &format!("{{{{{word}}}}}")));
        }
        if self.ranges == 0 {
            return Err(self.wrong(&format!("{{{{{word}}}}} outside {{{{range}}}}")));
        }
        Ok(node)
    }

    fn branch(&mut self, context: &str) -> Parsed<Branch> {
        self.enter()?;
        let known = self.variables.len();
        let pipe = self.pipe(context, Kind::Right)?;
        self.ranges += usize::from(context == "range");
        let (list, end) = self.list()?;
        self.ranges -= usize::from(context == "range");
        let otherwise = match end {
            End::End => None,
            End::Else => Some(self.otherwise(context)?),
        };
        self.variables.truncate(known);
        self.depth -= 1;
        Ok(Branch { pipe, list, otherwise })
    }

    fn otherwise(&mut self, context: &str) -> Parsed<List> {
        // `{{else if}}` and `{{else with}}` need one `{{end}}` alone.
        let node = match (context, self.peek_past_space().kind) {
            ("if", Kind::Keyword(Keyword::If)) => {
                self.next_past_space();
                Some(Node::If(self.branch("if")?))
            }
            ("with", Kind::Keyword(Keyword::With)) => {
                self.next_past_space();
                Some(Node::With(self.branch("with")?))
            }
            _ => None,
        };
        if let Some(node) = node {
            return Ok(List(vec![node]));
        }
        match self.list()? {
            (list, End::End) => Ok(list),
            (_, End::Else) => Err(self.wrong("expected end; found {{else}}")),
        }
    }

    fn define(&mut self) -> Parsed<()> {
        let name = self.template_name(DEFINE)?;
        self.expect(Kind::Right, DEFINE)?;
        self.definition(name, DEFINE)
    }

    fn block(&mut self) -> Parsed<Node> {
        let at = self.peek_past_space().at;
        let name = self.template_name(BLOCK)?;
        let pipe = self.pipe(BLOCK, Kind::Right)?;
        self.definition(name.clone(), BLOCK)?;
        Ok(Node::Template(Call { at, name, pipe: Some(pipe) }))
    }

    /// The body of a template of its own, which sees no variables from outside.
    fn definition(&mut self, name: String, context: &str) -> Parsed<()> {
        self.enter()?;
        let variables = std::mem::replace(&mut self.variables, vec!["$".to_owned()]);
        let ranges = std::mem::take(&mut self.ranges);
        let (list, end) = self.list()?;
        if matches!(end, End::Else) {
            return Err(self.wrong(&format!("unexpected {{{{else}}}} in {context}")));
        }
        self.variables = variables;
        self.ranges = ranges;
        self.depth -= 1;
        // Of two with one name, at most one may say something.
        if is_empty(&list) && self.defined.contains_key(&name) {
            return Ok(());
        }
        if self.defined.get(&name).is_some_and(|known| !is_empty(known)) {
            return Err(self.wrong(&format!("template: multiple definition of template {name:?}")));
        }
        self.defined.insert(name, list);
        Ok(())
    }

    fn template(&mut self) -> Parsed<Node> {
        let at = self.peek_past_space().at;
        let name = self.template_name(TEMPLATE)?;
        let pipe = match self.next_past_space().kind {
            Kind::Right => None,
            _ => {
                self.back();
                Some(self.pipe(TEMPLATE, Kind::Right)?)
            }
        };
        Ok(Node::Template(Call { at, name, pipe }))
    }

    fn template_name(&mut self, context: &str) -> Parsed<String> {
        let token = self.next_past_space();
        match token.kind {
            Kind::Quoted | Kind::RawQuoted => self.unquoted(&token),
            _ => Err(self.unexpected(&token, context)),
        }
    }

    fn pipe(&mut self, context: &str, end: Kind) -> Parsed<Pipe> {
        self.enter()?;
        let at = self.peek_past_space().at;
        let mut pipe = Pipe { at, variables: Vec::new(), assigns: false, commands: Vec::new() };
        self.declarations(&mut pipe, context)?;
        loop {
            let token = self.next_past_space();
            match token.kind {
                kind if kind == end => break,
                Kind::Bool
                | Kind::CharConstant
                | Kind::Dot
                | Kind::Field
                | Kind::Identifier
                | Kind::Number
                | Kind::Nil
                | Kind::RawQuoted
                | Kind::Quoted
                | Kind::Variable
                | Kind::Open => {
                    self.back();
                    pipe.commands.push(self.command()?);
                }
                _ => return Err(self.unexpected(&token, context)),
            }
        }
        self.depth -= 1;
        if pipe.commands.is_empty() {
            return Err(self.wrong(&format!("missing value for {context}")));
        }
        for (at, command) in pipe.commands.iter().enumerate().skip(1) {
            if matches!(
                command.terms.first(),
                Some(
                    Term::Bool(..)
                        | Term::Dot(_)
                        | Term::Nil(_)
                        | Term::Int(..)
                        | Term::Float(..)
                        | Term::Text(..)
                )
            ) {
                let stage = at + 1;
                return Err(
                    self.wrong(&format!("non executable command in pipeline stage {stage}"))
                );
            }
        }
        Ok(pipe)
    }

    /// `$x :=`, `$x =`, and in `range` `$i, $x :=`.
    fn declarations(&mut self, pipe: &mut Pipe, context: &str) -> Parsed<()> {
        while self.peek_past_space().kind == Kind::Variable {
            let before = self.at;
            let variable = self.next_past_space();
            let next = self.next_past_space();
            match next.kind {
                Kind::Assign | Kind::Declare => {
                    pipe.assigns = next.kind == Kind::Assign;
                    self.declare(pipe, variable);
                    return Ok(());
                }
                Kind::Char if next.text == "," => {
                    self.declare(pipe, variable);
                    if context != "range" || pipe.variables.len() > 1 {
                        return Err(self.wrong(&format!("too many declarations in {context}")));
                    }
                    if !matches!(
                        self.peek_past_space().kind,
                        Kind::Variable | Kind::Right | Kind::Close
                    ) {
                        return Err(self.wrong("range can only initialize variables"));
                    }
                }
                _ => {
                    self.at = before;
                    return Ok(());
                }
            }
        }
        Ok(())
    }

    fn declare(&mut self, pipe: &mut Pipe, variable: Token) {
        pipe.variables.push(variable.text.clone());
        self.variables.push(variable.text);
    }

    fn command(&mut self) -> Parsed<Command> {
        let at = self.peek_past_space().at;
        let mut terms = Vec::new();
        loop {
            self.peek_past_space();
            terms.extend(self.operand()?);
            let token = self.next();
            match token.kind {
                Kind::Space => {}
                Kind::Right | Kind::Close => {
                    self.back();
                    break;
                }
                Kind::Pipe => break,
                _ => return Err(self.unexpected(&token, "operand")),
            }
        }
        if terms.is_empty() {
            return Err(self.wrong("empty command"));
        }
        Ok(Command { at, terms })
    }

    /// A term and fields of it.
    fn operand(&mut self) -> Parsed<Option<Term>> {
        let Some(term) = self.term()? else { return Ok(None) };
        if self.peek().kind != Kind::Field {
            return Ok(Some(term));
        }
        let at = self.peek().at;
        let mut fields = Vec::new();
        while self.peek().kind == Kind::Field {
            fields.push(self.next().text[1..].to_owned());
        }
        Ok(Some(match term {
            Term::Field(_, mut names) => {
                names.extend(fields);
                Term::Field(at, names)
            }
            Term::Variable(_, mut names) => {
                names.extend(fields);
                Term::Variable(at, names)
            }
            Term::Bool(..)
            | Term::Text(..)
            | Term::Int(..)
            | Term::Float(..)
            | Term::Nil(_)
            | Term::Dot(_) => {
                let term = term.to_string();
                return Err(self.wrong(&format!("unexpected . after term {term:?}")));
            }
            term => Term::Chain(at, Box::new(term), fields),
        }))
    }

    fn term(&mut self) -> Parsed<Option<Term>> {
        let token = self.next_past_space();
        let at = token.at;
        Ok(Some(match token.kind {
            Kind::Identifier => {
                if !is_builtin(&token.text) && !self.functions.has(&token.text) {
                    return Err(self.wrong(&format!("function {:?} not defined", token.text)));
                }
                Term::Function(at, token.text)
            }
            Kind::Dot => Term::Dot(at),
            Kind::Nil => Term::Nil(at),
            Kind::Variable => {
                if !self.variables.contains(&token.text) {
                    return Err(self.wrong(&format!("undefined variable {:?}", token.text)));
                }
                Term::Variable(at, vec![token.text])
            }
            Kind::Field => Term::Field(at, vec![token.text[1..].to_owned()]),
            Kind::Bool => Term::Bool(at, token.text == "true"),
            Kind::CharConstant => {
                let c = char_constant(&token.text).ok_or_else(|| {
                    self.wrong(&format!("malformed character constant: {}", token.text))
                })?;
                Term::Int(at, i64::from(u32::from(c)), token.text)
            }
            Kind::Number => match number(&token.text) {
                Some(Number::Int(n)) => Term::Int(at, n, token.text),
                Some(Number::Float(n)) => Term::Float(at, n, token.text),
                None => return Err(self.wrong(&format!("illegal number syntax: {:?}", token.text))),
            },
            Kind::Open => Term::Pipe(self.pipe("parenthesized pipeline", Kind::Close)?),
            Kind::Quoted | Kind::RawQuoted => {
                let text = self.unquoted(&token)?;
                Term::Text(at, text.into(), token.text)
            }
            _ => {
                self.back();
                return Ok(None);
            }
        }))
    }

    fn unquoted(&self, token: &Token) -> Parsed<String> {
        let inside = token.text.get(1..token.text.len().saturating_sub(1)).unwrap_or_default();
        if token.kind == Kind::RawQuoted {
            return Ok(inside.replace('\r', ""));
        }
        unescape(inside).ok_or_else(|| self.wrong("invalid syntax"))
    }

    fn enter(&mut self) -> Parsed<()> {
        self.depth += 1;
        match self.depth > DEPTH_MAX {
            true => Err(self.wrong(&format!("nested more than {DEPTH_MAX} deep"))),
            false => Ok(()),
        }
    }

    fn expect(&mut self, kind: Kind, context: &str) -> Parsed<Token> {
        let token = self.next_past_space();
        match token.kind == kind {
            true => Ok(token),
            false => Err(self.unexpected(&token, context)),
        }
    }

    fn peek(&self) -> &Token {
        // The last token stays: what comes after the end is the end.
        let at = self.at.min(self.tokens.len() - 1);
        self.seen.set(self.seen.get().max(at));
        &self.tokens[at]
    }

    fn peek_past_space(&mut self) -> &Token {
        while self.peek().kind == Kind::Space {
            self.at += 1;
        }
        self.peek()
    }

    fn next(&mut self) -> Token {
        let token = self.peek().clone();
        self.at += 1;
        token
    }

    fn next_past_space(&mut self) -> Token {
        self.peek_past_space();
        self.next()
    }

    fn back(&mut self) {
        self.at -= 1;
    }

    fn unexpected(&self, token: &Token, context: &str) -> TemplateError {
        if token.kind != Kind::Error {
            return self.wrong(&format!("unexpected {} in {context}", token.named()));
        }
        let elsewhere = self.action_line != 0 && self.action_line != token.line;
        let extra = match elsewhere {
            false => String::new(),
            true => {
                let started = format!("started at {}:{}", self.name, self.action_line);
                match token.text.ends_with(" action") {
                    true => format!(" {started}"),
                    false => format!(" in action {started}"),
                }
            }
        };
        self.wrong(&format!("{}{extra}", token.text))
    }

    /// A complaint at the token that was looked at last.
    fn wrong(&self, message: &str) -> TemplateError {
        TemplateError {
            place: format!("{}:{}", self.name, self.tokens[self.seen.get()].line),
            message: message.to_owned(),
            cause: Cause::Syntax,
        }
    }
}

/// Whether a list says nothing but blanks.
fn is_empty(list: &List) -> bool {
    list.0.iter().all(|node| matches!(node, Node::Text(text) if text.trim().is_empty()))
}

pub(crate) enum Number {
    Int(i64),
    Float(f64),
}

/// A number as Go writes it: decimal, `0x`, `0o`, `0b`, with `_` between digits.
pub(crate) fn number(written: &str) -> Option<Number> {
    let (sign, digits) = match written.strip_prefix('-') {
        Some(digits) => (-1, digits),
        None => (1, written.strip_prefix('+').unwrap_or(written)),
    };
    if !digits.starts_with(|c: char| c.is_ascii_digit() || c == '.') {
        return None;
    }
    // As in Go: between digits alone.
    if digits.contains("__") || digits.ends_with('_') {
        return None;
    }
    let plain = digits.replace('_', "");
    let lower = plain.to_lowercase();
    let radix = [("0x", 16), ("0o", 8), ("0b", 2)];
    let prefixed =
        radix.iter().find_map(|(prefix, radix)| Some((lower.strip_prefix(prefix)?, *radix)));
    let (digits, radix) = match prefixed {
        Some(found) => found,
        None if lower.len() > 1
            && lower.starts_with('0')
            && lower.bytes().all(|b| b.is_ascii_digit()) =>
        {
            (&lower[1..], 8)
        }
        None => (&*lower, 10),
    };
    if let Ok(number) = i64::from_str_radix(digits, radix) {
        return Some(Number::Int(sign * number));
    }
    match radix {
        10 => lower.parse().ok().map(|number: f64| Number::Float(sign as f64 * number)),
        _ => None,
    }
}

fn char_constant(written: &str) -> Option<char> {
    let inside = written.get(1..written.len().saturating_sub(1))?;
    let text = match inside {
        r"\'" => "'".to_owned(),
        inside => unescape(inside)?,
    };
    let mut chars = text.chars();
    chars.next().filter(|_| chars.next().is_none())
}

/// What stands between quotes, without its escapes; `None` where one is none of Go's.
fn unescape(text: &str) -> Option<String> {
    let mut out = Vec::with_capacity(text.len());
    let mut chars = text.chars();
    let mut buffer = [0; 4];
    while let Some(c) = chars.next() {
        let c = match c {
            '\\' => match chars.next()? {
                'a' => '\x07',
                'b' => '\x08',
                'f' => '\x0c',
                'n' => '\n',
                'r' => '\r',
                't' => '\t',
                'v' => '\x0b',
                c @ ('\\' | '"') => c,
                'u' => char::from_u32(digits(&mut chars, 4, 16)?)?,
                'U' => char::from_u32(digits(&mut chars, 8, 16)?)?,
                'x' => {
                    out.push(u8::try_from(digits(&mut chars, 2, 16)?).ok()?);
                    continue;
                }
                first @ '0'..='7' => {
                    let rest = digits(&mut chars, 2, 8)?;
                    out.push(u8::try_from(first.to_digit(8)? * 64 + rest).ok()?);
                    continue;
                }
                _ => return None,
            },
            c => c,
        };
        out.extend_from_slice(c.encode_utf8(&mut buffer).as_bytes());
    }
    // Texts are UTF-8 here, where Go's are bytes.
    String::from_utf8(out).ok()
}

fn digits(chars: &mut std::str::Chars<'_>, count: usize, radix: u32) -> Option<u32> {
    (0..count).try_fold(0, |sum: u32, _| Some(sum * radix + chars.next()?.to_digit(radix)?))
}
