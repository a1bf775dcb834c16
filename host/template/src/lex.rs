//! A template's text as tokens.

const LEFT: &str = "{{";
const RIGHT: &str = "}}";
const COMMENT: &str = "/*";
const COMMENT_END: &str = "*/";

#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Token {
    pub(crate) kind: Kind,
    pub(crate) at: usize,
    pub(crate) line: usize,
    /// As it was written; of [`Kind::Error`] what is wrong.
    pub(crate) text: String,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    Error,
    End,
    Text,
    Left,
    Right,
    Space,
    Bool,
    Char,
    CharConstant,
    Assign,
    Declare,
    Field,
    Variable,
    Dot,
    Identifier,
    Keyword(Keyword),
    Nil,
    Number,
    Pipe,
    Open,
    Close,
    Quoted,
    RawQuoted,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Keyword {
    Block,
    Break,
    Continue,
    Define,
    Else,
    End,
    If,
    Range,
    Template,
    With,
}

// === impl Token ===

impl Token {
    /// How messages name it.
    pub(crate) fn named(&self) -> String {
        match self.kind {
            Kind::End => "EOF".to_owned(),
            Kind::Error => self.text.clone(),
            Kind::Keyword(_) | Kind::Dot | Kind::Nil => format!("<{}>", self.text),
            _ if self.text.len() > 10 => {
                let start: String = self.text.chars().take(10).collect();
                format!("{start:?}...")
            }
            _ => format!("{:?}", self.text),
        }
    }
}

/// All tokens; the last one is [`Kind::End`] or [`Kind::Error`].
pub(crate) fn lex(text: &str) -> Vec<Token> {
    let mut lexer = Lexer { text, at: 0, start: 0, line: 1, parentheses: 0, tokens: Vec::new() };
    if let Err(message) = lexer.run() {
        lexer.start = lexer.at;
        lexer.tokens.push(Token {
            kind: Kind::Error,
            at: lexer.at,
            line: lexer.line,
            text: message,
        });
    }
    lexer.tokens
}

struct Lexer<'t> {
    text: &'t str,
    at: usize,
    /// Where the token under way begins.
    start: usize,
    /// Of `start`.
    line: usize,
    parentheses: usize,
    tokens: Vec<Token>,
}

// === impl Lexer ===

