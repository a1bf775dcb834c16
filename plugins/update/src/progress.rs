//! What is remembered between two calls.

/// How far a rollout has come.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Progress {
    /// New tasks that failed.
    pub failures: u32,
    /// When the last worker to finish its rest so far has finished it.
    pub rested_ms: u64,
    /// Workers at rest: until when, and how many; sorted.
    pub resting: Vec<(u64, u32)>,
}

const FORMAT: u8 = 1;
/// The most entries of `resting`: 48 KiB of the 64 that a state may have. Beyond,
/// neighbours are merged into the later one, so a few workers rest a little longer.
const RESTING_MAX: usize = 4_096;

impl Progress {
    pub fn new(started_ms: u64) -> Self {
        Self { failures: 0, rested_ms: started_ms, resting: Vec::new() }
    }

    /// A worker goes to rest.
    pub fn rest(&mut self, until_ms: u64) {
        self.rested_ms = self.rested_ms.max(until_ms);
        match self.resting.binary_search_by_key(&until_ms, |r| r.0) {
            Ok(at) => self.resting[at].1 += 1,
            Err(at) => self.resting.insert(at, (until_ms, 1)),
        }
        if self.resting.len() > RESTING_MAX {
            self.merge_nearest();
        }
    }

    fn merge_nearest(&mut self) {
        let gaps = self.resting.windows(2).map(|w| w[1].0 - w[0].0);
        if let Some((at, _)) = gaps.enumerate().min_by_key(|(_, gap)| *gap) {
            let (_, workers) = self.resting.remove(at);
            self.resting[at].1 += workers;
        }
    }

    /// Workers whose rest is over get up.
    pub fn wake(&mut self, now_ms: u64) {
        self.resting.retain(|(until, _)| *until > now_ms);
    }

    /// Workers at rest.
    pub fn resting(&self) -> u64 {
        self.resting.iter().map(|(_, workers)| u64::from(*workers)).sum()
    }

    pub fn write(&self) -> Vec<u8> {
        let mut bytes = vec![FORMAT];
        bytes.extend(self.failures.to_le_bytes());
        bytes.extend(self.rested_ms.to_le_bytes());
        for (until, workers) in &self.resting {
            bytes.extend(until.to_le_bytes());
            bytes.extend(workers.to_le_bytes());
        }
        bytes
    }

    pub fn read(bytes: &[u8]) -> Result<Self, String> {
        let damaged = || format!("the rollout's state of {} bytes is damaged", bytes.len());
        let (format, rest) = bytes.split_first().ok_or_else(damaged)?;
        if *format != FORMAT {
            return Err(format!("the rollout's state has format {format}, not {FORMAT}"));
        }
        let (failures, rest) = rest.split_first_chunk::<4>().ok_or_else(damaged)?;
        let (rested, rest) = rest.split_first_chunk::<8>().ok_or_else(damaged)?;
        let (entries, odd) = rest.as_chunks::<12>();
        if !odd.is_empty() {
            return Err(damaged());
        }
        let mut resting = Vec::with_capacity(entries.len());
        for entry in entries {
            let (until, workers) = entry.split_first_chunk::<8>().ok_or_else(damaged)?;
            let workers = workers.first_chunk::<4>().ok_or_else(damaged)?;
            resting.push((u64::from_le_bytes(*until), u32::from_le_bytes(*workers)));
        }
        Ok(Self {
            failures: u32::from_le_bytes(*failures),
            rested_ms: u64::from_le_bytes(*rested),
            resting,
        })
    }
}
