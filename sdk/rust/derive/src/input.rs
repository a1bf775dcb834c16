//! Reading the struct or enum that a derive stands on.

use std::iter::Peekable;

use proc_macro::{Delimiter, Group, Ident, Literal, Punct, Spacing, Span, TokenStream, TokenTree};

/// A struct of named fields, or an enum of bare variants.
pub struct Input {
    /// Its name.
    pub name: String,
    pub span: Span,
    pub body: Body,
}

pub enum Body {
    Struct(Vec<Field>),
    Enum(Vec<String>),
}

pub struct Field {
    pub name: String,
    /// As written.
    pub ty: String,
    /// The doc comment, in one line.
    pub help: String,
    /// `key = "value"` of `#[option(…)]`.
    pub settings: Vec<Setting>,
    pub span: Span,
}

pub struct Setting {
    pub key: String,
    /// The value's text, quotes off.
    pub value: String,
    pub span: Span,
}

/// What is wrong, and where.
#[derive(Debug)]
pub struct Error {
    message: String,
    span: Span,
}

type Tokens = Peekable<proc_macro::token_stream::IntoIter>;

impl Error {
    pub fn new(span: Span, message: impl Into<String>) -> Self {
        Self { message: message.into(), span }
    }

    /// `compile_error!` at the place.
    pub fn into_tokens(self) -> TokenStream {
        let mut text = TokenTree::Literal(Literal::string(&self.message));
        text.set_span(self.span);
        let tokens = [
            TokenTree::Ident(Ident::new("compile_error", self.span)),
            TokenTree::Punct(Punct::new('!', Spacing::Alone)),
            TokenTree::Group(Group::new(Delimiter::Parenthesis, text.into())),
            TokenTree::Punct(Punct::new(';', Spacing::Alone)),
        ];
        tokens
            .map(|mut token| {
                token.set_span(self.span);
                token
            })
            .into_iter()
            .collect()
    }
}

impl Input {
    pub fn parse(item: TokenStream) -> Result<Self, Error> {
        let mut tokens = item.into_iter().peekable();
        attributes(&mut tokens)?;
        visibility(&mut tokens);
        let (kind, at) = word(&mut tokens)?;
        let (name, span) = word(&mut tokens)?;
        let body = match tokens.next() {
            Some(TokenTree::Group(body)) if body.delimiter() == Delimiter::Brace => body,
            _ => {
                return Err(Error::new(
                    span,
                    format!("{name} must have named fields and no generics"),
                ));
            }
        };
        let inside = body.stream().into_iter().peekable();
        let body = match kind.as_str() {
            "struct" => Body::Struct(fields(inside)?),
            "enum" => Body::Enum(variants(inside)?),
            _ => return Err(Error::new(at, "only a struct or an enum can be derived for")),
        };
        Ok(Self { name, span, body })
    }
}

fn fields(mut tokens: Tokens) -> Result<Vec<Field>, Error> {
    let mut fields = Vec::new();
    while tokens.peek().is_some() {
        let (help, settings) = attributes(&mut tokens)?;
        visibility(&mut tokens);
        let (name, span) = word(&mut tokens)?;
        match tokens.next() {
            Some(TokenTree::Punct(colon)) if colon.as_char() == ':' => {}
            _ => return Err(Error::new(span, format!("field {name} has no type"))),
        }
        fields.push(Field { name, ty: ty(&mut tokens), help, settings, span });
    }
    Ok(fields)
}

fn variants(mut tokens: Tokens) -> Result<Vec<String>, Error> {
    let mut variants = Vec::new();
    while tokens.peek().is_some() {
        attributes(&mut tokens)?;
        let (name, span) = word(&mut tokens)?;
        variants.push(name);
        match tokens.next() {
            None => {}
            Some(TokenTree::Punct(comma)) if comma.as_char() == ',' => {}
            Some(_) => return Err(Error::new(span, "a variant must have no fields and no value")),
        }
    }
    Ok(variants)
}

