//! A guest's core module with parts changed that no compiler would make.

/// Ids of sections.
const TYPES: u8 = 1;
const IMPORTS: u8 = 2;
const FUNCTIONS: u8 = 3;
const TABLES: u8 = 4;
const MEMORIES: u8 = 5;
const START: u8 = 8;
const CODE: u8 = 10;

/// Magic number and version.
const HEAD: usize = 8;

/// A core module as its sections.
pub struct Module {
    head: Vec<u8>,
    sections: Vec<(u8, Vec<u8>)>,
}

impl Module {
    pub fn read(bytes: &[u8]) -> Self {
        let mut sections = Vec::new();
        let mut at = HEAD;
        while at < bytes.len() {
            let id = bytes[at];
            at += 1;
            let size = number(bytes, &mut at);
            sections.push((id, bytes[at..at + size].to_vec()));
            at += size;
        }
        Self { head: bytes[..HEAD].to_vec(), sections }
    }

    pub fn write(&self) -> Vec<u8> {
        let mut bytes = self.head.clone();
        for (id, content) in &self.sections {
            bytes.push(*id);
            put_number(&mut bytes, content.len());
            bytes.extend_from_slice(content);
        }
        bytes
    }

    /// The one memory begins with so many pages.
    pub fn memory(mut self, flags: u8, pages: usize) -> Self {
        let mut content = vec![1, flags];
        put_number(&mut content, pages);
        if flags & 1 == 1 {
            put_number(&mut content, pages);
        }
        *self.section(MEMORIES) = content;
        self
    }

    /// The one table begins with so many elements.
    pub fn table(mut self, elements: usize) -> Self {
        let mut content = vec![1, 0x70, 0];
        put_number(&mut content, elements);
        *self.section(TABLES) = content;
        self
    }

    /// So many more memories of one page.
    pub fn memories(mut self, more: usize) -> Self {
        let section = self.section(MEMORIES);
        let content = std::mem::take(section);
        let mut at = 0;
        let count = number(&content, &mut at);
        put_number(section, count + more);
        section.extend_from_slice(&content[at..]);
        section.extend(std::iter::repeat_n([0, 1], more).flatten());
        self
    }

    /// A function that takes and gives nothing, with this body; its index.
    pub fn function(&mut self, body: &[u8]) -> usize {
        let ty = self.append(TYPES, &[0x60, 0, 0]);
        let mut index = Vec::new();
        put_number(&mut index, ty);
        let own = self.append(FUNCTIONS, &index);
        let mut code = Vec::new();
        put_number(&mut code, body.len());
        code.extend_from_slice(body);
        self.append(CODE, &code);
        self.imported_functions() + own
    }

    /// The function runs when the module is instantiated.
    pub fn start(mut self, function: usize) -> Self {
        let mut content = Vec::new();
        put_number(&mut content, function);
        let place = self.sections.iter().position(|(id, _)| *id == CODE).expect("code");
        let before = self.sections[..place].iter().position(|(id, _)| *id == 9).unwrap_or(place);
        self.sections.insert(before, (START, content));
        self
    }

    fn section(&mut self, wanted: u8) -> &mut Vec<u8> {
        let found = self.sections.iter_mut().find(|(id, _)| *id == wanted);
        &mut found.expect("a section").1
    }

    /// Adds an entry to a section that is a list; its place.
    fn append(&mut self, id: u8, entry: &[u8]) -> usize {
        let section = self.section(id);
        let content = std::mem::take(section);
        let mut at = 0;
        let count = number(&content, &mut at);
        put_number(section, count + 1);
        section.extend_from_slice(&content[at..]);
        section.extend_from_slice(entry);
        count
    }

    /// Guests import functions alone.
    fn imported_functions(&self) -> usize {
        let found = self.sections.iter().find(|(id, _)| *id == IMPORTS);
        found.map_or(0, |(_, content)| number(content, &mut 0))
    }
}

fn number(bytes: &[u8], at: &mut usize) -> usize {
    let (mut value, mut shift) = (0, 0);
    loop {
        let byte = bytes[*at];
        *at += 1;
        value |= usize::from(byte & 0x7f) << shift;
        shift += 7;
        if byte & 0x80 == 0 {
            return value;
        }
    }
}

fn put_number(bytes: &mut Vec<u8>, mut value: usize) {
    while value >= 0x80 {
        bytes.push((value & 0x7f) as u8 | 0x80);
        value >>= 7;
    }
    bytes.push(value as u8);
}
