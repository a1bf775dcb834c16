//! The walk's tables: what is typed, and what must come of it.
//!
//! A line at the margin is typed, with what a reader must know of it before it:
//!
//! - `since 23:`, `before 23:` by clients from that version on, or before it;
//! - `on n2:` on that node, where it is not the first;
//! - `soon:` again and again until all that is said of it is so;
//! - `watch:` the same for what does not end by itself.
//!
//! `restart n1` has that node's daemon end and start. Indented lines say what must come of
//! it: `exit 1` (0 where nothing is said), `is TEXT` for a line of its whole output, `says
//! TEXT` and `says not TEXT` for a part of what it prints anywhere; or what goes in,
//! `types TEXT`; or, `call it NAME`, by what name later lines have what was printed: `<NAME>`.

/// One step of the walk.
#[derive(Debug)]
pub struct Step {
    /// Where it is written.
    pub place: String,
    /// The index of the node whose daemon is spoken to.
    pub node: usize,
    /// How long it may take until it is so.
    pub patience: Patience,
    /// What is done.
    pub action: Action,
    /// What is typed into it, and what must come of it.
    pub then: Vec<Then>,
    since: u32,
    before: u32,
}

/// How long it may take until what is said of a step is so.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Patience {
    /// It is so at once.
    Now,
    /// After a while.
    Soon,
    /// After a while, of a command that does not end.
    Watch,
}

/// What a step does.
#[derive(Debug)]
pub enum Action {
    /// Runs the docker client with this behind its name.
    Docker(String),
    /// Restarts the node's daemon.
    Restart,
}

/// What is said of a step.
#[derive(Debug)]
pub enum Then {
    /// The client ends with this code.
    Exit(i32),
    /// This is a line of its standard input.
    Types(String),
    /// This is a line of its standard output, which has no others than those that are said.
    Is(String),
    /// It prints this, among other things.
    Says(String),
    /// It does not print this.
    SaysNot(String),
    /// What it printed has this name from now on.
    Call(String),
}

/// The steps of a table.
pub fn read(name: &str, text: &str) -> Vec<Step> {
    let mut steps: Vec<Step> = Vec::new();
    for (index, line) in text.lines().enumerate() {
        let place = format!("{name}:{}", index + 1);
        if line.is_empty() || line.starts_with('#') {
            continue;
        }
        match line.strip_prefix("    ") {
            None => steps.push(Step::read(line, place)),
            Some(then) => {
                let step = steps.last_mut().unwrap_or_else(|| panic!("{place}: of what?"));
                step.then.push(Then::read(then, &place));
            }
        }
    }
    steps
}

/// The words of a line as a shell parts them: by blanks, but for what is in single quotes.
pub fn words(line: &str) -> Vec<String> {
    let mut words = Vec::new();
    let mut word: Option<String> = None;
    let mut quoted = false;
    for letter in line.chars() {
        match letter {
            '\'' => {
                quoted = !quoted;
                word.get_or_insert_default();
            }
            ' ' if !quoted => words.extend(word.take()),
            _ => word.get_or_insert_default().push(letter),
        }
    }
    assert!(!quoted, "a quote has no end: {line}");
    words.extend(word);
    words
}

// === impl Step ===

impl Step {
    fn read(line: &str, place: String) -> Self {
        let mut step = Self {
            place,
            node: 0,
            patience: Patience::Now,
            action: Action::Restart,
            then: Vec::new(),
            since: 0,
            before: u32::MAX,
        };
        let mut rest = line;
        loop {
            if let Some(command) = rest.strip_prefix("docker ") {
                step.action = Action::Docker(command.to_owned());
                return step;
            }
            if let Some(node) = rest.strip_prefix("restart ") {
                step.node = step.index_of(node);
                return step;
            }
            let Some((how, after)) = rest.split_once(": ") else {
                panic!("{}: neither typed nor said: {line}", step.place)
            };
            step.take(how);
            rest = after;
        }
    }

    /// One of the words before what is typed.
    fn take(&mut self, how: &str) {
        match how.split_once(' ') {
            None if how == "soon" => self.patience = Patience::Soon,
            None if how == "watch" => self.patience = Patience::Watch,
            Some(("on", node)) => self.node = self.index_of(node),
            Some(("since", version)) => self.since = self.number(version),
            Some(("before", version)) => self.before = self.number(version),
            _ => panic!("{}: what is {how}?", self.place),
        }
    }

    fn index_of(&self, node: &str) -> usize {
        let number = self.number(node.strip_prefix('n').unwrap_or_default());
        usize::try_from(number - 1).expect("a node's number")
    }

    fn number(&self, text: &str) -> u32 {
        text.parse().unwrap_or_else(|error| panic!("{}: {text}: {error}", self.place))
    }

    /// Whether clients of this major version take it.
    pub fn is_for(&self, version: u32) -> bool {
        (self.since..self.before).contains(&version)
    }

    /// What is behind the client's name, where that is what it runs.
    pub fn command(&self) -> Option<&str> {
        match &self.action {
            Action::Docker(command) => Some(command),
            Action::Restart => None,
        }
    }
}

// === impl Then ===

impl Then {
    fn read(line: &str, place: &str) -> Self {
        let behind = |word: &str| line.strip_prefix(word).map(str::to_owned);
        if line == "is" {
            return Self::Is(String::new());
        }
        if let Some(code) = behind("exit ") {
            return Self::Exit(code.parse().unwrap_or_else(|e| panic!("{place}: {code}: {e}")));
        }
        None.or_else(|| behind("types ").map(Self::Types))
            .or_else(|| behind("is ").map(Self::Is))
            .or_else(|| behind("says not ").map(Self::SaysNot))
            .or_else(|| behind("says ").map(Self::Says))
            .or_else(|| behind("call it ").map(Self::Call))
            .unwrap_or_else(|| panic!("{place}: what is {line}?"))
    }
}