/// Doc comments joined, and what `#[option(…)]` says.
fn attributes(tokens: &mut Tokens) -> Result<(String, Vec<Setting>), Error> {
    let mut lines = Vec::new();
    let mut settings = Vec::new();
    while let Some(TokenTree::Punct(hash)) = tokens.peek() {
        if hash.as_char() != '#' {
            break;
        }
        tokens.next();
        let Some(TokenTree::Group(attribute)) = tokens.next() else { break };
        let mut inside = attribute.stream().into_iter().peekable();
        let (name, span) = word(&mut inside)?;
        match (name.as_str(), inside.next(), inside.next()) {
            ("doc", Some(_), Some(TokenTree::Literal(text))) => {
                lines.push(unquoted(&text).trim().to_owned());
            }
            ("option", Some(TokenTree::Group(list)), _) => settings.extend(list_of(list)?),
            ("option", ..) => return Err(Error::new(span, "try #[option(default = \"…\")]")),
            _ => {}
        }
    }
    lines.retain(|line| !line.is_empty());
    Ok((lines.join(" "), settings))
}

fn list_of(list: Group) -> Result<Vec<Setting>, Error> {
    let mut tokens = list.stream().into_iter().peekable();
    let mut settings = Vec::new();
    while tokens.peek().is_some() {
        let (key, span) = word(&mut tokens)?;
        let wrong = || Error::new(span, format!("try {key} = \"…\""));
        match tokens.next() {
            Some(TokenTree::Punct(is)) if is.as_char() == '=' => {}
            _ => return Err(wrong()),
        }
        let mut value = String::new();
        for token in tokens.by_ref() {
            match token {
                TokenTree::Punct(comma) if comma.as_char() == ',' => break,
                TokenTree::Literal(text) => value += &unquoted(&text),
                other => value += &other.to_string(),
            }
        }
        settings.push(Setting { key, value, span });
    }
    Ok(settings)
}

/// Up to the comma that ends the field.
fn ty(tokens: &mut Tokens) -> String {
    let mut depth = 0;
    let mut text = String::new();
    for token in tokens.by_ref() {
        if let TokenTree::Punct(punct) = &token {
            match punct.as_char() {
                ',' if depth == 0 => break,
                '<' => depth += 1,
                '>' => depth -= 1,
                _ => {}
            }
        }
        text += &token.to_string();
        text.push(' ');
    }
    // `Vec < a :: b >` reads as Rust, but for a path's two colons apart.
    text.replace(": :", "::")
}

fn visibility(tokens: &mut Tokens) {
    if matches!(tokens.peek(), Some(TokenTree::Ident(word)) if word.to_string() == "pub") {
        tokens.next();
        if matches!(tokens.peek(), Some(TokenTree::Group(g)) if g.delimiter() == Delimiter::Parenthesis)
        {
            tokens.next();
        }
    }
}

fn word(tokens: &mut Tokens) -> Result<(String, Span), Error> {
    match tokens.next() {
        Some(TokenTree::Ident(word)) => {
            let text = word.to_string();
            Ok((text.strip_prefix("r#").unwrap_or(&text).to_owned(), word.span()))
        }
        Some(other) => Err(Error::new(other.span(), format!("a name was expected, not {other}"))),
        None => Err(Error::new(Span::call_site(), "a name was expected")),
    }
}

/// The text of a literal: of a string what stands between its quotes.
fn unquoted(literal: &Literal) -> String {
    let text = literal.to_string();
    let inside = match text.strip_prefix('r') {
        Some(raw) => raw.trim_matches('#').strip_prefix('"').and_then(|t| t.strip_suffix('"')),
        None => text.strip_prefix('"').and_then(|t| t.strip_suffix('"')),
    };
    match inside {
        Some(inside) if text.starts_with('r') => inside.to_owned(),
        Some(inside) => inside.replace("\\\"", "\"").replace("\\'", "'").replace("\\\\", "\\"),
        None => text,
    }
}