impl Lexer<'_> {
    fn run(&mut self) -> Result<(), String> {
        loop {
            let Some(found) = self.rest().find(LEFT) else {
                self.at = self.text.len();
                self.emit_unless_empty(Kind::Text);
                self.emit(Kind::End);
                return Ok(());
            };
            let before = &self.rest()[..found];
            let trims = trims_left(&self.rest()[found + LEFT.len()..]);
            let kept = if trims { before.trim_end_matches(is_space).len() } else { found };
            self.at += kept;
            self.emit_unless_empty(Kind::Text);
            self.at += found - kept;
            self.skip();
            self.left()?;
        }
    }

    fn left(&mut self) -> Result<(), String> {
        self.at += LEFT.len();
        let marker = if trims_left(self.rest()) { 2 } else { 0 };
        if self.rest()[marker..].starts_with(COMMENT) {
            self.at += marker;
            self.skip();
            return self.comment();
        }
        self.emit(Kind::Left);
        self.at += marker;
        self.skip();
        self.parentheses = 0;
        self.inside()
    }

    fn comment(&mut self) -> Result<(), String> {
        self.at += COMMENT.len();
        let end = self.rest().find(COMMENT_END).ok_or("unclosed comment")?;
        self.at += end + COMMENT_END.len();
        let (closes, trims) = self.at_right();
        if !closes {
            return Err("comment ends before closing delimiter".to_owned());
        }
        let mark = if trims { 2 } else { 0 };
        self.at += mark + RIGHT.len();
        self.after_right(trims);
        Ok(())
    }

    fn after_right(&mut self, trims: bool) {
        if trims {
            self.at = self.text.len() - self.rest().trim_start_matches(is_space).len();
        }
        self.skip();
    }

    /// Up to the end of an action.
    fn inside(&mut self) -> Result<(), String> {
        loop {
            let (closes, trims) = self.at_right();
            if closes {
                if self.parentheses > 0 {
                    return Err("unclosed left paren".to_owned());
                }
                self.at += if trims { 2 } else { 0 };
                self.skip();
                self.at += RIGHT.len();
                self.emit(Kind::Right);
                self.after_right(trims);
                return Ok(());
            }
            self.token()?;
        }
    }

    fn token(&mut self) -> Result<(), String> {
        let Some(c) = self.next() else { return Err("unclosed action".to_owned()) };
        match c {
            c if is_space(c) => {
                while self.peek().is_some_and(is_space) && !self.at_right().0 {
                    self.next();
                }
                self.emit(Kind::Space);
            }
            '=' => self.emit(Kind::Assign),
            ':' => {
                if self.next() != Some('=') {
                    return Err("expected :=".to_owned());
                }
                self.emit(Kind::Declare);
            }
            '|' => self.emit(Kind::Pipe),
            '"' => self.quoted('"', Kind::Quoted, "unterminated quoted string")?,
            '\'' => self.quoted('\'', Kind::CharConstant, "unterminated character constant")?,
            '`' => {
                let end = self.rest().find('`').ok_or("unterminated raw quoted string")?;
                self.at += end + 1;
                self.emit(Kind::RawQuoted);
            }
            '$' => self.name(Kind::Variable, Kind::Variable)?,
            '.' if !self.peek().is_some_and(|c| c.is_ascii_digit()) => {
                self.name(Kind::Field, Kind::Dot)?;
            }
            '.' | '+' | '-' | '0'..='9' => self.number()?,
            c if is_word(c) => self.word()?,
            '(' => {
                self.parentheses += 1;
                self.emit(Kind::Open);
            }
            ')' => {
                self.parentheses =
                    self.parentheses.checked_sub(1).ok_or("unexpected right paren")?;
                self.emit(Kind::Close);
            }
            c if c.is_ascii_graphic() => self.emit(Kind::Char),
            c => return Err(format!("unrecognized character in action: {}", code_point(c))),
        }
        Ok(())
    }

    fn quoted(&mut self, quote: char, kind: Kind, unfinished: &str) -> Result<(), String> {
        loop {
            match self.next() {
                Some('\\') if self.peek().is_some_and(|c| c != '\n') => {
                    self.next();
                }
                None | Some('\n' | '\\') => return Err(unfinished.to_owned()),
                Some(c) if c == quote => break,
                Some(_) => {}
            }
        }
        self.emit(kind);
        Ok(())
    }

    /// `.name` or `$name`, or the sign alone.
    fn name(&mut self, kind: Kind, alone: Kind) -> Result<(), String> {
        if self.at_terminator() {
            self.emit(alone);
            return Ok(());
        }
        while self.peek().is_some_and(is_word) {
            self.next();
        }
        self.check_terminator()?;
        self.emit(kind);
        Ok(())
    }

    fn word(&mut self) -> Result<(), String> {
        while self.peek().is_some_and(is_word) {
            self.next();
        }
        self.check_terminator()?;
        let kind = match &self.text[self.start..self.at] {
            "block" => Kind::Keyword(Keyword::Block),
            "break" => Kind::Keyword(Keyword::Break),
            "continue" => Kind::Keyword(Keyword::Continue),
            "define" => Kind::Keyword(Keyword::Define),
            "else" => Kind::Keyword(Keyword::Else),
            "end" => Kind::Keyword(Keyword::End),
            "if" => Kind::Keyword(Keyword::If),
            "range" => Kind::Keyword(Keyword::Range),
            "template" => Kind::Keyword(Keyword::Template),
            "with" => Kind::Keyword(Keyword::With),
            "nil" => Kind::Nil,
            "true" | "false" => Kind::Bool,
            _ => Kind::Identifier,
        };
        self.emit(kind);
        Ok(())
    }

    /// What looks like a number; whether it is one, the parser says.
    fn number(&mut self) -> Result<(), String> {
        self.at = self.start;
        self.accept("+-");
        let mut digits = "0123456789_";
        let decimal = digits;
        if self.accept("0") {
            for (letters, of_them) in
                [("xX", "0123456789abcdefABCDEF_"), ("oO", "01234567_"), ("bB", "01_")]
            {
                if self.accept(letters) {
                    digits = of_them;
                    break;
                }
            }
        }
        while self.accept(digits) {}
        if self.accept(".") {
            while self.accept(digits) {}
        }
        if digits == decimal && self.accept("eE") {
            self.accept("+-");
            while self.accept(decimal) {}
        }
        if self.peek().is_some_and(is_word) {
            self.next();
            let written = &self.text[self.start..self.at];
            return Err(format!("bad number syntax: {written:?}"));
        }
        self.emit(Kind::Number);
        Ok(())
    }

    /// Takes the next character if it is one of these.
    fn accept(&mut self, these: &str) -> bool {
        let found = self.peek().is_some_and(|c| these.contains(c));
        if found {
            self.next();
        }
        found
    }

    fn check_terminator(&self) -> Result<(), String> {
        match self.peek() {
            Some(c) if !self.at_terminator() => Err(format!("bad character {}", code_point(c))),
            _ => Ok(()),
        }
    }

    fn at_terminator(&self) -> bool {
        match self.peek() {
            None | Some('.' | ',' | '|' | ':' | ')' | '(') => true,
            Some(c) => is_space(c) || self.rest().starts_with(RIGHT),
        }
    }

    /// Whether an action ends here, and whether it takes the blanks behind it along.
    fn at_right(&self) -> (bool, bool) {
        let rest = self.rest();
        let mut chars = rest.chars();
        let marked = chars.next().is_some_and(is_space) && chars.next() == Some('-');
        if marked && chars.as_str().starts_with(RIGHT) {
            return (true, true);
        }
        (rest.starts_with(RIGHT), false)
    }

    fn rest(&self) -> &str {
        &self.text[self.at..]
    }

    fn peek(&self) -> Option<char> {
        self.rest().chars().next()
    }

    fn next(&mut self) -> Option<char> {
        let c = self.peek()?;
        self.at += c.len_utf8();
        Some(c)
    }

    fn emit(&mut self, kind: Kind) {
        let text = self.text[self.start..self.at].to_owned();
        self.tokens.push(Token { kind, at: self.start, line: self.line, text });
        self.skip();
    }

    fn emit_unless_empty(&mut self, kind: Kind) {
        if self.at > self.start {
            self.emit(kind);
        }
    }

    fn skip(&mut self) {
        self.line += self.text[self.start..self.at].matches('\n').count();
        self.start = self.at;
    }
}

/// Whether the rest of an action begins with the mark that trims what is before it.
fn trims_left(rest: &str) -> bool {
    let mut chars = rest.chars();
    chars.next() == Some('-') && chars.next().is_some_and(is_space)
}

fn is_space(c: char) -> bool {
    matches!(c, ' ' | '\t' | '\r' | '\n')
}

fn is_word(c: char) -> bool {
    c == '_' || c.is_alphanumeric()
}

fn code_point(c: char) -> String {
    format!("U+{:04X} '{c}'", u32::from(c))
}
